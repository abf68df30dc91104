/** Which archives a word stands for: one file, a folder of shards, or a pattern with braces. Knows file names only. */
import type { Dirent, Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { badInput, usageError } from "../../../shared/errors.ts";
import { sortByCodePoint } from "./class-names.ts";

const SHARD = /^[^.].*\.tar$/i;
const BRACES = /\{([^{}]*)\}/;
const RANGE = /^(\d+)\.\.(\d+)$/;
const MAX_SHARDS = 100_000;

/**
 * Paths of the shards: a folder's *.tar files by code point; `train-{000..009}.tar` and `{train,test}.tar` in the order written,
 * padded like the longer end; a path that exists is itself.
 * @throws bad-input naming the first shard that is missing, or a folder without one; usage for a range that is none.
 */
export async function expandShards(pattern: string): Promise<string[]> {
  const stats = await statIfThere(pattern);
  if (stats !== undefined && !stats.isDirectory()) return [pattern];
  const paths = stats === undefined ? expandBraces(pattern) : await findShards(pattern);
  if (paths.length === 0) {
    throw badInput({ what: "no shard in the folder", where: pattern, expected: "at least one .tar file", got: "none" });
  }
  for (const path of paths) {
    if ((await statIfThere(path)) !== undefined) continue;
    const part = paths.length > 1 ? { got: `no such file, of the ${paths.length} in ${pattern}` } : {};
    throw badInput({ what: "shard is missing", where: path, expected: "a tar archive", ...part });
  }
  return paths;
}

/** The archives directly in a folder, by code point; hidden ones are not meant. @throws bad-input if it cannot be listed. */
async function findShards(folder: string): Promise<string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw badInput({ what: "folder cannot be listed", where: folder, todo: "Check its permissions", cause });
  }
  const names = entries.filter((entry) => !entry.isDirectory() && SHARD.test(entry.name)).map(({ name }) => name);
  return sortByCodePoint(names, (name) => name).map((name) => join(folder, name));
}

function expandBraces(pattern: string): string[] {
  let paths = [pattern];
  for (;;) {
    const braces = BRACES.exec(paths[0] ?? "");
    if (braces === null) return paths;
    const choices = choicesOf(braces[1] ?? "", pattern);
    if (paths.length * choices.length > MAX_SHARDS) throw tooMany(pattern);
    paths = paths.flatMap((path) => choices.map((choice) => path.replace(BRACES, () => choice)));
  }
}

/** "000..009" or "a,b,c" as a list. */
function choicesOf(inside: string, pattern: string): string[] {
  const [, first = "", last = ""] = RANGE.exec(inside) ?? [];
  if (first === "") {
    if (inside.includes(",") && !inside.includes("..")) return inside.split(",");
    throw noRange(inside, pattern);
  }
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1)) throw noRange(inside, pattern);
  if (count > MAX_SHARDS) throw tooMany(pattern);
  const isPadded = [first, last].some((end) => end.length > 1 && end.startsWith("0"));
  const width = isPadded ? Math.max(first.length, last.length) : 0;
  return Array.from({ length: count }, (_, i) => String(Number(first) + i).padStart(width, "0"));
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}

function noRange(inside: string, pattern: string) {
  const expected = "a rising range like {000..009} or a list like {a,b}";
  return usageError({ what: "braces stand for no shards", where: pattern, expected, got: `{${inside}}` });
}

function tooMany(pattern: string) {
  return usageError({ what: "stands for too many shards", where: pattern, expected: `at most ${MAX_SHARDS}` });
}
