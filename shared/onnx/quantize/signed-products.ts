/**
 * Products of uint8 by int8 in a graph of anybody's making: those that come out wrong where a processor adds them in pairs (`saturation.ts`). Knows no
 * processor.
 */
import { ONNX_TYPES, type Initializer, type OnnxModel, type OnnxNode } from "../model.ts";

/**
 * Operators that the runtime computes with bytes, and which of their inputs are the factors. Without a left one, the operator rounds its activations to
 * uint8 itself. ConvInteger is not among them: there the filters are the left factor, and int8 by uint8 is exact, as is int8 by int8.
 */
const PRODUCTS: Readonly<Record<string, { readonly left?: number; readonly rights: readonly number[] }>> = {
  MatMulInteger: { left: 0, rights: [1] },
  QLinearMatMul: { left: 0, rights: [3] },
  QLinearConv: { left: 0, rights: [3] },
  // Of com.microsoft:
  MatMulIntegerToFloat: { left: 0, rights: [1] },
  QGemm: { left: 0, rights: [3] },
  QAttention: { left: 0, rights: [1] },
  DynamicQuantizeMatMul: { rights: [1] },
  DynamicQuantizeLSTM: { rights: [1, 2] },
};

/** Two products of 255 and this one fit in int16. */
const LARGEST_SAFE = 64;

/** The first node that multiplies uint8 by int8 beyond −64 … 64, as far as the graph tells without being run. */
export function findSignedProduct(model: OnnxModel): OnnxNode | undefined {
  const signed = new Map<string, boolean>();
  for (const { name, type } of model.inputs) if (type === "int8") signed.set(name, true);
  for (const initializer of model.initializers)
    if (initializer.type === "int8") signed.set(initializer.name, isLarge(initializer));
  return model.nodes.find((node) => {
    const made = int8Made(node, signed);
    if (made !== undefined) for (const output of node.outputs) signed.set(output, made);
    const product = PRODUCTS[node.op];
    if (product === undefined) return false;
    const { left, rights } = product;
    const fromLeft = left !== undefined && signed.has(node.inputs[left] ?? "");
    return !fromLeft && rights.some((right) => signed.get(node.inputs[right] ?? "") === true);
  });
}

const isLarge = ({ data }: Pick<Initializer, "data">): boolean =>
  new Int8Array(data.buffer, data.byteOffset, data.byteLength).some((value) => value < -LARGEST_SAFE || value > LARGEST_SAFE); // prettier-ignore

/**
 * Whether the int8 that a node makes is large; undefined if it makes another type.
 * @param signed the values of int8 so far, and whether they are large
 */
function int8Made(node: OnnxNode, signed: ReadonlyMap<string, boolean>): boolean | undefined {
  const { op, inputs, attributes = {} } = node;
  const ofZeroPoint = (at: number): boolean | undefined => (signed.has(inputs[at] ?? "") ? true : undefined);
  const isInt8 = (name: string): boolean => {
    const type = attributes[name];
    return type?.kind === "int" && type.value === ONNX_TYPES.int8.code;
  };
  switch (op) {
    case "Constant": {
      const value = attributes["value"];
      return value?.kind === "tensor" && value.value.type === "int8" ? isLarge(value.value) : undefined;
    }
    case "Cast":
      return isInt8("to") ? true : undefined;
    case "QuantizeLinear":
      return isInt8("output_dtype") ? true : ofZeroPoint(2);
    case "QLinearMatMul":
    case "QLinearConv":
      return ofZeroPoint(7);
    case "QGemm":
      return ofZeroPoint(8);
    case "DequantizeLinear":
    case "DynamicQuantizeLinear":
      return undefined;
    default: {
      // What moves numbers keeps their type; what computes another one of int8 gives no factor of bytes.
      const sizes = inputs.map((input) => signed.get(input)).filter((size) => size !== undefined);
      return sizes.length === 0 ? undefined : sizes.includes(true);
    }
  }
}
