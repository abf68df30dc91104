/**
 * Images in Parquet, one a row, as Hugging Face data sets are published: encoded files in one column, labels in another. Knows how
 * rows become records; parquet-file.ts knows the footer, parquet-column.ts the values. Rows are read by whole row groups: in
 * order that costs nothing, in any other order only if the data fits the cache.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { badInput, TesseraError } from "../../../shared/errors.ts";
import { createByteCache } from "./byte-cache.ts";
import { rowKey } from "./numbered-rows.ts";
import type { ParquetFile } from "./parquet-file.ts";
import { byCodePoint, classesOf, type Label, type LabelClasses, toLabel } from "./parquet-labels.ts";
import type { ImageRecord, ImageSource } from "../source.ts";

/** Bytes of row groups kept; a single larger one is kept alone. */
const CACHE_BYTES = 2 ** 28;
/** More are no classes but captions. */
const MAX_CLASSES = 100_000;

/** The images of a row group, or why there are none: a damaged group is not decoded again for each of its rows. */
type RowGroup = { readonly images: readonly unknown[] } | { readonly failure: TesseraError };

/** The values of a group of rows, by column. */
interface Reader {
  /** One a row; none at all if the file has no labels. */
  labels(file: ParquetFile, group: number): Promise<readonly (Label | undefined)[]>;
  images(file: ParquetFile, group: number): Promise<RowGroup>;
}

/**
 * @param path a .parquet file, or a folder of them, taken in the order of their names. Images are in a column "image" (or "img",
 *   "image_bytes", "bytes"), labels in "label" or "class"; where there are none of these, in what the metadata calls so. Classes
 *   are those that occur, by number or by name; a row whose label is null, −1 or empty has none.
 * @throws bad-input if there is no such file, a footer does not hold together, there is no column of images, or a label cannot be
 *   read or is out of range. Images are looked at when they are read: then a damaged row group or a row without one is bad input.
 */
export async function openParquet(path: string): Promise<ImageSource> {
  const { openParquetFile } = await import("./parquet-file.ts"); // lazily: the libraries take 50 ms to load
  const files: ParquetFile[] = [];
  for (const file of await findFiles(path)) files.push(await openParquetFile(file));
  checkAlike(files, path);
  const reader = await createReader();
  const { classes, labelOf } = await findClasses(files, reader, path);
  return {
    name: `parquet ${basename(resolve(path))}`,
    classes,
    async *records() {
      for (const file of files) yield* recordsOf(file, reader, labelOf);
    },
  };
}

async function findFiles(path: string): Promise<string[]> {
  let names: string[];
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    names = (await readdir(path)).filter((name) => /^[^.].*\.parquet$/i.test(name));
  } catch (cause) {
    throw badInput({ what: "Parquet data cannot be opened", where: path, expected: "a folder or a file", cause });
  }
  if (names.length > 0) return names.sort(byCodePoint).map((name) => join(path, name));
  throw badInput({ what: "no .parquet file in the folder", where: path, todo: "Sub-folders are not looked into" });
}

/** Labels of one file must mean the same in the next. */
function checkAlike(files: readonly ParquetFile[], path: string): void {
  const labelsOf = ({ labels }: ParquetFile): string =>
    labels === undefined ? "no labels" : `labels of type ${labels.kind}, with names ${JSON.stringify(labels.names)}`;
  const [first = "", ...others] = files.map(labelsOf);
  const other = others.findIndex((labels) => labels !== first);
  if (other >= 0) {
    throw badInput({
      what: "Parquet files of the folder do not belong together",
      where: files[other + 1]?.file.path ?? path,
      expected: `${first}, as in the first file`,
      got: others[other] ?? "",
      todo: "Put the files of a data set into a folder of their own",
    });
  }
  if (files.every(({ groups }) => groups.every((rows) => rows === 0))) {
    throw badInput({ what: "Parquet data has no row", where: path });
  }
}

async function createReader(): Promise<Reader> {
  const { readColumn } = await import("./parquet-column.ts");
  const cache = createByteCache<RowGroup>(CACHE_BYTES, bytesOf);
  return {
    async labels({ file, labels: column }, group) {
      if (column === undefined) return [];
      const where = groupName(file.path, group);
      try {
        const values = await readColumn(file, column, group, { text: true });
        return values.map((value, row) => toLabel(value, column, `${where}, row ${row} of it`));
      } catch (cause) {
        throw asBadInput("labels", where, cause);
      }
    },
    images: ({ file, images: column }, group) => {
      const where = groupName(file.path, group);
      return cache.get(where, async () => {
        try {
          return { images: await readColumn(file, column, group, { text: false }) };
        } catch (cause) {
          if (cause instanceof TesseraError) throw cause; // of the file, not of what is in it
          return { failure: asBadInput("images", where, cause) };
        }
      });
    },
  };
}

const groupName = (path: string, group: number): string => `${path}, row group ${group}`;

function asBadInput(column: string, where: string, cause: unknown): TesseraError {
  if (cause instanceof TesseraError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return badInput({ what: `${column} cannot be decoded: ${reason}`, where, todo: "The file is damaged", cause });
}

/** Images are views of the pages they came in, which several may share. */
function bytesOf(group: RowGroup): number {
  if ("failure" in group) return 0;
  const pages = new Set(group.images.flatMap((image) => (image instanceof Uint8Array ? [image.buffer] : [])));
  return [...pages].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Reads all labels once, a row group's at a time, to find those that occur. */
async function findClasses(files: readonly ParquetFile[], reader: Reader, path: string): Promise<LabelClasses> {
  const used = new Set<Label>();
  for (const file of files) {
    for (const group of file.groups.keys()) {
      for (const label of await reader.labels(file, group)) if (label !== undefined) used.add(label);
      if (used.size <= MAX_CLASSES) continue;
      throw badInput({ what: "Parquet data has too many classes", where: path, expected: `at most ${MAX_CLASSES}` });
    }
  }
  return classesOf(used, files[0]?.labels?.names ?? []);
}

async function* recordsOf(
  file: ParquetFile,
  reader: Reader,
  labelOf: LabelClasses["labelOf"],
): AsyncGenerator<ImageRecord> {
  let first = 0;
  for (const [group, rows] of file.groups.entries()) {
    const labels = await reader.labels(file, group);
    for (let row = 0; row < rows; row++) {
      const key = `${file.stem}/${rowKey(first + row)}`;
      const read = async (): Promise<Uint8Array> => imageOf(await reader.images(file, group), row, key);
      const label = labelOf.get(labels[row] ?? "");
      yield label === undefined ? { key, family: key, read } : { key, family: key, label, read };
    }
    first += rows;
  }
}

function imageOf(group: RowGroup, row: number, where: string): Uint8Array {
  if ("failure" in group) throw group.failure;
  const image = group.images[row];
  // A copy: a view would keep its whole page in memory for as long as the caller keeps the image.
  if (image instanceof Uint8Array) return image.slice();
  throw badInput({
    what: "row has no image",
    where,
    expected: "bytes",
    got: "null",
    todo: "Images kept elsewhere, by path, are not followed",
  });
}
