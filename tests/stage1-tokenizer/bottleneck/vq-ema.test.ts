import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../../shared/engine/engine.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { Rng } from "../../../shared/rng.ts";
import { createVqEma } from "../../../stage1-tokenizer/bottleneck/vq-ema.ts";
import { BATCH_TOKENS, SIZE, testBottleneck, testNearestCodes } from "../../contracts/bottleneck.ts";

const common = { commitmentWeight: 0.25, normalizeCodes: false };
const options = { ...SIZE, ...common, decay: 0.99, revivalThreshold: 0.1, batchTokens: BATCH_TOKENS };
testBottleneck(createVqEma(options));
testBottleneck(createVqEma({ ...options, normalizeCodes: true }));
testNearestCodes(createVqEma(options));

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** K = 3 codes on a line, batch of 4. */
const line = { ...common, codebookSize: 3, codeDimension: 1, decay: 0.9, batchTokens: 4 };
const state = (counts: number[], sums: number[]): Record<string, tf.Tensor> => ({
  "codebook/counts": tf.tensor1d(counts),
  "codebook/sums": tf.tensor2d(sums, [3, 1]),
  "codebook/embedding": tf.tensor2d(
    sums.map((sum, i) => sum / (counts[i] ?? NaN)),
    [3, 1],
  ),
  "codebook/revivals": tf.scalar(7),
});
const zE = (): tf.Tensor => tf.tensor([0.2, 0.4, 1.3, 0.1], [1, 2, 2, 1]);
const picks = { revivalPicks: [2, 2, 1] };
const step = (revivalThreshold: number, from: Record<string, tf.Tensor>): Record<string, number[]> => {
  const bottleneck = createVqEma({ ...line, revivalThreshold });
  const batch = { revivalPicks: tf.tensor1d(picks.revivalPicks, "int32") };
  const next = bottleneck.updateState(from, bottleneck.forward(zE(), from, batch).statistics);
  return Object.fromEntries(
    Object.entries<tf.Tensor>(next).map(([name, tensor]) => [name.slice(9), [...tensor.dataSync()]]),
  );
};
function expectClose(got: number[] | undefined, expected: number[], digits = 4): void {
  expect(got).toHaveLength(expected.length);
  expected.forEach((value, i) => expect(got?.[i]).toBeCloseTo(value, digits));
}

describe("vq-ema", () => {
  test("one update by hand: counts, sums and their quotient", () => {
    // Codes 0, 1, 5; 0.2, 0.4 and 0.1 go to code 0 and 1.3 to code 1.
    const next = step(0, state([2, 1, 1], [0, 1, 5]));
    const counts = [0.9 * 2 + 0.3, 0.9 + 0.1, 0.9];
    const sums = [0.1 * 0.7, 0.9 + 0.13, 4.5];
    expectClose(next["counts"], counts, 6);
    expectClose(next["sums"], sums, 6);
    expectClose(
      next["embedding"],
      sums.map((sum, i) => sum / (counts[i] ?? NaN)),
    );
  });

  test("an unhit code keeps its place for 500 steps", () => {
    const bottleneck = createVqEma({ ...line, revivalThreshold: 0 });
    let current: Tensors = state([1, 1, 1], [0, 1, 5]);
    const batch = { revivalPicks: tf.tensor1d([0, 0, 0], "int32") };
    for (let i = 0; i < 500; i++) {
      const { statistics } = bottleneck.forward(zE(), current, batch);
      current = bottleneck.updateState(current, statistics);
    }
    const unhit = current["codebook/embedding"]?.dataSync()[2] ?? NaN;
    expect(Math.abs(unhit)).toBeLessThanOrEqual(5 + 1e-3);
  });

  test("revives, after the update, exactly the codes below the threshold, at the picked rows", () => {
    // Threshold 0.5 · 4/3 = 0.667; code 2 falls to 0.45, codes 0 and 1 stay at 2.1 and 1.
    const next = step(0.5, state([2, 1, 0.5], [0, 1, 2.5]));
    const revived = (2 * 0.5 * 4) / 3;
    expectClose(next["counts"], [2.1, 1, revived], 6);
    expectClose(next["sums"], [0.07, 1.03, 0.4 * revived], 6);
    expectClose(next["embedding"], [0.07 / 2.1, 1.03, 0.4]);
    expect(next["revivals"]).toEqual([8]);
  });

  test("a revived code outlives its first unhit step", () => {
    const threshold = (0.5 * 4) / 3;
    const once = step(0.5, state([2, 1, 0.5], [0, 1, 2.5]))["counts"]?.[2] ?? NaN;
    expect(line.decay * once).toBeGreaterThan(threshold);
  });

  test("there is no codebook loss, and no gradient reaches the codebook", () => {
    const bottleneck = createVqEma({ ...line, revivalThreshold: 0 });
    const from = state([1, 1, 1], [0, 1, 5]);
    const { terms } = bottleneck.forward(zE(), from, { revivalPicks: tf.tensor1d([0, 0, 0], "int32") });
    expect(Object.keys(terms)).toEqual(["commitmentLoss"]);
    expect(
      Object.keys(bottleneck.initialState(Rng.fromSeed(1)).spec).filter((name) => name.startsWith("weight/")),
    ).toEqual([]);
  });

  test("the k-means start scales counts to one batch, gives an empty cluster one point, and sums = centroid × count", () => {
    const bottleneck = createVqEma({ ...line, revivalThreshold: 0 });
    const started = bottleneck.kMeansStart.startFrom({
      centroids: Float32Array.of(-1, 2, 3),
      counts: Float32Array.of(5, 2, 0),
    });
    expectClose([...(started["codebook/counts"] ?? [])], [2.5, 1, 0.5], 6);
    expectClose([...(started["codebook/sums"] ?? [])], [-2.5, 2, 1.5], 6);
  });

  test("revival picks are rows of the batch", () => {
    const { revivalPicks } = createVqEma({ ...line, codebookSize: 200, revivalThreshold: 0 }).drawn.draw(
      Rng.fromSeed(1),
    );
    expect([...new Set(revivalPicks)].sort()).toEqual([0, 1, 2, 3]);
  });
});
