/**
 * A file read by byte ranges, for sources with many images in one file. Knows no format; notices when the file is no longer the
 * one that was opened, since offsets found then would now point anywhere.
 */
import type { BigIntStats } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { badInput, TesseraError } from "../../../shared/errors.ts";

export interface RangedFile {
  readonly path: string;
  /** Length in bytes. */
  readonly size: number;
  /**
   * The bytes start … start + length − 1, in a buffer of their own.
   * @throws bad-input if they are not all in the file, it cannot be read, or it changed since it was opened.
   */
  read(start: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Nothing is held open between reads: a source has no end at which to close it.
 * @param what names the kind of file in errors: "CIFAR file".
 * @throws bad-input if there is no file at `path`.
 */
export async function openRangedFile(path: string, what: string): Promise<RangedFile> {
  const opened = await statFile(path, what);
  const size = Number(opened.size);
  const changed = () =>
    badInput({ what: `${what} changed while it was in use`, where: path, todo: "Open it again when it is complete." });
  return {
    path,
    size,
    async read(start, length) {
      if (!(start >= 0 && length >= 0 && start + length <= size)) {
        throw badInput({
          what: `${what} is cut off, or an offset in it is wrong`,
          where: path,
          expected: `at least ${start + length} bytes`,
          got: String(size),
        });
      }
      let handle: FileHandle | undefined;
      try {
        handle = await open(path, "r");
        const bytes = await readFully(handle, start, length);
        const now = await handle.stat({ bigint: true });
        if (bytes === undefined || !sameFile(opened, now)) throw changed();
        return bytes;
      } catch (cause) {
        if (cause instanceof TesseraError) throw cause;
        throw badInput({ what: `${what} cannot be read`, where: path, cause });
      } finally {
        await handle?.close();
      }
    },
  };
}

async function statFile(path: string, what: string): Promise<BigIntStats> {
  let stats: BigIntStats;
  try {
    stats = await stat(path, { bigint: true });
  } catch (cause) {
    throw badInput({ what: `${what} cannot be opened`, where: path, expected: "a file", cause });
  }
  if (!stats.isFile()) throw badInput({ what: `${what} is no file`, where: path, expected: "a file" });
  return stats;
}

/** Undefined if the file ends early. */
async function readFully(
  handle: FileHandle,
  start: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, start + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}

const sameFile = (a: BigIntStats, b: BigIntStats): boolean =>
  a.size === b.size && a.mtimeNs === b.mtimeNs && a.ino === b.ino && a.dev === b.dev;
