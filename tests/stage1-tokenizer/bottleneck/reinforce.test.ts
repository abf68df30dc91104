import { describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { Rng } from "../../../shared/rng.ts";
import type { Bottled } from "../../../stage1-tokenizer/bottleneck/bottleneck.ts";
import { createReinforce } from "../../../stage1-tokenizer/bottleneck/reinforce.ts";
import { BATCH_TOKENS, SIZE, testBottleneck } from "../../contracts/bottleneck.ts";
import { expectTensorsClose, noise, numbers } from "../../shared/nn/tensors.ts";

testBottleneck(createReinforce({ ...SIZE, batchTokens: BATCH_TOKENS }));

const K = 3;
const create = (batchTokens: number) => createReinforce({ codebookSize: K, codeDimension: 1, batchTokens });
const state = (meanLoss = 1): Record<string, tf.Tensor> => ({
  "weight/codebook.embedding": tf.tensor2d([10, 20, 30], [K, 1]),
  "weight/codebook.baseline.kernel": tf.tensor2d([0.5, -1, 2], [K, 1]),
  "weight/codebook.baseline.bias": tf.tensor1d([0.25]),
  "codebook/meanLoss": tf.scalar(meanLoss),
});
const row = (logits: readonly number[], count: number, height = 1): tf.Tensor =>
  tf.tile(tf.tensor4d([...logits], [1, 1, 1, K]), [1, height, count, 1]);
const uniforms = (values: ArrayLike<number>): { uniforms: tf.Tensor } => ({ uniforms: tf.tensor1d(Float32Array.from(values)) }); // prettier-ignore
const scalar = (tensor: tf.Tensor | undefined): number => tensor?.dataSync()[0] ?? NaN;
const after = (bottled: Bottled, losses: readonly number[]) => {
  if (bottled.afterDecoding === undefined) throw new Error("REINFORCE must know the losses.");
  return bottled.afterDecoding(tf.tensor1d([...losses]));
};
const softmax = (logits: readonly number[]): number[] => {
  const weights = logits.map(Math.exp);
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
};

describe("the draw", () => {
  test("inverts the cumulative distribution, and z is the code drawn", () => {
    const zE = row([0.2, 0.3, 0.5].map(Math.log), 6);
    const { z } = create(6).forward(zE, state(), uniforms([0.01, 0.19, 0.21, 0.49, 0.51, 0.99]));
    expect(numbers(z)).toEqual([10, 10, 20, 20, 30, 30]);
  });

  test("gives each code as often as the softmax says", () => {
    const count = 6000;
    const p = [0.1, 0.3, 0.6];
    const drawn = uniforms(Rng.fromSeed(5).fillUniform(count));
    const { statistics } = create(count).forward(row(p.map(Math.log), count), state(), drawn);
    numbers(statistics["counts"] ?? tf.scalar(NaN)).forEach((times, k) => {
      const expected = p[k] ?? NaN;
      expect(Math.abs(times / count - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / count));
    });
  });

  test("stays below K for the largest uniform, where the probabilities sum to less than it", () => {
    const count = 2000;
    const largest = new Float32Array(count).fill(1 - 2 ** -24);
    const zE = noise([1, 1, count, K]);
    const sums = numbers(tf.cumsum(tf.softmax(zE), 3)).filter((_, i) => i % K === K - 1);
    expect(sums.some((sum) => sum <= 1 - 2 ** -24)).toBe(true); // or this test shows nothing
    const { z } = create(count).forward(zE, state(), uniforms(largest));
    expect(numbers(z).every((value) => value === 30)).toBe(true);
  });
});

describe("the estimator", () => {
  /** Two positions, a loss for every pair of codes, none like another. */
  const logits = [0.4, -0.3, 0.9, -1.1, 0.2, 0.6];
  const lossOf = (i: number, j: number): number => [3, -1, 4, 1, 5, -9, 2, 6, 5][K * i + j] ?? NaN;
  const p = [softmax(logits.slice(0, K)), softmax(logits.slice(K))] as const;
  const pairs = Array.from({ length: K * K }, (_, at) => [Math.floor(at / K), at % K] as const);
  const probability = (i: number, j: number): number => (p[0][i] ?? NaN) * (p[1][j] ?? NaN);
  /** A uniform in the middle of what draws code k. */
  const middle = (q: readonly number[], k: number): number =>
    q.slice(0, k).reduce((a, b) => a + b, 0) + (q[k] ?? NaN) / 2;

  test.each([-30, 0, 1, 50])("is unbiased, whatever the baseline: running mean %d", (meanLoss) => {
    const zE = tf.tensor4d(logits, [1, 1, 2, K]);
    const expected = [0, 1].flatMap((position) =>
      Array.from({ length: K }, (_, k) =>
        // d/dl E[L] = Σ q(i, j) L(i, j) (1[chosen = k] − p_k)
        pairs.reduce((sum, pair) => {
          const chosen = pair[position] === k ? 1 : 0;
          return sum + probability(...pair) * lossOf(...pair) * (chosen - (p[position]?.[k] ?? NaN));
        }, 0),
      ),
    );
    const mean = pairs.reduce<tf.Tensor>(
      (sum, [i, j]) => {
        const draw = uniforms([middle(p[0], i), middle(p[1], j)]);
        const gradient = tf.grad((x: tf.Tensor) => {
          const bottled = create(2).forward(x, state(meanLoss), draw);
          expect(numbers(bottled.z)).toEqual([10 * (i + 1), 10 * (j + 1)]);
          return after(bottled, [lossOf(i, j)]).terms["score"]?.value ?? tf.scalar(NaN);
        })(zE);
        return tf.add(sum, tf.mul(gradient, probability(i, j)));
      },
      tf.zeros([1, 1, 2, K]),
    );
    expectTensorsClose(mean, tf.tensor4d(expected, [1, 1, 2, K]), 1e-5);
  });

  test("adds nothing to the loss as a number, at weight 1", () => {
    const bottled = create(4).forward(row([0.1, 0.2, 0.3], 4), state(), uniforms([0.1, 0.4, 0.7, 0.9]));
    const { score } = after(bottled, [17]).terms;
    expect(scalar(score?.value)).toBe(0);
    expect(score?.weight).toBe(1);
  });

  test("scores each image by its own advantage: one whose loss was foreseen teaches nothing", () => {
    const zE = tf.concat([row([0.1, 0.2, 0.3], 2), row([1, 0, -1], 2)], 0);
    const foreseen = [1 + 0.25 + (0.5 * 0.1 - 0.2 + 2 * 0.3), 1 + 0.25 + (0.5 - 2)];
    const gradient = tf.grad((x: tf.Tensor) => {
      const bottled = create(4).forward(x, state(), uniforms([0.1, 0.4, 0.7, 0.9]));
      return after(bottled, [(foreseen[0] ?? NaN) + 3, foreseen[1] ?? NaN]).terms["score"]?.value ?? tf.scalar(NaN);
    })(zE);
    const [taught, untaught] = tf.split(tf.abs(gradient), 2, 0);
    expect(scalar(tf.max(taught ?? tf.scalar(NaN)))).toBeGreaterThan(0.1);
    expect(scalar(tf.max(untaught ?? tf.scalar(NaN)))).toBeLessThan(1e-6);
  });
});

describe("the baseline", () => {
  const names = ["weight/codebook.embedding", "weight/codebook.baseline.kernel", "weight/codebook.baseline.bias"];
  /** Gradients of one term for zE, codes, and the baseline's kernel and bias. */
  function gradientsOf(term: "score" | "baselineLoss"): number[][] {
    const zE = noise([2, 1, 3, K]);
    const f = (x: tf.Tensor, ...own: tf.Tensor[]): tf.Tensor => {
      const weights = Object.fromEntries(own.map((tensor, i) => [names[i] ?? "", tensor]));
      const bottled = create(6).forward(x, { ...state(), ...weights }, uniforms([0.1, 0.3, 0.5, 0.6, 0.8, 0.9]));
      const value = after(bottled, [4, -2]).terms[term]?.value ?? tf.scalar(NaN);
      return [x, ...own].reduce<tf.Tensor>((sum, tensor) => tf.add(sum, tf.mul(tf.sum(tensor), 0)), value);
    };
    return tf
      .grads(f)([zE, ...names.map((name) => state()[name] as tf.Tensor)])
      .map(numbers);
  }
  const isZero = (gradient: number[]): boolean => gradient.every((value) => Math.abs(value) === 0);

  test("learns by its own loss, and nothing else does", () => {
    expect(gradientsOf("baselineLoss").map(isZero)).toEqual([true, true, false, false]);
  });

  test("is not moved by the score, which reaches the encoder alone", () => {
    expect(gradientsOf("score").map(isZero)).toEqual([false, true, true, true]);
  });

  test("its loss by hand: mean (running mean + w · mean logits + b − loss)²", () => {
    const bottled = create(2).forward(tf.tensor4d([1, 0, 0, 0, 1, 1], [1, 1, 2, K]), state(3), uniforms([0.5, 0.5]));
    const foreseen = 3 + 0.25 + 0.5 * 0.5 - 0.5 + 2 * 0.5;
    const { baselineLoss } = after(bottled, [2.5]).terms;
    expect(scalar(baselineLoss?.value)).toBeCloseTo((foreseen - 2.5) ** 2, 5);
    expect(baselineLoss?.weight).toBe(1);
  });

  test("its running mean moves a twentieth of the way to the batch's", () => {
    const leaf = create(2);
    const bottled = leaf.forward(row([0, 0, 0], 1, 2), state(3), uniforms([0.5, 0.5]));
    const { statistics } = after(bottled, [5, 9]);
    const next = leaf.updateState(state(3), statistics);
    expect(scalar(next["codebook/meanLoss"])).toBeCloseTo(0.95 * 3 + 0.05 * 7, 5);
  });
});
