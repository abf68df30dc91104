/**
 * Everything that decides a prior's architecture and training, flat and strict, and the presets by name. Knows no data set: codebook size, grid
 * and classes come from the token files. Loads no runtime.
 */
import { z } from "zod";

import { parseConfig } from "../shared/config.ts";
import { usageError } from "../shared/errors.ts";
import { presetWarmup, SCHEDULES } from "../shared/nn/schedule-names.ts";
import { MASK_SCHEDULES } from "./mask-schedule.ts";
import { LEARNT_OBJECTIVES } from "./signature.ts";

const positive = z.int().min(1);
const fraction = z.number().min(0).lt(1);

const schema = z
  .strictObject({
    objective: z.enum(LEARNT_OBJECTIVES),
    /** K */
    codebookSize: z.int().min(2).max(65536),
    /** [h, w] */
    grid: z.tuple([positive, positive]),
    /** C; 0 = unconditional. */
    classes: z.int().min(0),
    /** M */
    width: positive,
    layers: positive,
    /** H; Transformer only. */
    heads: positive,
    /** F, the feed-forward layer's inner width; Transformer only. */
    feedForward: positive,
    /** Images a step. */
    batchSize: positive,
    /** Updates in all. */
    steps: positive,
    learningRate: z.number().positive(),
    schedule: z.enum(SCHEDULES),
    warmupSteps: z.int().min(0),
    /** Lowest rate of the cosine, as a fraction of `learningRate`. */
    learningRateFloor: z.number().min(0).max(1),
    weightDecay: z.number().min(0),
    beta1: fraction,
    beta2: fraction,
    /** Largest global norm of the gradients. */
    clipNorm: z.number().positive(),
    /** Decay of the averaged weights that evaluation and export use; 0: the trained weights themselves. */
    weightEmaDecay: fraction,
    dropout: fraction,
    /** Share of images that lose their class in training. */
    labelDrop: z.number().min(0).max(1),
    /** Masked objective only. */
    labelSmoothing: fraction,
    /** Masked objective only: how much is masked. */
    maskSchedule: z.enum(Object.keys(MASK_SCHEDULES) as [keyof typeof MASK_SCHEDULES]),
    /** Masked objective only: least fraction masked in training. */
    maskFloor: fraction,
  })
  .superRefine(({ objective, width, heads, schedule, steps, warmupSteps }, context) => {
    const refuse = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message });
    if (objective !== "pixelcnn" && width % heads !== 0) refuse("heads", `must divide width ${width}, got ${heads}`);
    else if (objective !== "pixelcnn" && (width / heads) % 4 !== 0)
      refuse("heads", `width / heads must be a multiple of 4 (2D rotary pairs), got ${width / heads}`);
    if (schedule === "warmup-cosine" && steps <= warmupSteps) refuse("warmupSteps", `must be below steps ${steps}`);
  });

export type PriorConfig = Readonly<z.output<typeof schema>>;
/** What a preset leaves to the token files and the caller. */
type FromData = "objective" | "codebookSize" | "grid" | "classes";

const common = {
  schedule: "warmup-cosine",
  warmupSteps: 50,
  learningRateFloor: 0.1,
  weightDecay: 0.05,
  beta1: 0.9,
  beta2: 0.95,
  clipNorm: 1,
  weightEmaDecay: 0.99,
  labelDrop: 0.1,
  labelSmoothing: 0.1,
  maskSchedule: "cosine",
  maskFloor: 0,
} as const;

export const PRIOR_PRESETS = {
  /**
   * `tessera train-prior --preset emoji-small --objective causal --tokens emoji-training --held-out emoji-held-out --minutes 4`
   * 1 M parameters. Expect less than 3 bits/token on the demo's tokens after four minutes on 2 cores.
   */
  "emoji-small": {
    ...common,
    width: 128,
    layers: 4,
    heads: 4,
    feedForward: 352,
    batchSize: 2,
    steps: 1200,
    learningRate: 4e-3,
    dropout: 0,
    // MaskGIT's 0.1 is for tokens of 6 bits and more: on these mosaics it makes the network expect a stray token at every tenth position.
    labelSmoothing: 0,
  },
  /**
   * `tessera train-prior --preset base --objective causal --tokens <set> --out base`
   * 5 M parameters; LlamaGen's recipe (dropout 0.1, rate 1e-4 per 256 images scaled to the batch).
   */
  base: {
    ...common,
    width: 256,
    layers: 6,
    heads: 8,
    feedForward: 704,
    batchSize: 4,
    steps: 20_000,
    learningRate: 6e-4,
    weightEmaDecay: 0.999,
    dropout: 0.1,
  },
  /**
   * `tessera train-prior --preset mnist-pixelcnn --objective pixelcnn --tokens mnist-training --held-out mnist-held-out --out mnist-pixelcnn`
   * 1.05 M parameters on 7×7 tokens of 128 codes and ten classes, for the 60,000 digits. On 9,000 it learns them by heart (1.24 nats a token in
   * training, 2.12 on held-out digits): give it `--dropout 0.3` and fewer steps there.
   */
  "mnist-pixelcnn": {
    ...common,
    width: 64,
    layers: 6,
    heads: 4,
    feedForward: 192,
    batchSize: 16,
    steps: 6000,
    learningRate: 2e-3,
    weightEmaDecay: 0.999,
    dropout: 0,
  },
} as const satisfies Record<string, Omit<PriorConfig, FromData>>;

export type PriorPreset = keyof typeof PRIOR_PRESETS;

/** @throws usage for an unknown preset, an unknown key, or a value that does not fit. */
export function priorConfig(name: string, values: Readonly<Record<string, unknown>>): PriorConfig {
  if (!isPreset(name)) {
    throw usageError({ what: "unknown prior preset", expected: Object.keys(PRIOR_PRESETS).join(", "), got: name });
  }
  const preset = PRIOR_PRESETS[name];
  const warmupSteps = presetWarmup(preset.warmupSteps, values["steps"] ?? preset.steps);
  return parseConfig(schema, { ...preset, warmupSteps, ...values }, { where: `prior config (${name})`, code: "usage" });
}

const isPreset = (name: string): name is PriorPreset => Object.hasOwn(PRIOR_PRESETS, name);
