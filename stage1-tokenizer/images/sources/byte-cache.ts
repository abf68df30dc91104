/**
 * Keeps what was loaded last, up to a number of bytes. Knows nothing of what it keeps.
 */
import { createLimiter } from "../limiter.ts";

export interface ByteCache<T> {
  /** What `load` gave for this key, or gives now. Who asks for a key that is being loaded waits for the same load. */
  get(key: string, load: () => Promise<T>): Promise<T>;
}

/**
 * The last value stays even if it alone is larger than `budget`; one at a time is loaded, so that memory is at most the budget, or
 * that value, and one in the making. A load that fails is not kept.
 * @param bytesOf size of a value
 */
export function createByteCache<T>(budget: number, bytesOf: (value: T) => number): ByteCache<T> {
  const kept = new Map<string, T>(); // least recently used first
  const loading = new Map<string, Promise<T>>();
  const limiter = createLimiter(1);
  let total = 0;
  const keep = (key: string, value: T): void => {
    kept.set(key, value);
    total += bytesOf(value);
    for (const [oldest, dropped] of kept) {
      if (total <= budget || oldest === key) break;
      kept.delete(oldest);
      total -= bytesOf(dropped);
    }
  };
  const load = async (key: string, make: () => Promise<T>): Promise<T> => {
    try {
      const value = await limiter(make);
      keep(key, value);
      return value;
    } finally {
      loading.delete(key);
    }
  };
  return {
    get(key, make) {
      const value = kept.get(key);
      if (value !== undefined) {
        kept.delete(key);
        kept.set(key, value);
        return Promise.resolve(value);
      }
      const promise = loading.get(key) ?? load(key, make);
      loading.set(key, promise);
      return promise;
    },
  };
}
