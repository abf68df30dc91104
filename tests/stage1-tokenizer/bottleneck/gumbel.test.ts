import { describe, expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { Rng } from "../../../shared/rng.ts";
import { createGumbel, type GumbelOptions } from "../../../stage1-tokenizer/bottleneck/gumbel.ts";
import { BATCH_TOKENS, SIZE, testBottleneck } from "../../contracts/bottleneck.ts";
import { expectFiniteDifferences, expectTensorsClose, noise, numbers } from "../../shared/nn/tensors.ts";

const schedule = { temperature: 2, temperatureFloor: 0.5, steps: 10 };
const common = { ...schedule, klWeight: 3, imageValues: 12 };
testBottleneck(createGumbel({ ...SIZE, ...common, batchTokens: BATCH_TOKENS }));

const create = (batchTokens: number, changes: Partial<GumbelOptions> = {}) =>
  createGumbel({ codebookSize: 3, codeDimension: 2, ...common, batchTokens, ...changes });
const embedding = (): tf.Tensor2D => tf.tensor2d([1, 2, -3, 4, 5, -6], [3, 2]);
const stateAt = (step: number) => ({ "weight/codebook.embedding": embedding(), step: tf.scalar(step) });
const uniforms = (count: number, seed = 3): tf.Tensor =>
  tf.tensor2d(Rng.fromSeed(seed).fillUniform(count * 3), [count, 3]);
/** [1, 1, N, 3], the same logits at every position. */
const everywhere = (logits: readonly number[], count: number): tf.Tensor =>
  tf.tile(tf.tensor4d([...logits], [1, 1, 1, 3]), [1, 1, count, 1]);
const scalar = (tensor: tf.Tensor | undefined): number => tensor?.dataSync()[0] ?? NaN;

describe("gumbel", () => {
  test.each([
    [0, 2],
    [5, 1],
    [10, 0.5],
    [11, 0.5],
    [1e6, 0.5],
  ])("the temperature falls geometrically to its floor: at step %d it is %d", (step, expected) => {
    const { metrics } = create(1).forward(everywhere([0, 1, 2], 1), stateAt(step), { uniforms: uniforms(1) });
    expect(scalar(metrics["temperature"])).toBeCloseTo(expected, 5);
  });

  test("z by hand: softmax((logits − log(−log u)) / τ) times the codes", () => {
    const u = [0.3, 0.6, 0.9];
    const logits = [0.5, -0.2, 0.1];
    const { z } = create(1).forward(everywhere(logits, 1), stateAt(5), { uniforms: tf.tensor2d(u, [1, 3]) });
    const weights = logits.map((logit, k) => Math.exp(logit - Math.log(-Math.log(u[k] ?? NaN))));
    const total = weights.reduce((a, b) => a + b);
    const codes = embedding().arraySync();
    const expected = [0, 1].map((d) =>
      weights.reduce((sum, weight, k) => sum + (weight / total) * (codes[k]?.[d] ?? NaN), 0),
    );
    expectTensorsClose(z, tf.tensor(expected, [1, 1, 1, 2]), 1e-6);
  });

  test("as the temperature falls z becomes the code that the noisy logits choose", () => {
    const zE = noise([1, 4, 5, 3]);
    const drawn = uniforms(20);
    const noisy = tf.sub(zE.reshape([20, 3]), tf.log(tf.neg(tf.log(drawn))));
    const code = tf.gather(embedding(), tf.argMax<tf.Tensor1D>(noisy, 1)).reshape([1, 4, 5, 2]);
    const distance = (temperature: number): number => {
      const leaf = create(20, { temperature, temperatureFloor: temperature });
      return scalar(tf.max(tf.abs(tf.sub(leaf.forward(zE, stateAt(0), { uniforms: drawn }).z, code))));
    };
    expect(distance(1)).toBeGreaterThan(1);
    expect(distance(1e-4)).toBeLessThan(1e-3);
  });

  test("draws each code as often as the softmax says", () => {
    const count = 6000;
    const p = [0.1, 0.3, 0.6];
    const zE = everywhere(p.map(Math.log), count);
    const { statistics } = create(count).forward(zE, stateAt(0), { uniforms: uniforms(count, 11) });
    numbers(statistics["counts"] ?? tf.scalar(NaN)).forEach((drawn, k) => {
      const expected = p[k] ?? NaN;
      // Four standard deviations.
      expect(Math.abs(drawn / count - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / count));
    });
  });

  test("outside training nothing is drawn: the largest logit, whatever the step", () => {
    expect(numbers(create(2).assign(everywhere([0.1, 0.3, 0.2], 2)))).toEqual([1, 1]);
  });

  test("charges an image log K − H at each position, at klWeight / imageValues", () => {
    const kl = (zE: tf.Tensor): number => {
      const tokens = zE.size / 3;
      const { terms } = create(tokens).forward(zE, stateAt(0), { uniforms: uniforms(tokens) });
      expect(Object.keys(terms)).toEqual(["kl"]);
      expect(terms["kl"]?.weight).toBe(3 / 12);
      return scalar(terms["kl"]?.value);
    };
    expect(kl(everywhere([7, 7, 7], 4))).toBeCloseTo(0, 5);
    expect(kl(everywhere([0, 60, 0], 4))).toBeCloseTo(4 * Math.log(3), 5);
    const p = [0.2, 0.3, 0.5];
    const each = p.reduce((sum, probability) => sum + probability * Math.log(3 * probability), 0);
    expect(kl(everywhere(p.map(Math.log), 4))).toBeCloseTo(4 * each, 5);
    // Two images: the mean of theirs, not the sum.
    expect(kl(tf.concat([everywhere([0, 60, 0], 4), everywhere([7, 7, 7], 4)], 0))).toBeCloseTo(2 * Math.log(3), 5);
  });

  test("its gradients are the derivatives of what it computes", () => {
    const drawn = { uniforms: uniforms(6) };
    const leaf = create(6);
    expectFiniteDifferences(
      (zE, codes) => leaf.forward(zE, { ...stateAt(0), "weight/codebook.embedding": codes }, drawn).z,
      [noise([1, 2, 3, 3]), embedding()],
    ); // prettier-ignore
    expectFiniteDifferences(
      (zE) => leaf.forward(zE, stateAt(0), drawn).terms["kl"]?.value ?? tf.scalar(NaN),
      [noise([1, 2, 3, 3])],
    );
  });
});
