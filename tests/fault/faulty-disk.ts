/** A disk that fails at the n-th operation that changes anything. Knows no test. */
import { realDisk, type Disk, type DiskFile } from "../../shared/disk.ts";

export interface FaultyDisk extends Disk {
  /** Changing operations so far. */
  operations(): number;
  /** Whether the fault has happened. */
  failed(): boolean;
}

export interface Fault {
  /** Which changing operation fails, from 0; Infinity for none. */
  readonly at: number;
  readonly code: string;
  /** Writing and syncing go on failing afterwards, as on a disk that stays full. */
  readonly stays?: boolean;
  /** Called instead of throwing. */
  readonly instead?: () => void;
}

export function createFaultyDisk({ at, code, stays = false, instead }: Fault): FaultyDisk {
  let count = 0;
  let failed = false;
  const step = (what: string, isWrite = true): void => {
    const hit = count++ === at || (failed && stays && isWrite);
    if (!hit) return;
    failed = true;
    if (instead !== undefined) instead();
    throw Object.assign(new Error(`${code}: simulated, ${what}`), { code });
  };
  const wrap = (file: DiskFile): DiskFile => ({
    async write(bytes) {
      if (count === at) await file.write(bytes.subarray(0, bytes.length >> 1)); // what fits still lands
      step("write");
      await file.write(bytes);
    },
    async sync() {
      step("fsync");
      await file.sync();
    },
    close: () => file.close(),
  });
  return {
    ...realDisk,
    operations: () => count,
    failed: () => failed,
    async makeDirectory(path) {
      step("mkdir");
      await realDisk.makeDirectory(path);
    },
    async makeParents(path) {
      step("mkdir");
      await realDisk.makeParents(path);
    },
    async open(path, flags) {
      step("open");
      return wrap(await realDisk.open(path, flags));
    },
    async rename(from, to) {
      step("rename", false);
      await realDisk.rename(from, to);
    },
    async syncDirectory(path) {
      step("fsync");
      await realDisk.syncDirectory(path);
    },
  };
}
