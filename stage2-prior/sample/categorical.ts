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

/** Which codes may be drawn at all; nothing is cut off where neither is given. */
export interface Truncation {
  /** Only the `topK` likeliest codes, ≥ 1. */
  readonly topK?: number | undefined;
  /**
   * Only the nucleus: the fewest likeliest codes that together hold `topP` of the mass, in (0, 1]. With `topK` as well, of the mass
   * that `topK` left.
   *
   * Source: Holtzman, Buys, Du, Forbes, Choi, "The Curious Case of Neural Text Degeneration", ICLR 2020, arXiv:1904.09751, §3.1.
   */
  readonly topP?: number | undefined;
}

/** Scratch space for rows of K logits. One per sampler run. */
export class Categorical {
  readonly #cumulative: Float64Array;
  readonly #topK: number;
  readonly #topP: number;
  /** A row's logits, ascending; only there if something is to be cut off. */
  readonly #sorted: Float32Array | undefined;
  #logProbability = 0;

  /** @param codebookSize K */
  constructor(codebookSize: number, { topK = codebookSize, topP = 1 }: Truncation = {}) {
    this.#cumulative = new Float64Array(codebookSize);
    this.#topK = Math.min(topK, codebookSize);
    this.#topP = topP;
    this.#sorted = this.#topK < codebookSize || topP < 1 ? new Float32Array(codebookSize) : undefined;
  }

  /** log p(code last drawn) under softmax(logits): the network's own confidence, whatever temperature the draw was made at. */
  get logProbability(): number {
    return this.#logProbability;
  }

  /**
   * A code from softmax(logits / temperature), truncated if so asked, by inverting its cumulative distribution in double precision.
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
    if (this.#sorted !== undefined) tempered = this.#truncate(this.#sorted, { logits, offset, temperature, largest });
    const code = temperature === 0 ? best : firstAbove(cumulative, uniform * tempered);
    this.#logProbability = (logits[offset + code] ?? NaN) - largest - Math.log(mass);
    return code;
  }

  /**
   * Takes the mass of every code outside top-k and nucleus; of equal logits the lower code stays.
   * @returns the mass that is left
   */
  #truncate(sorted: Float32Array, row: Row): number {
    const cumulative = this.#cumulative;
    const { logits, offset } = row;
    for (let k = 0; k < sorted.length; k++) sorted[k] = logits[offset + k] ?? NaN;
    sorted.sort();
    const kept = nucleusSize(sorted, row, { topK: this.#topK, topP: this.#topP });
    const least = sorted[sorted.length - kept] ?? NaN;
    let equals = kept; // how many of those that equal the least are kept
    for (let i = sorted.length - 1; (sorted[i] ?? NaN) > least; i--) equals--;
    let left = 0;
    for (let k = 0; k < cumulative.length; k++) {
      const logit = logits[offset + k] ?? NaN;
      if (logit > least || (logit === least && equals-- > 0)) left += temperedWeight(logit, row);
      cumulative[k] = left;
    }
    return left;
  }
}

interface Row {
  readonly logits: Float32Array;
  readonly offset: number;
  readonly temperature: number;
  /** The row's largest logit. */
  readonly largest: number;
}

const temperedWeight = (logit: number, { largest, temperature }: Row): number =>
  temperature === 0 ? Number(logit === largest) : Math.exp((logit - largest) / temperature);

/** How many of the largest logits are kept. `sorted` is ascending. */
function nucleusSize(sorted: Float32Array, row: Row, { topK, topP }: { topK: number; topP: number }): number {
  if (topP === 1) return topK;
  const weight = (rank: number): number => temperedWeight(sorted[sorted.length - 1 - rank] ?? NaN, row);
  let mass = 0;
  for (let rank = 0; rank < topK; rank++) mass += weight(rank);
  let held = weight(0);
  let kept = 1;
  while (kept < topK && held < topP * mass) held += weight(kept++);
  return kept;
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
