/** Chooses the engine that trains. The only place that knows them all; each is loaded when it is chosen. */
import { z } from "zod";

import type { Engine } from "../shared/engine/engine.ts";
import { DTYPES, type Dtype } from "../shared/onnx/quantize/dtype.ts";
import { option } from "./options.ts";

export const ENGINES = ["onnx", "tfjs-gpu", "tfjs-node"] as const;
export type EngineName = (typeof ENGINES)[number];

export interface EngineChoice {
  readonly engine: EngineName;
  readonly threads?: number | undefined;
  readonly provider: "cpu" | "webgpu" | "cuda";
}

export const threadsOption = {
  threads: option(z.int().min(1).max(256).optional(), {
    describe: "Threads, of all processes together (default: the cores)",
  }),
};

/** What published graphs compute in. */
export const dtypeOption = {
  dtype: option(z.enum(DTYPES).default("float32"), {
    describe: "Arithmetic of the graphs; int8 is faster and costs a little quality",
  }),
};

export const engineOptions = {
  engine: option(z.enum(ENGINES).default("onnx"), { describe: "What runs the training graph" }),
  provider: option(z.enum(["cpu", "webgpu", "cuda"]).default("cpu"), { describe: "onnxruntime's execution provider" }),
  ...threadsOption,
};

/** @throws failure if the engine's runtime cannot be loaded here. */
export async function createEngine({ engine, threads, provider }: EngineChoice): Promise<Engine> {
  switch (engine) {
    case "onnx": {
      const { createOnnxEngine } = await import("../shared/engine/onnx-engine.ts");
      return createOnnxEngine({ provider, ...sessionOptions({ threads }) });
    }
    case "tfjs-gpu":
    case "tfjs-node": {
      const { createTfjsEngine } = await import("../shared/engine/tfjs-engine.ts");
      return createTfjsEngine(engine === "tfjs-gpu" ? "gpu" : "node");
    }
    default:
      return engine satisfies never;
  }
}

/** How a published graph is opened. */
export interface GraphOptions {
  readonly threads?: number;
  readonly dtype: Dtype;
}

export const graphOptions = ({ threads, dtype }: { threads?: number | undefined; dtype: Dtype }): GraphOptions => ({
  ...sessionOptions({ threads }),
  dtype,
});

/** Options of an inference session. */
export const sessionOptions = ({ threads }: { threads?: number | undefined }): { threads?: number } =>
  threads === undefined ? {} : { threads };
