/** Training steps of ours by their shapes, through the engine that trains, beside the same in PyTorch. Knows no loop and no file. */
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import type { Arrays, Trainer } from "../../shared/engine/engine.ts";
import { Rng } from "../../shared/rng.ts";
import type { TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import { tokenizerConfig } from "../../stage1-tokenizer/presets.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "../../stage1-tokenizer/training-step.ts";
import { priorConfig, type PriorConfig } from "../../stage2-prior/config.ts";
import { createPriorStep, initialPriorState, priorBatch } from "../../stage2-prior/training-step.ts";
import { tokenizerFlops, transformerFlops } from "./arithmetic.ts";
import type { PeerCall } from "./peer.ts";
import { medianSeconds, type Repeats } from "./timing.ts";
import { THREADS, type Ceiling } from "./work.ts";

export interface Step {
  readonly flops: number;
  readonly ceiling: Ceiling;
  readonly peer: PeerCall;
  /** First weights and a batch are drawn at once; the trainer is traced and compiled when asked for, and the caller's to dispose of. */
  prepare(): { readonly batch: Arrays; readonly compile: () => Promise<Trainer> };
}

/** Median seconds of a step. */
export async function secondsOfStep(step: Step, repeats: Repeats): Promise<number> {
  const { batch, compile } = step.prepare();
  const trainer = await compile();
  try {
    return await medianSeconds(() => trainer.step(batch), repeats);
  } finally {
    await trainer.dispose();
  }
}

/** The paper's network (h = 128, r = 32, D = 64, K = 512) with a codebook learnt by gradient, at 128 px and batch 16 unless `changes` say otherwise. */
export const paperConfig = (changes: Partial<TokenizerConfig> = {}): TokenizerConfig =>
  tokenizerConfig("paper128", { bottleneck: "vq", ...changes });

/** Variance of uniform noise on the 0 … 1 scale. */
const NOISE_VARIANCE = 1 / 12;

/** VQ-VAE with Adam. */
export function tokenizerStep(changes: Partial<TokenizerConfig> = {}): Step {
  const config = paperConfig(changes);
  return {
    flops: config.batchSize * tokenizerFlops(config).step,
    ceiling: "conv",
    peer: { work: "vqvae_step", args: { batch: config.batchSize, ...tokenizerShape(config) } },
    prepare() {
      const rng = Rng.fromSeed(0);
      const { spec, draw } = tokenizerBatch(config);
      const values = config.batchSize * config.imageSize ** 2 * 3;
      const images = Uint8Array.from({ length: values }, () => rng.integer(256));
      const state = initialTokenizerState(config, rng);
      const step = createTokenizerStep(config, { variance: NOISE_VARIANCE });
      const engine = createOnnxEngine({ threads: THREADS });
      return { batch: { images, ...draw(rng) }, compile: () => engine.createTrainer(step, state, spec) };
    },
  };
}

/** A tokenizer's shape in the peer's words. */
export const tokenizerShape = (config: TokenizerConfig): PeerCall["args"] => ({
  size: config.imageSize,
  h: config.hidden,
  r: config.residualHidden,
  d: config.codeDimension,
  k: config.codebookSize,
});

export const PRIOR_SIZES = {
  "1m": { width: 128, layers: 4, heads: 4, feedForward: 352 },
  "5m": { width: 256, layers: 6, heads: 8, feedForward: 704 },
} as const;

/** Over 32×32 tokens of 512 codes, unconditional, 4 images a step, without dropout, unless `changes` say otherwise. */
export const transformerConfig = (
  objective: "causal" | "masked",
  size: keyof typeof PRIOR_SIZES,
  changes: Partial<PriorConfig> = {},
): PriorConfig =>
  priorConfig("base", {
    objective,
    codebookSize: 512,
    grid: [32, 32],
    classes: 0,
    dropout: 0,
    weightEmaDecay: 0,
    ...PRIOR_SIZES[size],
    ...changes,
  });

/** Transformer with AdamW. */
export function priorStep(config: PriorConfig): Step {
  const { batchSize, codebookSize, grid, objective } = config;
  return {
    flops: batchSize * transformerFlops(config).step,
    ceiling: "gemm",
    peer: {
      work: "prior_step",
      args: { batch: batchSize, causal: objective === "causal", ...transformerShape(config) },
    },
    prepare() {
      const rng = Rng.fromSeed(0);
      const form = priorBatch(config);
      const tokens = Int32Array.from({ length: batchSize * grid[0] * grid[1] }, () => rng.integer(codebookSize));
      const labels = new Int32Array(batchSize).fill(-1);
      const batch = form.prepare({ tokens, labels, keys: [] }, rng);
      const state = initialPriorState(config, rng);
      const step = createPriorStep(config);
      const engine = createOnnxEngine({ threads: THREADS });
      return { batch, compile: () => engine.createTrainer(step, state, form.spec) };
    },
  };
}

/** A Transformer's shape in the peer's words. */
export const transformerShape = ({ grid, width, layers, heads, codebookSize }: PriorConfig): PeerCall["args"] => ({
  length: grid[0] * grid[1],
  width,
  layers,
  heads,
  k: codebookSize,
});

/** By the names that works and processes know them by. At 256 px a batch of 4 holds as many pixels as 16 at 128. */
export const STEPS = {
  "vqvae-64": tokenizerStep({ imageSize: 64 }),
  "vqvae-128": tokenizerStep(),
  "vqvae-256": tokenizerStep({ imageSize: 256, batchSize: 4 }),
  "causal-1m": priorStep(transformerConfig("causal", "1m")),
  "causal-5m": priorStep(transformerConfig("causal", "5m")),
  "masked-1m": priorStep(transformerConfig("masked", "1m")),
  "masked-5m": priorStep(transformerConfig("masked", "5m")),
} as const satisfies Record<string, Step>;

export type StepName = keyof typeof STEPS;
export const STEP_NAMES = Object.keys(STEPS) as readonly StepName[];
