/**
 * How far apart two sets of token grids are in which tokens occur and which stand side by side. Sparse counts: memory follows the
 * distinct tokens or pairs, not K². Knows no runtime.
 *
 * Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991), eq. 4.1 with equal weights.
 */
import { checkTokens, type TokenGrid } from "../../shared/tokens.ts";

/** How often each key was seen. */
export interface SparseCounts {
  /** Distinct, ascending. */
  readonly keys: Float64Array;
  readonly counts: Float64Array;
}

/** Occurrences of each token. @throws bad-input if `grid` holds anything but codes */
export function countTokens(grid: TokenGrid, codebookSize: number): SparseCounts {
  checkTokens(grid, codebookSize, { where: "token counts" });
  return countKeys((add) => {
    for (const token of grid.tokens) add(token);
  });
}

/**
 * Occurrences of each pair of neighbours, side by side and one above the other: keys (direction·K + first)·K + second. A pair across and the
 * same pair down are two keys. None in grids of one token. @throws bad-input if `grid` holds anything but codes
 */
export function countPairs(grid: TokenGrid, codebookSize: number): SparseCounts {
  checkTokens(grid, codebookSize, { where: "pair counts" });
  const [count, height, width] = grid.shape;
  const { tokens } = grid;
  const keyOf = (direction: number, first: number, second: number): number =>
    (direction * codebookSize + (tokens[first] ?? 0)) * codebookSize + (tokens[second] ?? 0);
  return countKeys((add) => {
    for (let row = 0, cell = 0; row < count * height; row++) {
      for (let column = 0; column < width; column++, cell++) {
        if (column + 1 < width) add(keyOf(0, cell, cell + 1));
        if ((row + 1) % height !== 0) add(keyOf(1, cell, cell + width));
      }
    }
  });
}

/**
 * Jensen–Shannon divergence of the two distributions, in bits: 0 for equal ones, 1 for distributions that share no key. NaN if nothing was
 * counted on a side. Few observations of many keys look apart even if drawn from one distribution: compare figures of equal numbers.
 */
export function jensenShannon(p: SparseCounts, q: SparseCounts): number {
  const [totalP, totalQ] = [sumOf(p.counts), sumOf(q.counts)];
  if (totalP === 0 || totalQ === 0) return NaN;
  let divergence = 0;
  visitUnion(p, q, (_key, countP, countQ) => {
    const [a, b] = [countP / totalP, countQ / totalQ];
    const middle = (a + b) / 2;
    if (a > 0) divergence += 0.5 * a * Math.log2(a / middle);
    if (b > 0) divergence += 0.5 * b * Math.log2(b / middle);
  });
  return Math.min(1, Math.max(0, divergence)); // but for rounding it is there already
}

const sumOf = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);

/** Keys sorted at a time: bounds what is held of keys that repeat. */
const CHUNK = 2 ** 18;

function countKeys(visit: (add: (key: number) => void) => void): SparseCounts {
  const chunk = new Float64Array(CHUNK);
  let filled = 0;
  let all: SparseCounts = { keys: new Float64Array(0), counts: new Float64Array(0) };
  const flush = (): void => {
    all = merged(all, runsOf(chunk.subarray(0, filled).sort()));
    filled = 0;
  };
  visit((key) => {
    chunk[filled++] = key;
    if (filled === CHUNK) flush();
  });
  flush();
  return all;
}

/** Distinct values of a sorted array, and how often each occurs. */
function runsOf(sorted: Float64Array): SparseCounts {
  const starts = sorted.map((_, i) => i).filter((i) => i === 0 || sorted[i] !== sorted[i - 1]);
  return {
    keys: starts.map((start) => sorted[start] ?? NaN),
    counts: starts.map((start, run) => (starts[run + 1] ?? sorted.length) - start),
  };
}

function merged(a: SparseCounts, b: SparseCounts): SparseCounts {
  const keys = new Float64Array(a.keys.length + b.keys.length);
  const counts = new Float64Array(keys.length);
  let length = 0;
  visitUnion(a, b, (key, countA, countB) => {
    keys[length] = key;
    counts[length++] = countA + countB;
  });
  return { keys: keys.slice(0, length), counts: counts.slice(0, length) };
}

/** Every key of either, ascending, with its count in both. */
function visitUnion(a: SparseCounts, b: SparseCounts, visit: (key: number, a: number, b: number) => void): void {
  for (let i = 0, j = 0; i < a.keys.length || j < b.keys.length;) {
    const [keyA, keyB] = [a.keys[i] ?? Infinity, b.keys[j] ?? Infinity];
    const key = Math.min(keyA, keyB);
    visit(key, keyA === key ? (a.counts[i++] ?? 0) : 0, keyB === key ? (b.counts[j++] ?? 0) : 0);
  }
}
