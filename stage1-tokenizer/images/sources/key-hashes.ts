/** Finds keys that occur twice among millions, at 8 bytes a key. Knows no source. */
import { createHash } from "node:crypto";

export interface KeyHashes {
  add(key: string): void;
  /** Undefined if no key was added twice; else true of those that were, and, once in 2^48, of another one. Ends the collecting. */
  repeated(): ((key: string) => boolean) | undefined;
}

const FIRST_ROOM = 1024;

export function createKeyHashes(): KeyHashes {
  let hashes = new Float64Array(FIRST_ROOM);
  let count = 0;
  return {
    add(key) {
      if (count === hashes.length) {
        const larger = new Float64Array(2 * count);
        larger.set(hashes);
        hashes = larger;
      }
      hashes[count++] = hashOf(key);
    },
    repeated() {
      const sorted = hashes.subarray(0, count).sort();
      const twice = new Set<number>();
      for (let i = 1; i < count; i++) if (sorted[i] === sorted[i - 1]) twice.add(sorted[i] ?? 0);
      return twice.size === 0 ? undefined : (key) => twice.has(hashOf(key));
    },
  };
}

/** The first 48 bits of sha256, which a number holds exactly. */
const hashOf = (key: string): number => createHash("sha256").update(key).digest().readUIntBE(0, 6);
