/** The judge of samples: what is drawn from the data gets perfect figures, what repeats or strays is told. */
import { describe, expect, test } from "vitest";
import { createJudge, type ReferenceFeatures, type Samples } from "../../pipelines/judge-samples.ts";
import type { TokenGrid } from "../../shared/tokens.ts";
import { createReporter } from "../../shared/train/reporter.ts";
import type { Vectors } from "../../stage2-prior/index.ts";

const K = 4;
const points = (...values: readonly number[]): Vectors => ({ features: Float32Array.from(values), size: 1 });
/** Grids of 1×2 tokens, one number an image. */
const gridOf = (...ids: readonly number[]): TokenGrid => ({
  tokens: Int32Array.from(ids.flatMap((id) => [id % K, Math.floor(id / K)])),
  shape: [ids.length, 1, 2],
});

/** The one feature of an image is its one level. */
function judgeOf(training: Vectors, heldOut: Vectors): { judge: ReturnType<typeof createJudge>; warnings: string[] } {
  const warnings: string[] = [];
  const reporter = createReporter({ stream: { write: (text) => warnings.push(text) }, quiet: true });
  const extractor: ReferenceFeatures["extractor"] = {
    name: "levels",
    extract: (images) => Promise.resolve(points(...images)),
    dispose: () => Promise.resolve(),
  };
  const features = { extractor, training, heldOut };
  return { judge: createJudge({ training: gridOf(0, 5, 10), codebookSize: K, features, reporter }), warnings };
}
const samplesOf = (levels: readonly number[], tokens = gridOf(...levels.map(() => 0))): Samples => ({
  tokens,
  images: Uint8Array.from(levels),
});

const TRAINING = points(0, 10, 20, 30, 40);
const HELD_OUT = points(2, 12, 22, 32, 42);

describe("figures on features", () => {
  test("of the held-out images themselves are perfect", async () => {
    const figures = await judgeOf(TRAINING, HELD_OUT).judge(samplesOf([2, 12, 22, 32, 42]));
    expect(figures).toMatchObject({ precision: 1, recall: 1, distanceRatio: 1 });
    expect(figures.frechetHeldOut).toBeCloseTo(0, 6);
    expect(figures.frechetTraining).toBeCloseTo(4, 6); // the same spread, two levels further
  });

  test("of training images again: as good, but for a distance ratio of 0", async () => {
    const figures = await judgeOf(TRAINING, HELD_OUT).judge(samplesOf([0, 10, 20, 30, 40]));
    expect(figures).toMatchObject({ precision: 1, recall: 1, distanceRatio: 0 });
    expect(figures.frechetTraining).toBeCloseTo(0, 6);
  });

  test("of what strays: neither precise nor recalling", async () => {
    const figures = await judgeOf(TRAINING, HELD_OUT).judge(samplesOf([200, 201, 202, 203]));
    expect(figures).toMatchObject({ precision: 0, recall: 0 });
    expect(figures.distanceRatio).toBeCloseTo(161.5 / 2, 6);
  });

  test("of too few are not made up; a singular covariance is warned of once", async () => {
    const { judge, warnings } = judgeOf(TRAINING, HELD_OUT);
    const figures = await judge(samplesOf([2]));
    await judge(samplesOf([3]));
    expect(figures).toMatchObject({ precision: NaN, recall: NaN, frechetHeldOut: NaN, distanceRatio: 1 });
    expect(warnings.filter((line) => line.includes("singular"))).toHaveLength(1);
  });
});

test("figures on tokens name the most memorised sample and the training image it repeats", async () => {
  const figures = await judgeOf(TRAINING, HELD_OUT).judge(samplesOf([0, 0, 0], gridOf(3, 10, 15)));
  expect(figures).toMatchObject({ largestShare: 1, copies: 1, mostMemorised: 1, nearest: 2 });
  expect(figures.tokenDivergence).toBeGreaterThan(0);
  expect(figures.pairDivergence).toBeGreaterThan(0);
});

test("without features, only tokens are judged", async () => {
  const reporter = createReporter({ stream: { write: () => 0 } });
  const judge = createJudge({ training: gridOf(0, 5, 10), codebookSize: K, features: undefined, reporter });
  const figures = await judge(samplesOf([0, 0, 0], gridOf(0, 5, 10)));
  expect(figures).toMatchObject({ tokenDivergence: 0, pairDivergence: 0, copies: 3, recall: NaN, frechetTraining: NaN });
}); // prettier-ignore
