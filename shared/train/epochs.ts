/** The endless row of epochs, each a permutation of its own: which example stands at which position. Knows no example. */
import type { Rng } from "../rng.ts";

/** Index of the example at a position of the row of epochs; a pure function of (rng, count, position). */
export type EpochOrder = (position: number) => number;

/** Epochs remembered: batches that are made ahead reach into the next one while the last is still being filled. */
const REMEMBERED = 3;

/** @param rng epoch e is permuted by `rng.fork("shuffle", e)`; undefined keeps the order. */
export function epochOrder(count: number, rng: Rng | undefined): EpochOrder {
  const remembered = new Map<number, Int32Array>();
  const permutationOf = (epoch: number, shuffle: Rng): Int32Array => {
    const known = remembered.get(epoch);
    if (known !== undefined) return known;
    const order = shuffle.fork("shuffle", epoch).permutation(count);
    const oldest = remembered.keys().next();
    if (remembered.size >= REMEMBERED && oldest.done !== true) remembered.delete(oldest.value);
    remembered.set(epoch, order);
    return order;
  };
  return (position) => {
    const offset = position % count;
    return rng === undefined ? offset : (permutationOf(Math.floor(position / count), rng)[offset] ?? 0);
  };
}
