/** Means of a run's figures over its last steps: a batch alone says little. Knows no loop. */
import type { Metrics } from "./loop.ts";

export interface RecentMeans {
  add(metrics: Metrics): void;
  /** Of every figure in the last `window` additions; empty before the first. */
  means(): Metrics;
}

export function createRecentMeans(window: number): RecentMeans {
  const recent: Metrics[] = [];
  return {
    add(metrics) {
      recent.push(metrics);
      if (recent.length > window) recent.shift();
    },
    means() {
      const names = Object.keys(recent.at(-1) ?? {});
      const mean = (name: string): number =>
        recent.reduce((sum, metrics) => sum + (metrics[name] ?? NaN), 0) / recent.length;
      return Object.fromEntries(names.map((name) => [name, mean(name)]));
    },
  };
}
