/**
 * The best this machine does today, through the runtime that our graphs run on: matrix products and convolutions of large shapes, and copying
 * memory. The best of several runs, because a ceiling is what is possible and not what is usual.
 */
import { createSession } from "../../shared/onnx/session.ts";
import {
  STANDARD_IR,
  STANDARD_OPSET,
  type Initializer,
  type OnnxModel,
  type OnnxNode,
} from "../../shared/onnx/model.ts";
import { encodeModel } from "../../shared/onnx/write.ts";
import type { Row } from "./row.ts";
import { secondsEach } from "./timing.ts";
import { THREADS, type Ceiling } from "./work.ts";

export interface Ceilings extends Readonly<Record<Ceiling, number>> {
  /** GB/s: bytes read and bytes written, one thread. `gemm` and `conv` are in GFLOP/s. */
  readonly copy: number;
}

interface Shape {
  readonly input: readonly number[];
  readonly output: readonly number[];
  readonly weights: readonly (readonly number[])[];
  readonly node: Pick<OnnxNode, "op" | "attributes">;
  readonly flops: number;
}

/** [m, k] · [k, n], one node: little is written for what is computed. */
const product = ([m, k, n]: readonly [number, number, number]): Shape => ({
  input: [m, k],
  output: [m, n],
  weights: [[k, n]],
  node: { op: "MatMul" },
  flops: 2 * m * k * n,
});

const LAYERS = 4;

/** 3×3 convolutions one after the other, padded, weights constant. */
const convolutions = ([batch, channels, side]: readonly [number, number, number]): Shape => ({
  input: [batch, channels, side, side],
  output: [batch, channels, side, side],
  weights: Array.from({ length: LAYERS }, () => [channels, channels, 3, 3]),
  node: { op: "Conv", attributes: { pads: { kind: "ints", value: [1, 1, 1, 1] } } },
  flops: LAYERS * 2 * batch * side ** 2 * 9 * channels ** 2,
});

const SHAPES: Readonly<Record<Ceiling, readonly Shape[]>> = {
  gemm: ([[1024, 4096, 1024], [2048, 2048, 2048], [4096, 1024, 1024]] as const).map(product), // prettier-ignore
  conv: ([[16, 128, 32], [16, 256, 32], [8, 128, 64]] as const).map(convolutions), // prettier-ignore
};

export async function measureCeilings(): Promise<Ceilings> {
  return { gemm: await bestRate(SHAPES.gemm), conv: await bestRate(SHAPES.conv), copy: await copyRate() };
}

export const ceilingRows = ({ gemm, conv, copy }: Ceilings): Row[] => [
  { work: "ceiling, products", unit: "GFLOP/s", ours: gemm },
  { work: "ceiling, convolutions", unit: "GFLOP/s", ours: conv },
  { work: "ceiling, copying", unit: "GB/s", ours: copy, note: "read and written, one thread" },
];

const REPEATS = { warmUp: 1, timed: 6 };

async function bestRate(shapes: readonly Shape[]): Promise<number> {
  let best = 0;
  for (const shape of shapes) best = Math.max(best, shape.flops / (await bestSeconds(shape)) / 1e9);
  return best;
}

async function bestSeconds(shape: Shape): Promise<number> {
  const session = await createSession(encodeModel(chain(shape)), { threads: THREADS });
  try {
    const x = { type: "float32", shape: shape.input, data: values(shape.input) } as const;
    return Math.min(...(await secondsEach(() => session.run({ x }), REPEATS)));
  } finally {
    await session.dispose();
  }
}

/** x through one node per weight, each fed by the one before. */
function chain({ input, output, weights, node }: Shape): OnnxModel {
  const initializers = weights.map((shape, i): Initializer => {
    const data = new Uint8Array(values(shape).buffer);
    return { name: `weight${i}`, type: "float32", shape, data };
  });
  const last = weights.length - 1;
  const nodes = initializers.map(({ name }, i) => ({
    ...node,
    name: `node${i}`,
    inputs: [i === 0 ? "x" : `between${i}`, name],
    outputs: [i === last ? "y" : `between${i + 1}`],
  }));
  return {
    name: "ceiling",
    irVersion: STANDARD_IR,
    opsets: { "": STANDARD_OPSET },
    producer: "tessera",
    inputs: [{ name: "x", type: "float32", shape: input }],
    outputs: [{ name: "y", type: "float32", shape: output }],
    initializers,
    nodes,
  };
}

/** Small and of both signs, so that no layer makes them large or denormal. */
function values(shape: readonly number[]): Float32Array {
  const length = shape.reduce((product, size) => product * size, 1);
  return Float32Array.from({ length }, (_, i) => ((i * 7919) % 101) / 1000 - 0.05);
}

const COPIED_BYTES = 2 ** 28;

async function copyRate(): Promise<number> {
  const from = new Uint8Array(COPIED_BYTES).fill(1);
  const to = new Uint8Array(COPIED_BYTES);
  const times = await secondsEach(async () => {
    to.set(from);
  }, REPEATS);
  return (2 * COPIED_BYTES) / Math.min(...times) / 1e9;
}
