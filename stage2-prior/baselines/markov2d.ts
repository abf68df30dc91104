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
 */
import type { Rng } from "../../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { checkCountable, drawGrids, meanBits, outside, visitTokens, type CountingPrior } from "./counting-prior.ts";
import { DiscountedCounts } from "./discounted-counts.ts";

export interface Markov2d extends CountingPrior {
  /** p(token | left, upper); a neighbour beyond the border is `outside(K)`. */
  probability(token: number, left: number, upper: number): number;
}

/** @throws bad-input if `grid` is empty or holds anything but codes */
export function fitMarkov2d(grid: TokenGrid, codebookSize: number): Markov2d {
  checkCountable(grid, codebookSize);
  const tables = countNeighbours(grid, codebookSize);
  const probability = (token: number, left: number, upper: number): number =>
    probabilityOf({ token, left, upper }, tables);
  return {
    name: "markov2d",
    probability,
    bitsPerToken: (held) => meanBits(held, codebookSize, probability),
    sample: (options) =>
      drawGrids(options, codebookSize, (rng, left, upper) => drawToken(rng, { left, upper }, tables)),
  };
}

interface Tables {
  readonly codebookSize: number;
  /** Contexts left·(K + 1) + upper. */
  readonly pair: DiscountedCounts;
  readonly left: DiscountedCounts;
  readonly upper: DiscountedCounts;
  /** One context, 0. */
  readonly none: DiscountedCounts;
}

interface Neighbours {
  readonly left: number;
  readonly upper: number;
}

const pairContext = ({ left, upper }: Neighbours, codebookSize: number): number =>
  left * (outside(codebookSize) + 1) + upper;

function countNeighbours(grid: TokenGrid, codebookSize: number): Tables {
  const contexts = outside(codebookSize) + 1;
  const observations = new Float64Array(grid.tokens.length);
  let seen = 0;
  visitTokens(grid, codebookSize, (token, left, upper) => {
    observations[seen++] = pairContext({ left, upper }, codebookSize) * codebookSize + token;
  });
  const pair = new DiscountedCounts(observations, codebookSize);
  const left = pair.continuations((context) => Math.floor(context / contexts));
  const upper = pair.continuations((context) => context % contexts);
  return { codebookSize, pair, left, upper, none: left.continuations(() => 0) };
}

function probabilityOf(at: Neighbours & { token: number }, { codebookSize, pair, left, upper, none }: Tables): number {
  const pairSlot = pair.slot(pairContext(at, codebookSize));
  const leftSlot = left.slot(at.left);
  const upperSlot = upper.slot(at.upper);
  const alone = none.kept(none.slot(0), at.token) + none.given(none.slot(0)) / codebookSize;
  const givenLeft = left.kept(leftSlot, at.token) + left.given(leftSlot) * alone;
  const givenUpper = upper.kept(upperSlot, at.token) + upper.given(upperSlot) * alone;
  return pair.kept(pairSlot, at.token) + pair.given(pairSlot) * 0.5 * (givenLeft + givenUpper);
}

/** A draw from the mixture: at each level either a token, or on to the next. */
function drawToken(rng: Rng, at: Neighbours, { codebookSize, pair, left, upper, none }: Tables): number {
  let token = pair.draw(pair.slot(pairContext(at, codebookSize)), rng.uniform());
  if (token !== UNKNOWN) return token;
  token =
    rng.uniform() < 0.5
      ? left.draw(left.slot(at.left), rng.uniform())
      : upper.draw(upper.slot(at.upper), rng.uniform());
  if (token !== UNKNOWN) return token;
  token = none.draw(none.slot(0), rng.uniform());
  return token === UNKNOWN ? rng.integer(codebookSize) : token;
}
