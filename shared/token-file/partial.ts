/**
 * Names and owners of partial sets: the hidden directory `.<name>.partial-<pid>-<thread>` in which a set is written until it is
 * whole. Unlike other temporary siblings it outlives its process, because its records can be saved.
 */
import { basename, dirname, join, resolve } from "node:path";
import { threadId } from "node:worker_threads";

import { realDisk, type Disk } from "../disk.ts";
import { usageError } from "../errors.ts";
import { processIsAlive } from "../publish.ts";

/** Partial directories this thread writes to. */
const active = new Set<string>();

export const markActive = (partial: string): void => void active.add(resolve(partial));
export const markEnded = (partial: string): void => void active.delete(resolve(partial));

/** What interrupted runs left of the set `directory`. @throws usage if a running process is writing it. */
export async function findPartials(directory: string, disk: Disk = realDisk): Promise<string[]> {
  const parent = dirname(resolve(directory));
  if (!(await disk.exists(parent))) return [];
  const found: string[] = [];
  for (const { name } of await disk.list(parent)) {
    if (!name.startsWith(`.${basename(resolve(directory))}.partial-`)) continue;
    const partial = join(parent, name);
    if (isBeingWritten(partial)) {
      throw usageError({
        what: "is being written by another process",
        where: directory,
        got: partial,
        todo: "Wait for it to end, or choose another name.",
      });
    }
    found.push(partial);
  }
  return found.sort();
}

export const partialPath = (directory: string): string =>
  join(dirname(resolve(directory)), `.${basename(resolve(directory))}.partial-${process.pid}-${threadId}`);

/** `.<name>.partial-<pid>-<thread>` → the directory it was to become. */
export function targetOfPartial(partial: string): string | undefined {
  const name = /^\.(.+)\.partial-\d+-\d+$/.exec(basename(resolve(partial)))?.[1];
  return name === undefined ? undefined : join(dirname(resolve(partial)), name);
}

export function isBeingWritten(partial: string): boolean {
  if (active.has(resolve(partial))) return true;
  const owner = /\.partial-(\d+)-(\d+)$/.exec(partial);
  const pid = Number(owner?.[1]);
  return pid !== process.pid && processIsAlive(pid);
}
