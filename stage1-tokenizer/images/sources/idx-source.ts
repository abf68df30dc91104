/**
 * Images in IDX, the format of MNIST and the sets made after it: grey, all of one size, with labels in a second file or none.
 * Knows file names and dimensions; idx-file.ts knows the bytes. In memory stays one byte a record, its label, and what
 * a gzip file unpacks to.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { badInput } from "../../../shared/errors.ts";
import { type IdxFile, openIdxFile } from "./idx-file.ts";
import { compactClasses, rowKey } from "./numbered-rows.ts";
import type { ImageSource, RawPixels } from "../source.ts";

const MAX_SIDE = 8192;
/** "train-images-idx3-ubyte", "t10k-images.idx3-ubyte.gz" */
const IMAGES_FILE = /^(.*)images[-.]idx3-ubyte(\.gz)?$/;

/**
 * @param path the file of images, plain or in gzip, or a folder with one such file, or one for training among others. Labels are
 *   taken from the file beside it that is named like it ("labels-idx1" for "images-idx3"), if there is one.
 * @throws bad-input if there is no or no single such file, a header is wrong, a length is not as the header says, or there are
 *   more or fewer labels than images.
 */
export async function openIdx(path: string): Promise<ImageSource> {
  const imagesPath = await findImages(path);
  const images = await openIdxFile(imagesPath, { what: "IDX images", rank: 3, check: checkImages(imagesPath) });
  const [count = 0, height = 0, width = 0] = images.dimensions;
  const labels = await readLabels(imagesPath, count);
  const { classes, labelOf } = compactClasses(labels ?? []);
  const readImage = (row: number): Promise<RawPixels> => readRow(images, row, height, width);
  return {
    name: `idx ${basename(resolve(path))}`,
    classes,
    async *records() {
      for (let row = 0; row < count; row++) {
        const key = rowKey(row);
        const label = labelOf.get(labels?.[row] ?? -1);
        const record = { key, family: key, read: () => readImage(row) };
        yield label === undefined ? record : { ...record, label };
      }
    },
  };
}

async function readRow(images: IdxFile, row: number, height: number, width: number): Promise<RawPixels> {
  const pixels = await images.read(row * height * width, height * width); // [H, W, 1]
  return { pixels, height, width, channels: 1 };
}

const checkImages =
  (where: string) =>
  (dimensions: readonly number[]): void => {
    const [count = 0, ...sides] = dimensions;
    if (count > 0 && sides.every((side) => side >= 1 && side <= MAX_SIDE)) return;
    throw badInput({
      what: "IDX header has impossible dimensions",
      where,
      expected: `at least one image, sides of 1 … ${MAX_SIDE} pixels`,
      got: dimensions.join("×"),
    });
  };

async function findImages(path: string): Promise<string> {
  let names: string[];
  try {
    if (!(await stat(path)).isDirectory()) return path;
    names = (await readdir(path)).filter((name) => IMAGES_FILE.test(name) && !name.startsWith(".")).sort();
  } catch (cause) {
    throw badInput({ what: "IDX data cannot be opened", where: path, expected: "a folder or a file", cause });
  }
  // One set may lie there twice, packed and unpacked: the plain file comes first and stays on disk.
  const sets = new Map([...names].reverse().map((name) => [IMAGES_FILE.exec(name)?.[1] ?? "", name]));
  const training = [...sets.keys()].filter((set) => /(^|[-_.])train[-_.]$/.test(set));
  const [set, ...others] = sets.size === 1 ? sets.keys() : training;
  const chosen = set === undefined || others.length > 0 ? undefined : sets.get(set);
  if (chosen !== undefined) return join(path, chosen);
  throw badInput({
    what: names.length === 0 ? "no IDX images in the folder" : "folder holds several sets of IDX images",
    where: path,
    expected: "a file named like train-images-idx3-ubyte, or with .gz",
    got: names.join(", ") || "none",
    todo: names.length === 0 ? "Check the path" : "Give the path of one of the files",
  });
}

/** One byte an image; undefined if no file is named as that of the labels. */
async function readLabels(imagesPath: string, count: number): Promise<Uint8Array | undefined> {
  const path = await findLabels(imagesPath);
  if (path === undefined) return undefined;
  const check = ([labels = 0]: readonly number[]): void => {
    if (labels === count) return;
    throw badInput({
      what: "there are not as many IDX labels as images",
      where: path,
      expected: String(count),
      got: String(labels),
      todo: "Put files of one set side by side, or move the labels away to go without",
    });
  };
  const file = await openIdxFile(path, { what: "IDX labels", rank: 1, check });
  return file.read(0, count);
}

async function findLabels(imagesPath: string): Promise<string | undefined> {
  const images = basename(imagesPath);
  const labels = images.replace(/images(?=[-.]idx3)/, "labels").replace("idx3", "idx1");
  if (labels === images) return undefined;
  const plain = labels.replace(/\.gz$/, "");
  for (const name of labels === plain ? [plain, `${plain}.gz`] : [labels, plain]) {
    const path = join(dirname(imagesPath), name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true) return path;
  }
  return undefined;
}
