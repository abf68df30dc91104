/**
 * Sparse counts c(context, token) with absolute discounting: every count gives up a part of itself, and a context hands what its
 * counts gave up to a less specific distribution. Knows neither images nor which contexts there are.
 *
 *     p(x | context) = (c − D) / n + given · back-off(x)        n = Σ c,  given = D · (distinct tokens) / n,  D = n1 / (n1 + 2·n2)
 *
 * Source: Ney, Essen, Kneser, "On structuring probabilistic dependences in stochastic language modelling", Computer Speech &
 * Language 8 (1994). One discount per table did about 1 % better on image tokens than the three of "modified" Kneser–Ney.
 */
import { UNKNOWN } from "../../shared/tokens.ts";

/** A context's place in the table; `UNSEEN` contexts keep nothing and give all to the back-off. */
export type Slot = number;
const UNSEEN: Slot = -1;

/** Every context leaves something for tokens it has not seen, and a token seen once keeps something. */
const DISCOUNT_BOUNDS = [0.1, 0.9] as const;

export class DiscountedCounts {
  /** Distinct keys context·K + token, ascending, and how often each was seen. */
  readonly #keys: Float64Array;
  readonly #counts: Float64Array;
  readonly #codebookSize: number;
  readonly #slots = new Map<number, Slot>();
  /** Of each slot: its first entry (and, in one extra place, the end), n, and the share given to the back-off. */
  readonly #first: number[] = [];
  readonly #total: number[] = [];
  readonly #given: number[] = [];
  readonly #discount: number;

  /** @param observations one key context·K + token per observation (below 2^53); sorted in place */
  constructor(observations: Float64Array, codebookSize: number) {
    this.#codebookSize = codebookSize;
    [this.#keys, this.#counts] = countRuns(observations.sort());
    this.#discount = discountOf(this.#counts);
    this.#indexContexts();
  }

  slot(context: number): Slot {
    return this.#slots.get(context) ?? UNSEEN;
  }

  /** (c − D) / n: what the context keeps of a token's share; 0 if it has not seen the token. */
  kept(slot: Slot, token: number): number {
    if (slot === UNSEEN) return 0;
    const start = this.#first[slot] ?? 0;
    const key = (this.#keys[start] ?? 0) - ((this.#keys[start] ?? 0) % this.#codebookSize) + token;
    let low = start;
    let high = this.#first[slot + 1] ?? 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? 0) < key) low = middle + 1;
      else high = middle;
    }
    const found = low < (this.#first[slot + 1] ?? 0) && this.#keys[low] === key;
    return found ? this.#remainder(low) / (this.#total[slot] ?? 1) : 0;
  }

  /** The share left to the back-off: 1 − Σ kept. */
  given(slot: Slot): number {
    return slot === UNSEEN ? 1 : (this.#given[slot] ?? 1);
  }

  /** A token with probability `kept(slot, token)` each, or `UNKNOWN` with probability `given(slot)`: ask the back-off. */
  draw(slot: Slot, uniform: number): number {
    if (slot === UNSEEN) return UNKNOWN;
    let target = uniform * (this.#total[slot] ?? 0);
    for (let entry = this.#first[slot] ?? 0; entry < (this.#first[slot + 1] ?? 0); entry++) {
      target -= this.#remainder(entry);
      if (target < 0) return (this.#keys[entry] ?? 0) % this.#codebookSize;
    }
    return UNKNOWN;
  }

  /**
   * One observation for each distinct (context, token) of this table, in a table of coarser contexts: how many contexts a token
   * follows says more about a context never seen than how often it follows (Kneser & Ney, ICASSP 1995).
   * @param coarsen the less specific context that `context` belongs to
   */
  continuations(coarsen: (context: number) => number): DiscountedCounts {
    const size = this.#codebookSize;
    const observations = this.#keys.map((key) => coarsen(Math.floor(key / size)) * size + (key % size));
    return new DiscountedCounts(observations, size);
  }

  #indexContexts(): void {
    let context = UNSEEN;
    this.#keys.forEach((key, entry) => {
      const itsContext = Math.floor(key / this.#codebookSize);
      if (itsContext !== context) {
        context = itsContext;
        this.#slots.set(context, this.#first.length);
        this.#first.push(entry);
        this.#total.push(0);
        this.#given.push(0);
      }
      const slot = this.#first.length - 1;
      const count = this.#counts[entry] ?? 0;
      this.#total[slot] = (this.#total[slot] ?? 0) + count;
      this.#given[slot] = (this.#given[slot] ?? 0) + this.#discount;
    });
    this.#given.forEach((discounted, slot) => (this.#given[slot] = discounted / (this.#total[slot] ?? 1)));
    this.#first.push(this.#keys.length);
  }

  /** c − D of one entry. */
  #remainder(entry: number): number {
    return (this.#counts[entry] ?? 0) - this.#discount;
  }
}

/** Distinct values of a sorted array, and how often each occurs. */
function countRuns(sorted: Float64Array): [values: Float64Array, counts: Float64Array] {
  let distinct = 0;
  sorted.forEach((value, i) => (distinct += i === 0 || value !== sorted[i - 1] ? 1 : 0));
  const values = new Float64Array(distinct);
  const counts = new Float64Array(distinct);
  let run = -1;
  sorted.forEach((value, i) => {
    if (i === 0 || value !== sorted[i - 1]) values[++run] = value;
    counts[run] = (counts[run] ?? 0) + 1;
  });
  return [values, counts];
}

/** D = n1 / (n1 + 2·n2) from how many counts are 1 and 2, within bounds; their middle where there is neither. */
function discountOf(counts: Float64Array): number {
  const once = counts.filter((count) => count === 1).length;
  const twice = counts.filter((count) => count === 2).length;
  const [least, most] = DISCOUNT_BOUNDS;
  return once + twice === 0 ? (least + most) / 2 : Math.min(Math.max(once / (once + 2 * twice), least), most);
}
