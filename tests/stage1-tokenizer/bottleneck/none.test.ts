import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { createNone } from "../../../stage1-tokenizer/bottleneck/none.ts";
import { GRID, testBottleneck } from "../../contracts/bottleneck.ts";
import { noise, numbers } from "../../shared/nn/tensors.ts";

const none = createNone({ grid: GRID, codeDimension: 3 });
testBottleneck(none);

test("none is the identity, forward and backward, and charges nothing", () => {
  const [zE, r] = [noise([2, ...GRID, 3]), noise([2, ...GRID, 3], 8)];
  const { z, terms, metrics } = none.forward(zE);
  expect(numbers(z)).toEqual(numbers(zE));
  expect({ ...terms, ...metrics }).toEqual({});
  expect(numbers(none.fromLatent(none.latent(zE), {}))).toEqual(numbers(zE));
  expect(numbers(tf.grad((x: tf.Tensor) => tf.sum(tf.mul(r, none.forward(x).z)))(zE))).toEqual(numbers(r));
});

test("none has latents without a distribution: it cannot generate", () => {
  expect(none.latentShape).toEqual([...GRID, 3]);
  expect("posterior" in none).toBe(false);
});
