/**
 * Makes directories and files appear whole or not at all: write to a temporary sibling, fsync, rename, fsync the parent. Knows
 * nothing of what is inside.
 *
 * Temporary names carry the process and thread that own them; the next publication of the same target removes those whose owner
 * is gone. Owners are looked up on this machine: two machines must not publish one target on a shared disk at the same time.
 */
import { basename, dirname, join, resolve } from "node:path";
import { threadId } from "node:worker_threads";

import { explainDiskError, realDisk, writeSynced, type Disk } from "./disk.ts";
import { usageError } from "./errors.ts";

export interface PublishOptions {
  /** Replaces an existing target as a whole; without it an existing target is a usage error. */
  readonly overwrite?: boolean;
  /** Called when everything else is on the medium: writes what must be last (the manifest). */
  readonly seal?: (directory: string) => Promise<void>;
  readonly disk?: Disk;
}

/** Temporary paths in use by this thread. */
const active = new Set<string>();
let serial = 0;

/**
 * Lets `write` (then `seal`) fill a temporary sibling of `target` and moves it there. On any error `target` is as it was and the
 * sibling is gone.
 * @throws usage if `target` exists and `overwrite` is not set; failure if the disk is full or read-only; whatever `write` throws.
 */
export async function publishDirectory(
  target: string,
  write: (directory: string) => Promise<void>,
  options: PublishOptions = {},
): Promise<void> {
  const { disk = realDisk, seal } = options;
  let temporary: string | undefined;
  try {
    await prepareTarget(target, options);
    temporary = claimSibling(target, "tmp");
    await disk.makeDirectory(temporary);
    await write(temporary);
    await syncTree(temporary, disk);
    if (seal !== undefined) {
      await seal(temporary);
      await syncTree(temporary, disk);
    }
    await commitDirectory(temporary, target, options);
  } catch (error) {
    if (temporary !== undefined) await disk.remove(temporary).catch(() => undefined);
    throw explainDiskError(error, target);
  } finally {
    if (temporary !== undefined) active.delete(temporary);
  }
}

/** Creates the parent, removes what dead processes left beside `target`, and refuses an existing one. */
export async function prepareTarget(target: string, options: PublishOptions = {}): Promise<void> {
  const { disk = realDisk, overwrite = false } = options;
  await disk.makeParents(dirname(resolve(target)));
  await sweep(target, disk);
  if (!overwrite && (await disk.exists(target))) throw targetExists(target);
}

/**
 * Moves a finished, already synced directory to `target`. If anything fails, the move is undone and `temporary` is where it was.
 * @throws usage if `target` exists and `overwrite` is not set.
 */
export async function commitDirectory(temporary: string, target: string, options: PublishOptions = {}): Promise<void> {
  const { disk = realDisk, overwrite = false } = options;
  const parent = dirname(resolve(target));
  const undo: (() => Promise<void>)[] = [];
  let aside: string | undefined;
  try {
    if (await disk.exists(target)) {
      if (!overwrite) throw targetExists(target);
      const old = claimSibling(target, "old");
      aside = old;
      await disk.rename(target, old);
      undo.unshift(() => disk.rename(old, target));
    }
    await disk.rename(temporary, target);
    undo.unshift(() => disk.rename(target, temporary));
    await disk.syncDirectory(parent);
    // The new directory stands; an old one that cannot be removed now is swept up by the next publication.
    if (aside !== undefined) await disk.remove(aside).catch(() => undefined);
  } catch (error) {
    for (const step of undo) await step();
    throw error;
  } finally {
    if (aside !== undefined) active.delete(aside);
  }
}

/**
 * Replaces one file. A reader sees the old contents or the new ones, also after a crash; on any error the old ones stay.
 * @throws failure if the disk is full or read-only.
 */
export async function writeFileAtomically(path: string, bytes: Uint8Array, disk: Disk = realDisk): Promise<void> {
  const parent = dirname(resolve(path));
  let temporary: string | undefined;
  try {
    await prepareTarget(path, { disk, overwrite: true });
    temporary = claimSibling(path, "tmp");
    await writeSynced(disk, temporary, bytes);
    await disk.rename(temporary, path);
    await disk.syncDirectory(parent);
  } catch (error) {
    if (temporary !== undefined) await disk.remove(temporary).catch(() => undefined);
    throw explainDiskError(error, path);
  } finally {
    if (temporary !== undefined) active.delete(temporary);
  }
}

/** fsync of every file and directory below `directory`, and of itself. */
export async function syncTree(directory: string, disk: Disk = realDisk): Promise<void> {
  for (const entry of await disk.list(directory)) {
    const path = join(directory, entry.name);
    if (entry.directory) {
      await syncTree(path, disk);
      continue;
    }
    const file = await disk.open(path, "r+");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await disk.syncDirectory(directory);
}

/** A process that can be signalled, or that exists but belongs to someone else. */
export function processIsAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

function claimSibling(target: string, purpose: "tmp" | "old"): string {
  const path = join(
    dirname(resolve(target)),
    `.${basename(resolve(target))}.${purpose}-${process.pid}-${threadId}-${serial++}`,
  );
  active.add(path);
  return path;
}

/** Removes leftovers of dead owners; puts an old directory back that was moved aside by a replacement that never finished. */
async function sweep(target: string, disk: Disk): Promise<void> {
  const parent = dirname(resolve(target));
  const prefix = `.${basename(resolve(target))}.`;
  for (const { name } of await disk.list(parent)) {
    if (!name.startsWith(prefix)) continue;
    const match = /^(tmp|old)-(\d+)-(\d+)-\d+$/.exec(name.slice(prefix.length));
    if (match === null) continue;
    const path = join(parent, name);
    const own = Number(match[2]) === process.pid && Number(match[3]) === threadId;
    if (own ? active.has(path) : processIsAlive(Number(match[2])) && Number(match[2]) !== process.pid) continue;
    if (match[1] === "old" && !(await disk.exists(target))) await disk.rename(path, target);
    else await disk.remove(path);
  }
}

function targetExists(target: string): Error {
  return usageError({
    what: "exists already",
    where: target,
    todo: "Published artefacts are never modified: choose another name, remove it, or ask for it to be replaced.",
  });
}
