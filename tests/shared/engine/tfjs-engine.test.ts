import { expect, it } from "vitest";

import { createTfjsEngine } from "../../../shared/engine/tfjs-engine.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { describeEngine } from "../../contracts/engine.ts";

describeEngine("tfjs oracle", () => createTfjsEngine("oracle"));

it.each(["gpu", "node"] as const)(
  "refuses %s with what is missing, where libtensorflow is not built",
  async (backend) => {
    // On a machine where `npm run setup:gpu` was run, the engine exists and there is nothing to refuse.
    const outcome = await createTfjsEngine(backend).then(
      ({ description }) => description,
      (error: unknown) => error,
    );
    if (typeof outcome === "string") expect(outcome).toContain("tfjs");
    else expect(outcome).toMatchObject({ code: "failure", message: expect.stringMatching(/tfjs-node|GPU/) as string });
  },
);

it("leaks no tensor over runs and steps", async () => {
  const engine = await createTfjsEngine("oracle");
  const spec = { x: { shape: [3], dtype: "float32" } } as const;
  const fn = await engine.compile(({ x }) => ({ y: tf.square(x as tf.Tensor) }), spec);
  const trainer = await engine.createTrainer(
    {
      gradients: ({ w }, { x }) => {
        const y = tf.mul(w as tf.Tensor, x as tf.Tensor);
        return { gradients: { w: y }, statistics: {}, metrics: { loss: tf.sum(y) } };
      },
      update: ({ w }, { w: g }) => ({ w: tf.sub(w as tf.Tensor, g as tf.Tensor) }),
    },
    { spec: { w: spec.x }, values: { w: Float32Array.of(1, 2, 3) } },
    spec,
  );
  const x = Float32Array.of(1, 2, 3);
  await trainer.step({ x });
  const before = tf.memory().numTensors;
  for (let i = 0; i < 3; i++) {
    await fn.run({ x });
    await trainer.step({ x });
    const { gradients, statistics } = await trainer.gradients({ x });
    await trainer.update(gradients, statistics);
  }
  expect(tf.memory().numTensors).toBe(before);
});
