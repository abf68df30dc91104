/** Discounting by hand: what a context keeps, what it gives, and what a coarser table is made of. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { countKeys, DiscountedCounts } from "../../../stage2-prior/baselines/discounted-counts.ts";

const K = 10;
const table = (pairs: readonly (readonly [context: number, token: number])[]): DiscountedCounts =>
  new DiscountedCounts(countKeys(Float64Array.from(pairs, ([context, token]) => context * K + token)), K);

// Context 4: token 1 thrice, token 9 once. Context 7: token 0 twice, token 1 once. So n1 = 2, n2 = 1, D = 2 / 4.
const example = table([
  [4, 1],
  [7, 0],
  [4, 9],
  [4, 1],
  [7, 1],
  [4, 1],
  [7, 0],
]);

test("keeps each count less the discount, and gives the rest", () => {
  const four = example.slot(4);
  expect(example.kept(four, 1)).toBeCloseTo(2.5 / 4, 12);
  expect(example.kept(four, 9)).toBeCloseTo(0.5 / 4, 12);
  expect(example.kept(four, 0)).toBe(0);
  expect(example.given(four)).toBeCloseTo(1 / 4, 12);
  expect(example.kept(example.slot(7), 0)).toBeCloseTo(1.5 / 3, 12);
});

test("an unseen context keeps nothing and gives all", () => {
  const unseen = example.slot(5);
  expect([example.kept(unseen, 1), example.given(unseen)]).toEqual([0, 1]);
  const out = new Float64Array(K).fill(0.5);
  example.addKept(unseen, 1, out);
  expect(out).toEqual(new Float64Array(K).fill(0.5));
});

test("a coarser table counts contexts, not occurrences", () => {
  // Under one context: token 1 follows two contexts, tokens 0 and 9 one each; n1 = 2, n2 = 1, D = 1/2.
  const coarse = example.continuations(() => 0);
  expect([0, 1, 9].map((token) => coarse.kept(coarse.slot(0), token) * 4)).toEqual([0.5, 1.5, 0.5]);
  expect(coarse.given(coarse.slot(0)) * 4).toBeCloseTo(1.5, 12);
});

test("kept and given shares sum to 1, and none is lost to tokens never rare", () => {
  const pair = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: K - 1 }));
  fc.assert(
    fc.property(fc.array(pair, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (pairs, times) => {
      const counts = table(Array.from({ length: times }, () => pairs).flat());
      for (const [context] of pairs) {
        const slot = counts.slot(context);
        const kept = Array.from({ length: K }, (_, token) => counts.kept(slot, token));
        expect(Math.min(...kept)).toBeGreaterThanOrEqual(0);
        expect(counts.given(slot)).toBeGreaterThan(0);
        expect(kept.reduce((sum, share) => sum + share, counts.given(slot))).toBeCloseTo(1, 9);
      }
    }),
  );
});

test("adds what it keeps of all tokens at once, by weight, to what is there", () => {
  const out = new Float64Array(K).fill(1);
  example.addKept(example.slot(4), 0.5, out);
  out.forEach((sum, token) => expect(sum).toBeCloseTo(1 + 0.5 * example.kept(example.slot(4), token), 12));
});

test("keys are counted in order, however they came", () => {
  const { keys, counts } = countKeys(Float64Array.of(5, 2, 5, 9, 5, 2));
  expect([[...keys], [...counts]]).toEqual([
    [2, 5, 9],
    [2, 3, 1],
  ]);
});
