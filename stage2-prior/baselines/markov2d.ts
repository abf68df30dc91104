/**
 * The prior that knows the code to the left and the code above: counts of (left, upper, token), backed off to either neighbour
 * alone, then to none, then to all codes alike. The strongest of the counting priors, and the bar for a network.
 *
 *     p(x | l, u) = kept(l,u; x) + given(l,u) · ½ [ p(x | l) + p(x | u) ]
 *     p(x | l)    = kept(l; x) + given(l) · p(x)          p(x | u) likewise
 *     p(x)        = kept(x) + given / K
 *
 * `kept` and `given` are the two parts of a discounted count (discounted-counts.ts). Only the first line counts occurrences; the
 * others count in how many more specific contexts a token was seen. Each line is a mixture whose weights sum to 1, so p does.
 *
 * Its counts are four arrays, one entry a triple that occurs: `left`, `upper`, `token` and `count`, ascending in this order. The
 * triple as one number, (left·(K + 1) + upper)·K + token, is exact in a double but not in an int32.
 */
import { badInput } from "../../shared/errors.ts";
import type { TokenGrid } from "../../shared/tokens.ts";
import { arraysOf, checkAscending, checkEntries } from "./check-counts.ts";
import { checkCountable, meanBits, outside, visitTokens, type CountingLeaf, type Counts } from "./counting-prior.ts";
import { countKeys, DiscountedCounts } from "./discounted-counts.ts";

export const markov2d: CountingLeaf = {
  name: "markov2d",
  description: "How often each code stands behind which left and upper neighbour, backed off to either and to none",
  count: countTriples,
  restore(counts, codebookSize, where = "counts") {
    const tables = tablesOf(counts, codebookSize, where);
    return {
      name: "markov2d",
      distribution: (left, upper, out) => {
        fillDistribution(out, { left, upper }, tables);
      },
      bitsPerToken: (held) =>
        meanBits(held, codebookSize, (token, left, upper) => probabilityOf(token, { left, upper }, tables)),
      counts: () => counts,
    };
  },
};

interface Tables {
  readonly codebookSize: number;
  /** Contexts left·(K + 1) + upper. */
  readonly pair: DiscountedCounts;
  readonly left: DiscountedCounts;
  readonly upper: DiscountedCounts;
  /** [K] p(x), without a context. */
  readonly alone: Float64Array;
}

interface Neighbours {
  readonly left: number;
  readonly upper: number;
}

const contextsOf = (codebookSize: number): number => outside(codebookSize) + 1;
const pairContext = ({ left, upper }: Neighbours, codebookSize: number): number =>
  left * contextsOf(codebookSize) + upper;

/** @throws bad-input if a triple is no longer exact as one number */
function checkExact(codebookSize: number, where: string): void {
  if (contextsOf(codebookSize) ** 2 * codebookSize <= Number.MAX_SAFE_INTEGER) return;
  throw badInput({ what: "has too many codes to count triples of", where, got: `K = ${codebookSize}` });
}

function countTriples(grid: TokenGrid, codebookSize: number): Counts {
  checkCountable(grid, codebookSize);
  checkExact(codebookSize, "counting prior");
  const observations = new Float64Array(grid.tokens.length);
  let seen = 0;
  visitTokens(grid, codebookSize, (token, left, upper) => {
    observations[seen++] = pairContext({ left, upper }, codebookSize) * codebookSize + token;
  });
  const { keys, counts: count } = countKeys(observations);
  const contexts = contextsOf(codebookSize);
  const [left, upper, token] = [new Int32Array(keys.length), new Int32Array(keys.length), new Int32Array(keys.length)];
  keys.forEach((key, entry) => {
    const context = Math.floor(key / codebookSize);
    left[entry] = Math.floor(context / contexts);
    upper[entry] = context % contexts;
    token[entry] = key % codebookSize;
  });
  return { left, upper, token, count };
}

function tablesOf(counts: Counts, codebookSize: number, where: string): Tables {
  checkExact(codebookSize, where);
  const arrays = arraysOf(counts, ["left", "upper", "token", "count"], where);
  const { length } = arrays.count;
  const border = outside(codebookSize);
  const check = (name: keyof typeof arrays, least: number, most: number): void => {
    checkEntries(arrays[name], { length, least, most }, `${where}: ${name}`);
  };
  check("left", 0, border);
  check("upper", 0, border);
  check("token", 0, codebookSize - 1);
  check("count", 1, Infinity);
  const keys = new Float64Array(length);
  for (let entry = 0; entry < length; entry++) {
    const at = { left: arrays.left[entry] ?? 0, upper: arrays.upper[entry] ?? 0 };
    keys[entry] = pairContext(at, codebookSize) * codebookSize + (arrays.token[entry] ?? 0);
  }
  checkAscending(keys, where);
  const contexts = contextsOf(codebookSize);
  const pair = new DiscountedCounts({ keys, counts: arrays.count }, codebookSize);
  const left = pair.continuations((context) => Math.floor(context / contexts));
  const upper = pair.continuations((context) => context % contexts);
  const none = left.continuations(() => 0);
  const alone = new Float64Array(codebookSize).fill(none.given(none.slot(0)) / codebookSize);
  none.addKept(none.slot(0), 1, alone);
  return { codebookSize, pair, left, upper, alone };
}

function probabilityOf(token: number, at: Neighbours, { codebookSize, pair, left, upper, alone }: Tables): number {
  const pairSlot = pair.slot(pairContext(at, codebookSize));
  const leftSlot = left.slot(at.left);
  const upperSlot = upper.slot(at.upper);
  const behindNone = alone[token] ?? 0;
  const behindLeft = left.kept(leftSlot, token) + left.given(leftSlot) * behindNone;
  const behindUpper = upper.kept(upperSlot, token) + upper.given(upperSlot) * behindNone;
  return pair.kept(pairSlot, token) + pair.given(pairSlot) * 0.5 * (behindLeft + behindUpper);
}

/** The same for all K codes at once, in the time of K and of what the contexts have seen. */
function fillDistribution(out: Float64Array, at: Neighbours, { codebookSize, pair, left, upper, alone }: Tables): void {
  const pairSlot = pair.slot(pairContext(at, codebookSize));
  const leftSlot = left.slot(at.left);
  const upperSlot = upper.slot(at.upper);
  const half = pair.given(pairSlot) * 0.5;
  const rest = half * (left.given(leftSlot) + upper.given(upperSlot));
  for (let token = 0; token < codebookSize; token++) out[token] = rest * (alone[token] ?? 0);
  left.addKept(leftSlot, half, out);
  upper.addKept(upperSlot, half, out);
  pair.addKept(pairSlot, 1, out);
}
