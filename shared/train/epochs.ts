/** The endless row of epochs, each a permutation of its own: which example stands at which position. Knows no example. */
import type { Rng } from "../rng.ts";

/** Index of the example at a position of the row of epochs; a pure function of (rng, count, position). */
export type EpochOrder = (position: number) => number;

/** @param rng epoch e is permuted by `rng.fork("shuffle", e)`; undefined keeps the order. */
export function epochOrder(count: number, rng: Rng | undefined): EpochOrder {
  let cached: { epoch: number; order: Int32Array } | undefined;
  return (position) => {
    if (rng === undefined) return position % count;
    const epoch = Math.floor(position / count);
    if (cached?.epoch !== epoch) cached = { epoch, order: rng.fork("shuffle", epoch).permutation(count) };
    return cached.order[position % count] ?? 0;
  };
}
