/**
 * How this processor multiplies uint8 by int8, found out by a product. x86 without VNNI adds two such products in int16, which saturates: 255·127 +
 * 255·127 is cut to 32,767, silently. Knows no model of anybody's.
 */
import type { Initializer, OnnxModel } from "../model.ts";
import { createSession } from "../session.ts";
import { encodeModel } from "../write.ts";

/** Pairs of the largest products, as long as a vector register and longer. */
const LENGTH = 64;
const [LARGEST_UINT8, LARGEST_INT8] = [255, 127];

/** Whether products of uint8 and int8 can come out wrong here: weights must then be uint8 as well, which is exact everywhere and slower. */
export async function saturatesPairs(): Promise<boolean> {
  const session = await createSession(encodeModel(productOfLargest()), { threads: 1 });
  try {
    const x = { type: "uint8", shape: [1, LENGTH], data: new Uint8Array(LENGTH).fill(LARGEST_UINT8) } as const;
    const { y } = await session.run({ x });
    return y?.data.some((sum) => Number(sum) !== LENGTH * LARGEST_UINT8 * LARGEST_INT8) ?? true;
  } finally {
    await session.dispose();
  }
}

/** Columns, so that the same kernel runs as for a matrix. */
const COLUMNS = 16;

function productOfLargest(): OnnxModel {
  const shape = [LENGTH, COLUMNS];
  const weights: Initializer = {
    ...{ name: "weights", type: "int8", shape },
    data: new Uint8Array(LENGTH * COLUMNS).fill(LARGEST_INT8),
  };
  return {
    name: "largest",
    irVersion: 8,
    opsets: { "": 17 },
    producer: "tessera",
    inputs: [{ name: "x", type: "uint8", shape: [1, LENGTH] }],
    outputs: [{ name: "y", type: "int32", shape: [1, COLUMNS] }],
    initializers: [weights],
    nodes: [{ op: "MatMulInteger", name: "product", inputs: ["x", "weights"], outputs: ["y"] }],
  };
}
