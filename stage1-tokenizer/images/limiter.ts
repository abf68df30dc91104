/**
 * Bounds how many asynchronous tasks are under way. Knows nothing of what they do.
 */

/** Starts a task now or when one of the `limit` running ones ends; first come, first served. */
export type Limiter = <T>(task: () => Promise<T>) => Promise<T>;

export function createLimiter(limit: number): Limiter {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await task();
    } finally {
      const next = waiting.shift(); // hands its place on, so a newcomer cannot take it in between
      if (next) next();
      else running--;
    }
  };
}
