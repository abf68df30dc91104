/**
 * The few file-system operations that writing needs, as one small object, so that a full or read-only disk can be put in its
 * place. Knows nothing of what is written.
 */
import { lstat, mkdir, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";

import { failure, TesseraError, usageError } from "./errors.ts";

export interface DiskFile {
  /** Writes all of `bytes` at the end of what was written before. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when everything written is on the medium (fsync). */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** Creates one directory; rejects with EEXIST if the path exists. */
  makeDirectory(path: string): Promise<void>;
  /** Creates a directory and whichever parents are missing. */
  makeParents(path: string): Promise<void>;
  /** `wx` creates a file that must not exist; `r+` opens one that must; `a` adds to one that may. */
  open(path: string, flags: "wx" | "r+" | "a"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or a whole directory; a missing path is no error. */
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  list(path: string): Promise<readonly { name: string; directory: boolean }[]>;
}

export const realDisk: Disk = {
  makeDirectory: async (path) => {
    await mkdir(path);
  },
  makeParents: async (path) => {
    try {
      await mkdir(path, { recursive: true });
    } catch (error) {
      // The last part is a file: the same mistake as a file further up, which is ENOTDIR.
      throw errorNumber(error) === "EEXIST"
        ? Object.assign(new Error(`not a folder: ${path}`, { cause: error }), { code: "ENOTDIR" })
        : error;
    }
  },
  open: async (path, flags) => wrapHandle(await open(path, flags)),
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  syncDirectory: async (path) => {
    if (process.platform === "win32") return; // a directory cannot be opened there
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  exists: async (path) => {
    try {
      await lstat(path);
      return true;
    } catch (error) {
      if (errorNumber(error) === "ENOENT") return false;
      throw error;
    }
  },
  list: async (path) =>
    (await readdir(path, { withFileTypes: true })).map((entry) => ({
      name: entry.name,
      directory: entry.isDirectory(),
    })),
};

function wrapHandle(handle: FileHandle): DiskFile {
  return {
    async write(bytes) {
      let done = 0;
      while (done < bytes.length) done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
    },
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

/** Writes a new file and waits until it is on the medium. */
export async function writeSynced(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, "wx");
  try {
    await file.write(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** "ENOENT" and its like, where the error has one. */
export function errorNumber(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Turns a file-system error into a sentence (exit 1); lets our own errors and everything else through unchanged. */
export function explainDiskError(error: unknown, where: string): unknown {
  const code = errorNumber(error);
  if (error instanceof TesseraError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const sentence = { where, got: code, cause: error };
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return failure({ ...sentence, what: "the disk is full", todo: "Free some space and run the command again." });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return failure({
        ...sentence,
        what: "cannot be written: the folder is read-only or belongs to someone else",
        todo: "Choose another output folder or change its permissions.",
      });
    case "ENOTDIR":
      return usageError({
        ...sentence,
        what: "lies inside something that is not a folder",
        todo: "Choose another path.",
      });
    default:
      return failure({ ...sentence, what: "writing failed" });
  }
}
