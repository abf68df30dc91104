/** What every objective leaf must do. A leaf's test file calls `testObjective` with it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import type { Objective, Prepared } from "../../stage2-prior/objectives/index.ts";
import { tinyPrior, tinyTokens } from "../stage2-prior/tiny-config.ts";

export const LENGTH = 16;
export const MODES = ["training", "evaluation"] as const;

export function testObjective(objective: Objective): void {
  const config = tinyPrior({ objective: objective.name, batchSize: 3 });
  const { tokens } = tinyTokens(config);
  const { codebookSize } = config;
  const prepare = (given: Int32Array, mode: (typeof MODES)[number], seed = 1): Prepared =>
    objective.prepare(given, Rng.fromSeed(seed), { config, mode });
  /** What the network may look at when it predicts position `at`, by the objective's own word. */
  const seenFrom = ({ ids }: Prepared, at: number): Int32Array => {
    const row = at - (at % LENGTH);
    return ids.subarray(row, { before: at, upTo: at + 1, all: row + LENGTH }[objective.sees]);
  };

  describe.each(MODES)(`objective contract: ${objective.name}, %s`, (mode) => {
    test("ids and weights have the tokens' shape; ids are 0 … K, weights finite and not negative, some in every image", () => {
      const { ids, counted } = prepare(tokens, mode);
      expect([ids.length, counted.length]).toEqual([tokens.length, tokens.length]);
      expect(ids.every((id) => id >= 0 && id <= codebookSize)).toBe(true);
      expect(counted.every((weight) => weight >= 0 && weight < Infinity)).toBe(true);
      for (let row = 0; row < tokens.length; row += LENGTH)
        expect(Math.max(...counted.subarray(row, row + LENGTH))).toBeGreaterThan(0);
    });

    test("no position that counts is seen by who predicts it", () => {
      fc.assert(
        fc.property(
          fc.nat(tokens.length - 1),
          fc.integer({ min: 1, max: codebookSize - 1 }),
          fc.nat(),
          (at, by, seed) => {
            const before = prepare(tokens, mode, seed);
            fc.pre((before.counted[at] ?? 0) > 0);
            const other = tokens.with(at, ((tokens[at] ?? 0) + by) % codebookSize);
            const after = prepare(other, mode, seed);
            expect(seenFrom(after, at)).toEqual(seenFrom(before, at));
            expect(after.counted).toEqual(before.counted);
          },
        ),
      );
    });

    test("images do not leak into each other", () => {
      const other = tokens.slice();
      other.fill(0, 0, LENGTH);
      expect(prepare(other, mode).ids.subarray(LENGTH)).toEqual(prepare(tokens, mode).ids.subarray(LENGTH));
    });

    test("depends on its stream alone, and leaves the tokens as they were", () => {
      const given = tokens.slice();
      expect(prepare(given, mode, 9)).toEqual(prepare(given, mode, 9));
      expect(given).toEqual(tokens);
    });

    // Every position, because some of them are hidden from the network and could hide the mistake too.
    test.each([7, 8, -1, -2])("a token %d anywhere is refused, never clamped and never skipped", (wrong) => {
      for (let at = 0; at < LENGTH; at++)
        expect(() => prepare(tokens.with(at, wrong), mode), `position ${at}`).toThrow(
          expect.objectContaining({ code: "bad-input" }),
        );
    });
  });

  test(`${objective.name}: smoothing is a fraction`, () => {
    expect(objective.smoothing(tinyPrior({ labelSmoothing: 0.1 }))).toBeGreaterThanOrEqual(0);
    expect(objective.smoothing(tinyPrior({ labelSmoothing: 0.1 }))).toBeLessThan(1);
  });
}
