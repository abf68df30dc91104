/**
 * How this processor multiplies uint8 by int8, found out by a product. x86 without VNNI adds two such products in int16, which saturates: 255·127 +
 * 255·127 is cut to 32,767, silently. Our own graphs get around it (`weights.ts`); others' are refused where it can happen.
 */
import { mismatch } from "../../errors.ts";
import type { Initializer, OnnxModel } from "../model.ts";
import { createSession } from "../session.ts";
import { encodeModel } from "../write.ts";
import { findSignedProduct } from "./signed-products.ts";

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

/** @throws mismatch if this processor would get the graph's products of bytes wrong. */
export async function checkSaturation(model: OnnxModel, where: string): Promise<void> {
  const product = findSignedProduct(model);
  if (product === undefined || !(await saturatesPairs())) return;
  throw mismatch({
    what: `node "${product.name}" (${product.op}) multiplies uint8 by int8 weights, which this processor gets wrong: it adds pairs of such products in 16 bits`,
    where,
    expected: "weights that are float32, uint8, or int8 of seven bits (-64 to 64)",
    got: "int8 of eight bits",
    todo: "Export the graph with such weights, or use a processor with VNNI.",
  });
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
