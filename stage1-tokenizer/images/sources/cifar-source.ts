/**
 * The binary version of CIFAR-10 and CIFAR-100: records of label bytes and 32×32 planes of red, green and blue, without a header.
 * Knows no image library. In memory stays one byte a record, its label.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { badInput } from "../../../shared/errors.ts";
import { compactClasses, rowKey } from "./numbered-rows.ts";
import { openRangedFile, type RangedFile } from "./ranged-file.ts";
import type { ImageSource, RawPixels } from "../source.ts";

export type CifarKind = "cifar10" | "cifar100";

const SIDE = 32;
const PLANE = SIDE * SIDE;
const PIXEL_BYTES = 3 * PLANE;
/** 1.5 MB at a time when only the labels are wanted: one read a label would take longer. */
const ROWS_A_BLOCK = 512;

interface CifarLayout {
  readonly classCount: number;
  /** CIFAR-100 has the coarse label first, then the fine one, which is taken. */
  readonly labelBytes: 1 | 2;
  readonly trainingFile: RegExp;
  readonly namesFile: string;
  /** Used where there is no `namesFile`; empty: the labels' numbers. */
  readonly names: readonly string[];
}

const LAYOUTS: Readonly<Record<CifarKind, CifarLayout>> = {
  cifar10: {
    classCount: 10,
    labelBytes: 1,
    trainingFile: /^data_batch_[1-9][0-9]*\.bin$/,
    namesFile: "batches.meta.txt",
    names: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
  },
  cifar100: {
    classCount: 100,
    labelBytes: 2,
    trainingFile: /^train\.bin$/,
    namesFile: "fine_label_names.txt",
    names: [],
  },
};

interface CifarFile {
  readonly file: RangedFile;
  /** File name without ".bin". */
  readonly stem: string;
  /** One a record, as stored. */
  readonly labels: Uint8Array;
}

/**
 * @param path the folder, for its training files (data_batch_1.bin …, train.bin), or one .bin file. Names of classes are read
 *   from batches.meta.txt or fine_label_names.txt beside them; classes without an image are left out.
 * @throws bad-input if there is no such file, one is cut off, or a label is out of range.
 */
export async function openCifar(path: string, kind: CifarKind): Promise<ImageSource> {
  const layout = LAYOUTS[kind];
  const { folder, names: fileNames } = await findFiles(path, layout);
  const files: CifarFile[] = [];
  for (const name of fileNames) files.push(await openFile(join(folder, name), layout));
  const used = new Set(files.flatMap(({ labels }) => [...new Set(labels)]));
  const { classes, labelOf } = compactClasses(used, await readNames(folder, layout));
  return {
    name: `${kind} ${basename(resolve(path))}`,
    classes,
    async *records() {
      for (const { file, stem, labels } of files) {
        for (const [row, stored] of labels.entries()) {
          const key = `${stem}/${rowKey(row)}`;
          const label = labelOf.get(stored);
          const record = { key, family: key, read: () => readRow(file, row, layout) };
          yield label === undefined ? record : { ...record, label };
        }
      }
    },
  };
}

async function findFiles(path: string, layout: CifarLayout): Promise<{ folder: string; names: string[] }> {
  let entries: string[];
  try {
    if (!(await stat(path)).isDirectory()) return { folder: dirname(path), names: [basename(path)] };
    entries = await readdir(path);
  } catch (cause) {
    throw badInput({ what: "CIFAR data cannot be opened", where: path, expected: "a folder or a .bin file", cause });
  }
  const names = entries.filter((name) => layout.trainingFile.test(name)).sort(byNumber);
  if (names.length > 0) return { folder: path, names };
  throw badInput({
    what: "no CIFAR training file in the folder",
    where: path,
    expected: layout.labelBytes === 1 ? "data_batch_1.bin and so on" : "train.bin",
    got: entries.filter((name) => name.endsWith(".bin")).join(", ") || "no .bin file",
    todo: "For the test images give the path of their file; the versions for Python and Matlab are other formats",
  });
}

/** data_batch_10 after data_batch_9. */
const byNumber = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);

async function openFile(path: string, layout: CifarLayout): Promise<CifarFile> {
  const file = await openRangedFile(path, "CIFAR file");
  const rowBytes = layout.labelBytes + PIXEL_BYTES;
  if (file.size === 0 || file.size % rowBytes !== 0) {
    throw badInput({
      what: "CIFAR file is cut off or of another kind",
      where: path,
      expected: `one or more records of ${rowBytes} bytes`,
      got: `${file.size} bytes, ${file.size % rowBytes} after the last whole record`,
    });
  }
  return { file, stem: basename(path, ".bin"), labels: await readLabels(file, layout) };
}

async function readLabels(file: RangedFile, { labelBytes, classCount }: CifarLayout): Promise<Uint8Array> {
  const rowBytes = labelBytes + PIXEL_BYTES;
  const labels = new Uint8Array(file.size / rowBytes);
  for (let first = 0; first < labels.length; first += ROWS_A_BLOCK) {
    const rows = Math.min(ROWS_A_BLOCK, labels.length - first);
    const block = await file.read(first * rowBytes, rows * rowBytes);
    for (let row = 0; row < rows; row++) {
      const label = block[row * rowBytes + labelBytes - 1] ?? 0;
      if (label >= classCount) {
        throw badInput({
          what: `label of record ${first + row} is out of range`,
          where: file.path,
          expected: `0 … ${classCount - 1}`,
          got: String(label),
          todo: "The file is damaged or of another kind",
        });
      }
      labels[first + row] = label;
    }
  }
  return labels;
}

/** One name a line, as many as there are labels; blank lines at the end do not count. */
async function readNames(folder: string, { namesFile, names, classCount }: CifarLayout): Promise<readonly string[]> {
  const where = join(folder, namesFile);
  let text: string;
  try {
    text = await readFile(where, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return names;
    throw badInput({ what: "names of the classes cannot be read", where, cause });
  }
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => line.trim());
  const distinct = new Set(lines.filter((line) => line !== "")).size;
  if (lines.length === classCount && distinct === classCount) return lines;
  throw badInput({
    what: "names of the classes do not fit",
    where,
    expected: `${classCount} lines with a name each, no two alike`,
    got: `${lines.length} lines with ${distinct} names`,
  });
}

async function readRow(file: RangedFile, row: number, { labelBytes }: CifarLayout): Promise<RawPixels> {
  const planes = await file.read(row * (labelBytes + PIXEL_BYTES) + labelBytes, PIXEL_BYTES); // [3, H, W]
  const pixels = new Uint8Array(PIXEL_BYTES); // [H, W, 3]
  for (let position = 0; position < PLANE; position++) {
    for (let channel = 0; channel < 3; channel++) {
      pixels[position * 3 + channel] = planes[channel * PLANE + position] ?? 0;
    }
  }
  return { pixels, height: SIDE, width: SIDE, channels: 3 };
}
