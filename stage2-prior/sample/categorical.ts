/**
 * Draws one code from a row of logits: the inner loop of every sampler. Knows nothing of grids; allocates nothing per draw.
 */
import { numericalError } from "../../shared/errors.ts";

export interface Draw {
  /** [≥ offset + K]; the row starts at `offset`. */
  readonly logits: Float32Array;
  readonly offset: number;
  /** ≥ 0; 0 takes the most likely code (the lowest of equals). */
  readonly temperature: number;
  /** In [0, 1). */
  readonly uniform: number;
  /** For the error sentence: who asked for this row. */
  readonly image: number;
  readonly position: number;
}

/** Scratch space for rows of K logits. One per sampler run. */
export class Categorical {
  readonly #cumulative: Float64Array;
  #logProbability = 0;

  /** @param codebookSize K */
  constructor(codebookSize: number) {
    this.#cumulative = new Float64Array(codebookSize);
  }

  /** log p(code last drawn) under softmax(logits): the network's own confidence, whatever temperature the draw was made at. */
  get logProbability(): number {
    return this.#logProbability;
  }

  /**
   * A code from softmax(logits / temperature), by inverting its cumulative distribution in double precision.
   * @throws numerical if a logit is NaN or infinite, naming image and position
   */
  draw({ logits, offset, temperature, uniform, image, position }: Draw): number {
    const cumulative = this.#cumulative;
    const best = mostLikely(logits, offset, cumulative.length);
    const largest = logits[offset + best] ?? NaN;
    let total = 0; // Σ (logit − largest): finite if and only if every logit is
    let mass = 0; // Σ exp(logit − largest): softmax(logits)
    let tempered = 0; // Σ exp((logit − largest) / temperature)
    for (let k = 0; k < cumulative.length; k++) {
      const below = (logits[offset + k] ?? NaN) - largest;
      const weight = Math.exp(below);
      total += below;
      mass += weight;
      tempered += temperature === 1 ? weight : Math.exp(below / temperature);
      cumulative[k] = tempered;
    }
    if (!Number.isFinite(total)) throw notFinite(image, position);
    const code = temperature === 0 ? best : firstAbove(cumulative, uniform * tempered);
    this.#logProbability = (logits[offset + code] ?? NaN) - largest - Math.log(mass);
    return code;
  }
}

function mostLikely(logits: Float32Array, offset: number, codebookSize: number): number {
  let best = 0;
  let largest = logits[offset] ?? NaN;
  for (let k = 1; k < codebookSize; k++) {
    const logit = logits[offset + k] ?? NaN;
    if (logit > largest) {
      largest = logit;
      best = k;
    }
  }
  return best;
}

/** Index of the first entry above `target` in a non-decreasing array; a code without mass is never that entry. */
function firstAbove(cumulative: Float64Array, target: number): number {
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((cumulative[middle] ?? 0) > target) high = middle;
    else low = middle + 1;
  }
  return low;
}

function notFinite(image: number, position: number): Error {
  return numericalError({
    what: "the prior's logits are not finite",
    where: `image ${image}, position ${position}`,
    expected: "finite numbers",
    got: "NaN or infinity",
    todo: "The weights are damaged or training diverged: take an earlier checkpoint.",
  });
}
