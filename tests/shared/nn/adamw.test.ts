import { beforeAll, describe, expect, test } from "vitest";
import type { Tensors } from "../../../shared/engine/engine.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { adamw } from "../../../shared/nn/adamw.ts";
import { constant } from "../../../shared/nn/schedules.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const shapes = { kernel: { shape: [1, 2], dtype: "float32" }, bias: { shape: [2], dtype: "float32" } } as const;

function startState(optimizer: ReturnType<typeof adamw>, kernel: number[], bias: number[]): Record<string, tf.Tensor> {
  const { spec, values } = optimizer.init(shapes);
  const moments = Object.entries(spec).map(
    ([name, { shape }]) => [name, tf.tensor(values[name] ?? [], [...shape])] as const,
  );
  return {
    "weight/kernel": tf.tensor(kernel, [1, 2]),
    "weight/bias": tf.tensor1d(bias),
    ...Object.fromEntries(moments),
  };
}
const numbers = (state: Tensors, name: string): number[] => [...(state[name]?.dataSync() ?? [])];

/** Algorithm 2 in scalars, double precision. */
function reference(weight: number, gradients: number[], { rate = 0.1, beta1 = 0.9, beta2 = 0.99, decay = 0 }): number {
  let [w, m, v] = [weight, 0, 0];
  gradients.forEach((g, i) => {
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const direction = m / (1 - beta1 ** (i + 1)) / (Math.sqrt(v / (1 - beta2 ** (i + 1))) + 1e-8);
    w -= rate * (direction + decay * w);
  });
  return w;
}

describe("adamw", () => {
  test("follows the algorithm over three steps; only tensors of rank ≥ 2 decay", () => {
    const optimizer = adamw({ learningRate: constant(0.1), beta2: 0.99, weightDecay: 0.5 });
    let state: Tensors = startState(optimizer, [1, -2], [0.5, 3]);
    const history = [
      [0.3, -1],
      [-0.2, 4],
      [0.9, 0.01],
    ];
    for (const g of history) state = optimizer.update(state, { kernel: tf.tensor(g, [1, 2]), bias: tf.tensor1d(g) });
    const column = (i: number): number[] => history.map((g) => g[i] ?? NaN);
    const expected = {
      "weight/kernel": [1, -2].map((w, i) => reference(w, column(i), { decay: 0.5 })),
      "weight/bias": [0.5, 3].map((w, i) => reference(w, column(i), {})),
    };
    for (const [name, values] of Object.entries(expected))
      numbers(state, name).forEach((value, i) => expect(value).toBeCloseTo(values[i] ?? NaN, 5));
    expect(numbers(state, "step")).toEqual([3]);
  });

  test("the first step of plain Adam has the learning rate's length, whatever the gradient's", () => {
    const optimizer = adamw({ learningRate: constant(0.1) });
    const state = optimizer.update(startState(optimizer, [0, 0], [0, 0]), {
      kernel: tf.tensor([[1e-3, -1e3]]),
      bias: tf.tensor1d([5, -5]),
    });
    expect(numbers(state, "weight/kernel").map((x) => x.toFixed(4))).toEqual(["-0.1000", "0.1000"]);
  });

  test("returns every entry it declared, in the same shapes, and the weights", () => {
    const optimizer = adamw({ learningRate: constant(0.1) });
    const state = startState(optimizer, [1, 2], [3, 4]);
    const next = optimizer.update(state, { kernel: tf.zeros([1, 2]), bias: tf.zeros([2]) });
    expect(Object.keys(next).sort()).toEqual(Object.keys(state).sort());
    for (const [name, tensor] of Object.entries(state)) expect(next[name]?.shape).toEqual(tensor.shape);
  });

  test("a missing gradient is named", () => {
    const optimizer = adamw({ learningRate: constant(0.1) });
    expect(() => optimizer.update(startState(optimizer, [1, 2], [3, 4]), { bias: tf.zeros([2]) })).toThrow(/kernel/);
  });

  test("leaks no tensor", () => {
    const optimizer = adamw({ learningRate: constant(0.1), weightDecay: 0.1 });
    const state = startState(optimizer, [1, 2], [3, 4]);
    const gradients = { kernel: tf.zeros([1, 2]), bias: tf.zeros([2]) };
    const before = tf.memory().numTensors;
    tf.dispose(tf.tidy(() => optimizer.update(state, gradients)));
    expect(tf.memory().numTensors).toBe(before);
  });
});
