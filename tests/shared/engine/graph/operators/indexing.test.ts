/** What a scatter promises and the ONNX standard does not: sums in the order of the rows, whatever the number of threads. */
import { expect, test } from "vitest";

import { GraphBuilder } from "../../../../../shared/engine/graph/graph.ts";
import { scatterAdd } from "../../../../../shared/engine/graph/operators/indexing.ts";
import { toOnnx } from "../../../../../shared/engine/graph/to-onnx.ts";
import { createSession } from "../../../../../shared/onnx/session.ts";
import { encodeModel } from "../../../../../shared/onnx/write.ts";
import { Rng } from "../../../../../shared/rng.ts";

test("scatterAdd adds colliding rows one after the other, bit for bit", async () => {
  const [rows, width, count] = [20_000, 16, 7];
  const rng = Rng.fromSeed(1);
  // Summands of very unequal size: any other order of adding gives other bits.
  const x = Float32Array.from({ length: rows * width }, () => rng.normal() * 10 ** rng.integer(6));
  const targets = Int32Array.from({ length: rows }, () => rng.integer(count));
  const expected = new Float32Array(count * width);
  for (const [row, target] of targets.entries()) {
    for (let i = 0; i < width; i++) {
      const at = target * width + i;
      expected[at] = (expected[at] ?? 0) + (x[row * width + i] ?? 0);
    }
  }
  const g = new GraphBuilder();
  const y = scatterAdd(g, g.input("x", "float32", [rows, width]), g.input("targets", "int32", [rows]), count);
  const session = await createSession(encodeModel(toOnnx(g.build({ y }), { name: "scatter" })), { threads: 2 });
  const outputs = await session.run({
    x: { type: "float32", shape: [rows, width], data: x },
    targets: { type: "int32", shape: [rows], data: targets },
  });
  await session.dispose();
  expect(outputs["y"]?.data).toEqual(expected);
});
