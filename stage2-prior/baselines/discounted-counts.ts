/**
 * Sparse counts c(context, token) with absolute discounting: every count gives up a part of itself, and a context hands what its
 * counts gave up to a less specific distribution. Knows neither images nor which contexts there are.
 *
 *     p(x | context) = (c − D) / n + given · back-off(x)        n = Σ c,  given = D · (distinct tokens) / n,  D = n1 / (n1 + 2·n2)
 *
 * Source: Ney, Essen, Kneser, "On structuring probabilistic dependences in stochastic language modelling", Computer Speech &
 * Language 8 (1994). One discount per table did about 1 % better on image tokens than the three of "modified" Kneser–Ney.
 */

/** A context's place in the table; `UNSEEN` contexts keep nothing and give all to the back-off. */
export type Slot = number;
const UNSEEN: Slot = -1;

/** Every context leaves something for tokens it has not seen, and a token seen once keeps something. */
const DISCOUNT_BOUNDS = [0.1, 0.9] as const;

/** Distinct keys context·K + token (below 2^53), ascending, and how often each was seen. */
export interface CountedKeys {
  readonly keys: Float64Array;
  readonly counts: Int32Array;
}

/** @param observations one key per observation; sorted in place */
export function countKeys(observations: Float64Array): CountedKeys {
  const sorted = observations.sort();
  let distinct = 0;
  sorted.forEach((key, i) => (distinct += i === 0 || key !== sorted[i - 1] ? 1 : 0));
  const keys = new Float64Array(distinct);
  const counts = new Int32Array(distinct);
  let run = -1;
  sorted.forEach((key, i) => {
    if (i === 0 || key !== sorted[i - 1]) keys[++run] = key;
    counts[run] = (counts[run] ?? 0) + 1;
  });
  return { keys, counts };
}

export class DiscountedCounts {
  readonly #keys: Float64Array;
  readonly #counts: Int32Array;
  /** Of each entry: key % K. */
  readonly #tokens: Int32Array;
  readonly #codebookSize: number;
  readonly #slots = new Map<number, Slot>();
  /** Of each slot: its first entry (and, in one extra place, the end), n, and the share given to the back-off. */
  readonly #first: number[] = [];
  readonly #total: number[] = [];
  readonly #given: number[] = [];
  readonly #discount: number;

  constructor({ keys, counts }: CountedKeys, codebookSize: number) {
    this.#keys = keys;
    this.#counts = counts;
    this.#tokens = new Int32Array(keys.length);
    this.#codebookSize = codebookSize;
    this.#discount = discountOf(counts);
    this.#indexContexts();
  }

  slot(context: number): Slot {
    return this.#slots.get(context) ?? UNSEEN;
  }

  /** (c − D) / n: what the context keeps of a token's share; 0 if it has not seen the token. */
  kept(slot: Slot, token: number): number {
    if (slot === UNSEEN) return 0;
    const end = this.#first[slot + 1] ?? 0;
    let low = this.#first[slot] ?? 0;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#tokens[middle] ?? 0) < token) low = middle + 1;
      else high = middle;
    }
    return low < end && this.#tokens[low] === token ? this.#remainder(low) / (this.#total[slot] ?? 1) : 0;
  }

  /** Adds weight · `kept(slot, token)` to the place of every token in `out` [K], in the time of those it has seen. */
  addKept(slot: Slot, weight: number, out: Float64Array): void {
    if (slot === UNSEEN) return;
    const end = this.#first[slot + 1] ?? 0;
    const scale = weight / (this.#total[slot] ?? 1);
    for (let entry = this.#first[slot] ?? 0; entry < end; entry++) {
      const token = this.#tokens[entry] ?? 0;
      out[token] = (out[token] ?? 0) + scale * this.#remainder(entry);
    }
  }

  /** The share left to the back-off: 1 − Σ kept. */
  given(slot: Slot): number {
    return slot === UNSEEN ? 1 : (this.#given[slot] ?? 1);
  }

  /**
   * One observation for each distinct (context, token) of this table, in a table of coarser contexts: how many contexts a token
   * follows says more about a context never seen than how often it follows (Kneser & Ney, ICASSP 1995).
   * @param coarsen the less specific context that `context` belongs to
   */
  continuations(coarsen: (context: number) => number): DiscountedCounts {
    const size = this.#codebookSize;
    const observations = this.#keys.map((key) => coarsen(Math.floor(key / size)) * size + (key % size));
    return new DiscountedCounts(countKeys(observations), size);
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
      this.#tokens[entry] = key % this.#codebookSize;
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

/** D = n1 / (n1 + 2·n2) from how many counts are 1 and 2, within bounds; their middle where there is neither. */
function discountOf(counts: Int32Array): number {
  const once = counts.filter((count) => count === 1).length;
  const twice = counts.filter((count) => count === 2).length;
  const [least, most] = DISCOUNT_BOUNDS;
  return once + twice === 0 ? (least + most) / 2 : Math.min(Math.max(once / (once + 2 * twice), least), most);
}
