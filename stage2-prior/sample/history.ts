/** The tokens that a causal network was given so far, for those that keep them as they are instead of a cache. */
import { UNKNOWN } from "../../shared/tokens.ts";

export interface History {
  /** [N, L] in raster order, `UNKNOWN` where nothing was given yet. */
  readonly tokens: Int32Array;
  /** The position asked for: all before it are known. */
  readonly position: number;
}

/**
 * Made for one decoding.
 * @returns a function of what a causal network is given, `previous` [N, T]; each token is passed once
 */
export function createHistory({ count, length }: { count: number; length: number }): (previous: Int32Array) => History {
  const tokens = new Int32Array(count * length).fill(UNKNOWN); // [N, L]
  let next = 0; // position whose preceding token comes first in the next call
  return (previous) => {
    const steps = previous.length / count;
    for (let image = 0; image < count; image++) {
      for (let step = 0; step < steps; step++) {
        const position = next + step - 1; // where the token stands; nothing stands before position 0
        if (position >= 0) tokens[image * length + position] = previous[image * steps + step] ?? UNKNOWN;
      }
    }
    next += steps;
    return { tokens, position: next - 1 };
  };
}
