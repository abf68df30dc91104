/**
 * Images that a CSV, TSV or JSON Lines file names, with labels and families of its own. Knows the list and its folder, never pixels.
 */
import { readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, posix, relative, sep, win32 } from "node:path";
import { badInput, type TesseraError } from "../../../shared/errors.ts";
import { findImageFiles, type FoundFile } from "./folder-source.ts";
import { lineOf, type ListedImage, readLabelFile } from "./label-file.ts";
import { orderClasses } from "./class-names.ts";
import { type ImageRecord, type ImageSource, iterateRecords } from "../source.ts";

/** Names of files that a message spells out. */
const MOST_NAMED = 5;

interface LocatedImage extends ListedImage {
  readonly found: FoundFile;
}

/**
 * Opens a list whose files are relative to its own folder, in the order of the list. Columns (or JSON fields): file, and optionally
 * label and family. Labels are text; classes are sorted as numbers if all are integers, else by code point. Without a family, links
 * and the file they lead to are one. Images of the folder that the list misses are told in `notes`.
 * @throws usage for an unknown extension; bad-input for a malformed line, a file that is missing, listed twice, or outside the
 *   folder, and for an empty list.
 */
export async function openLabelledSource(path: string): Promise<ImageSource> {
  const listed = await readLabelFile(path);
  if (listed.length === 0) throw badInput({ what: "lists no image", where: path, expected: "at least one line" });
  const root = await realpath(dirname(path));
  const inFolder = new Map<string, FoundFile>();
  for await (const file of findImageFiles(root)) inFolder.set(file.key, file);
  const located = await locate(listed, { path, root, inFolder });
  const classes = orderClasses(new Set(located.flatMap(({ label }) => (label === undefined ? [] : [label]))));
  const labels = new Map(classes.map((name, label) => [name, label]));
  const records = located.map((image) => toRecord(image, labels));
  for (const { found } of located) inFolder.delete(found.key);
  return {
    name: `labels ${basename(path)}`,
    classes,
    notes: unlistedNotes([...inFolder.keys()], path),
    records: () => iterateRecords(records),
  };
}

function toRecord({ found, label, family }: LocatedImage, labels: ReadonlyMap<string, number>): ImageRecord {
  const record = { key: found.key, family: family ?? found.family, read: () => readFile(found.path) };
  const index = label === undefined ? undefined : labels.get(label);
  return index === undefined ? record : { ...record, label: index };
}

interface Place {
  readonly path: string;
  readonly root: string;
  readonly inFolder: ReadonlyMap<string, FoundFile>;
}

async function locate(listed: readonly ListedImage[], place: Place): Promise<LocatedImage[]> {
  const lines = new Map<string, number>();
  const located: LocatedImage[] = [];
  const missing: ListedImage[] = [];
  for (const image of listed) {
    const where = lineOf(place.path, image.line);
    const key = keyOf(image.file, where);
    const earlier = lines.get(key);
    if (earlier !== undefined) {
      throw badInput({ what: `${key} is listed twice`, where, expected: "once", got: `line ${earlier} too` });
    }
    lines.set(key, image.line);
    const found = place.inFolder.get(key) ?? (await fileAt(key, place.root, where));
    if (found === undefined) missing.push(image);
    else located.push({ ...image, found });
  }
  if (missing.length > 0) throw areMissing(missing, place.path);
  return located;
}

/** The path below the folder, without "./" and the like. @throws bad-input if it leads elsewhere. */
function keyOf(file: string, where: string): string {
  const key = posix.normalize(file);
  const drive = win32.parse(file).root;
  if (drive === "" && key !== ".." && !key.startsWith("../")) return key;
  throw outside(file, where);
}

/** A file that no image file of the folder is: another extension, hidden, below a link. Undefined if there is none. */
async function fileAt(key: string, root: string, where: string): Promise<FoundFile | undefined> {
  let path: string;
  try {
    path = await realpath(`${root}${sep}${key}`);
    if (!(await stat(path)).isFile()) return undefined;
  } catch {
    return undefined;
  }
  if (!path.startsWith(root + sep)) throw outside(key, where);
  return { key, family: relative(root, path).split(sep).join("/"), path };
}

function unlistedNotes(unlisted: readonly string[], path: string): string[] {
  if (unlisted.length === 0) return [];
  const images = unlisted.length === 1 ? "1 image file" : `${unlisted.length} image files`;
  const verbs = unlisted.length === 1 ? "is not in it and is left out" : "are not in it and are left out";
  return [`${path}: ${images} of its folder ${verbs}: ${someOf([...unlisted].sort())}`];
}

function someOf(names: readonly string[]): string {
  return `${names.slice(0, MOST_NAMED).join(", ")}${names.length > MOST_NAMED ? ", …" : ""}`;
}

function outside(file: string, where: string): TesseraError {
  return badInput({
    what: `${JSON.stringify(file)} leads out of the list's folder`,
    where,
    expected: "a path inside it, without a link out",
    todo: "Move the list above its images",
  });
}

function areMissing(missing: readonly ListedImage[], path: string): TesseraError {
  const names = someOf(missing.map(({ file, line }) => `${file} (line ${line})`));
  return badInput({
    what: missing.length === 1 ? "a listed image is missing" : `${missing.length} listed images are missing`,
    where: path,
    expected: "files, relative to the list's folder",
    got: `no ${names}`,
  });
}
