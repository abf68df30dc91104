/** Folded constants are what the runtime makes of the nodes that they replace. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { checkModel } from "../../../../shared/onnx/check.ts";
import { floatsOf, foldConstants } from "../../../../shared/onnx/quantize/constants.ts";
import { createSession } from "../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../shared/onnx/write.ts";
import type { OnnxModel } from "../../../../shared/onnx/model.ts";
import { sizeOf } from "../../../../shared/records.ts";
import { constant, int, integers, ints, node, residual } from "./convolutional.ts";

const bound = fc.integer({ min: -6, max: 6 });
const cut = fc.record({
  axis: fc.integer({ min: -3, max: 2 }),
  start: bound,
  end: bound,
  step: fc.constantFrom(1, 2, 3, -1, -2),
});

test("slices with any bounds, transposes and concatenations are exact", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
      fc.shuffledSubarray([0, 1, 2], { minLength: 3, maxLength: 3 }),
      cut,
      async (shape, perm, { axis, start, end, step }) => {
        const values = Array.from({ length: sizeOf(shape) }, (_, i) => i);
        const model: OnnxModel = {
          ...{ name: "constants", irVersion: 8, opsets: { "": 17 }, producer: "test", inputs: [] },
          outputs: [{ name: "y", type: "float32", shape: ["", "", ""] }],
          initializers: [
            constant("k", shape, values),
            ...Object.entries({ start, end, axis, step }).map(([name, value]) => integers(name, [value])),
          ],
          nodes: [
            node("Concat", ["k", "k"], "twice", { axis: int(0) }),
            node("Transpose", ["twice"], "turned", { perm: ints(perm) }),
            node("Slice", ["turned", "start", "end", "axis", "step"], "cut"),
            node("Identity", ["cut"], "y"),
          ],
        };
        const folded = foldConstants(model);
        expect(folded.nodes.map(({ op }) => op)).toEqual(["Identity"]);
        const session = await createSession(encodeModel(model), { threads: 1, optimization: "disabled" });
        const { y } = await session.run({});
        await session.dispose();
        const mine = folded.initializers.find(({ name }) => name === "cut");
        expect(mine?.shape).toEqual(y?.shape);
        expect(mine && floatsOf(mine)).toEqual(y?.data);
      },
    ),
    { numRuns: 60 },
  );
});

test("what is not constant stays, and the graph stays one that we publish", () => {
  const folded = foldConstants(residual());
  expect(folded.nodes.map(({ op }) => op)).toEqual(
    residual()
      .nodes.map(({ op }) => op)
      .slice(1),
  );
  expect(() => {
    checkModel(folded);
  }).not.toThrow();
});
