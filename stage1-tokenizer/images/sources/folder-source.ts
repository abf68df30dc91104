/**
 * A folder of image files; the first level of sub-folders names the classes. Knows file names and links, never pixels.
 */
import type { Dirent, Stats } from "node:fs";
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { badInput } from "../../../shared/errors.ts";
import { sortByCodePoint } from "./class-names.ts";
import { type ImageRecord, type ImageSource, iterateRecords } from "../source.ts";

const EXTENSION = /\.(jpe?g|png|webp)$/i;

export interface FoundFile {
  /** Path below the root with "/". */
  readonly key: string;
  /** The same of the file a link points to: a link and its target are one family. */
  readonly family: string;
  readonly path: string;
}

/**
 * Lists every .jpg, .jpeg, .png and .webp file below `path`, sorted by code point. Hidden files and folders, links that lead out
 * of the tree, and links to folders are passed over. A class is a first-level sub-folder with at least one image in it (also
 * if it is the only one); images directly in `path` have no label.
 * @throws bad-input if `path` is missing, no folder, cannot be listed, or holds no image.
 */
export async function openFolderSource(path: string): Promise<ImageSource> {
  const root = await folderRoot(path);
  const files: FoundFile[] = [];
  for await (const file of findImageFiles(root)) files.push(file);
  if (files.length === 0) {
    throw badInput({
      what: "no image in the folder",
      where: path,
      expected: "at least one .jpg, .jpeg, .png or .webp file",
      got: "none",
      todo: "Check the path; hidden files and links out of the folder do not count.",
    });
  }
  const sorted = sortByCodePoint(files, (file) => file.key);
  const names = new Set(sorted.map((file) => className(file.key)).filter((name) => name !== undefined));
  const classes = sortByCodePoint([...names], (name) => name);
  const labels = new Map(classes.map((name, label) => [name, label]));
  const records = sorted.map((file) => folderRecord(file, labels));
  return {
    name: `folder ${basename(resolve(path))}`,
    classes,
    records: () => iterateRecords(records),
  };
}

function folderRecord(file: FoundFile, labels: ReadonlyMap<string, number>): ImageRecord {
  const name = className(file.key);
  const label = name === undefined ? undefined : labels.get(name);
  const record = { key: file.key, family: file.family, read: () => readFile(file.path) };
  return label === undefined ? record : { ...record, label };
}

function className(key: string): string | undefined {
  const end = key.indexOf("/");
  return end < 0 ? undefined : key.slice(0, end);
}

async function folderRoot(path: string): Promise<string> {
  const todo = "Give the path of a folder of images.";
  let stats: Stats;
  try {
    stats = await stat(path);
  } catch (cause) {
    throw badInput({ what: "image folder cannot be opened", where: path, expected: "a folder", todo, cause });
  }
  if (!stats.isDirectory()) {
    throw badInput({ what: "is not a folder", where: path, expected: "a folder", got: "a file", todo });
  }
  return realpath(path);
}

/** Image files below `folder`, a real path, in no particular order. @throws bad-input if a folder cannot be listed. */
export async function* findImageFiles(folder: string, root = folder): AsyncGenerator<FoundFile, void, undefined> {
  for (const entry of await listFolder(folder)) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* findImageFiles(path, root);
    else if (!EXTENSION.test(entry.name)) continue;
    else if (entry.isFile()) yield { key: keyOf(path, root), family: keyOf(path, root), path };
    else if (entry.isSymbolicLink()) {
      const target = await fileBehindLink(path);
      if (target?.startsWith(root + sep)) yield { key: keyOf(path, root), family: keyOf(target, root), path };
    }
  }
}

async function listFolder(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw badInput({
      what: "folder cannot be listed",
      where: folder,
      todo: "Check its permissions.",
      cause,
    });
  }
}

/** The real path of the file a link leads to; undefined for a broken link and for a folder. */
async function fileBehindLink(path: string): Promise<string | undefined> {
  try {
    const target = await realpath(path);
    return (await stat(target)).isFile() ? target : undefined;
  } catch {
    return undefined;
  }
}

const keyOf = (path: string, root: string): string => relative(root, path).split(sep).join("/");
