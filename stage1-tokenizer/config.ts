/**
 * Everything that decides a tokenizer's architecture and training, flat and strict, and the presets by name. Knows no data set and
 * no file: what is measured (the images' variance) is handed to the training step by who measured it.
 */
import { z } from "zod";
import { TesseraError, usageError } from "../shared/errors.ts";
import { presetWarmup, SCHEDULES } from "../shared/nn/schedule-names.ts";

const positiveInteger = z.int().min(1);
const fraction = z.number().min(0).lt(1);

const schema = z
  .strictObject({
    /** Side of the square images, pixels: H = W. */
    imageSize: positiveInteger.max(4096),
    /** Pixels per token and side: the grid is imageSize / stride. */
    stride: z.literal([2, 4, 8, 16]),
    /** Channels of the convolutions. */
    hidden: positiveInteger.multipleOf(2),
    /** Channels inside a residual block. */
    residualHidden: positiveInteger,
    /** Residual blocks in the encoder, and as many in the decoder. */
    residualLayers: z.int().min(0),
    /** K; token files hold ids of 16 bits. */
    codebookSize: z.int().min(2).max(65536),
    /** D */
    codeDimension: positiveInteger,
    quantizer: z.enum(["vq", "vq-ema"]),
    /** γ of the codebook statistics; read by `vq-ema`. */
    codebookEmaDecay: fraction,
    /** Codes below this fraction of an average code's share are revived, 0: never; read by `vq-ema`. */
    revivalThreshold: fraction,
    /** β, on the commitment loss. */
    commitmentWeight: z.number().min(0),
    /** Images a step. */
    batchSize: positiveInteger,
    /** Adam's highest rate. */
    learningRate: z.number().positive(),
    schedule: z.enum(SCHEDULES),
    warmupSteps: z.int().min(0),
    /** Lowest rate of the cosine, as a fraction of `learningRate`. */
    learningRateFloor: z.number().min(0).max(1),
    /** Decay of the averaged weights that evaluation and export use; 0: the trained weights themselves. */
    weightEmaDecay: fraction,
    /** Updates in all. */
    steps: positiveInteger,
  })
  .superRefine((config, context) => {
    if (config.imageSize % config.stride !== 0)
      context.addIssue({
        code: "custom",
        path: ["imageSize"],
        message: `must be a multiple of stride ${config.stride}, got ${config.imageSize}`,
      });
    if (config.schedule === "warmup-cosine" && config.steps <= config.warmupSteps)
      context.addIssue({ code: "custom", path: ["warmupSteps"], message: `must be below steps ${config.steps}` });
  });

export type TokenizerConfig = Readonly<z.output<typeof schema>>;

const common = {
  quantizer: "vq-ema",
  codebookEmaDecay: 0.99,
  revivalThreshold: 0.1,
  commitmentWeight: 0.25,
  residualLayers: 2,
  residualHidden: 32,
  codebookSize: 512,
  schedule: "constant",
  warmupSteps: 0,
  learningRateFloor: 0.1,
  weightEmaDecay: 0,
} as const;

export const TOKENIZER_PRESETS = {
  /**
   * `tessera train-tokenizer --preset emoji64 --source emoji --out emoji`
   * Expect 27 dB PSNR on held-out emoji and all codes in use after 1,400 steps (about 4 minutes on 2 cores). A small codebook decay and a high
   * rate: at 0.99 and 4e-4 half of the codes fall idle in the first hundred steps, and 300 steps end 1.5 dB lower.
   */
  emoji64: {
    ...common,
    imageSize: 64,
    stride: 2,
    hidden: 64,
    codeDimension: 32,
    codebookEmaDecay: 0.97,
    batchSize: 16,
    learningRate: 2e-3,
    schedule: "warmup-cosine",
    warmupSteps: 50,
    steps: 1400,
  },
  /**
   * `tessera train-tokenizer --preset paper128 --source <folder>`
   * The ImageNet setting of van den Oord et al. 2017 (32×32×1, K = 512), at about 20 images/s on 2 cores; no published PSNR.
   */
  paper128: {
    ...common,
    imageSize: 128,
    stride: 4,
    hidden: 128,
    codeDimension: 64,
    batchSize: 16,
    learningRate: 3e-4,
    steps: 250_000,
  },
  /**
   * `tessera train-tokenizer --preset lecture256 --source <folder>`
   * 256×256×3 → 32×32 of K = 512, 0.047 bits a pixel and channel: expect blurred texture; no published PSNR.
   */
  lecture256: {
    ...common,
    imageSize: 256,
    stride: 8,
    hidden: 256,
    codeDimension: 64,
    batchSize: 8,
    learningRate: 3e-4,
    steps: 100_000,
  },
  /**
   * `tessera train-tokenizer --preset cifar32 --source <folder>`
   * Sonnet's CIFAR-10 notebook: expect NMSE about 0.105 at 1,000, 0.061 at 5,000 and 0.056 at 10,000 steps.
   */
  cifar32: {
    ...common,
    revivalThreshold: 0,
    imageSize: 32,
    stride: 4,
    hidden: 128,
    codeDimension: 64,
    batchSize: 32,
    learningRate: 3e-4,
    steps: 10_000,
  },
} as const satisfies Record<string, TokenizerConfig>;

export type TokenizerPreset = keyof typeof TOKENIZER_PRESETS;

/**
 * The preset called `name` with `overrides` on top.
 * @throws usage for an unknown preset, an unknown key, or a value that does not fit
 */
export function tokenizerConfig(name: string, overrides: Readonly<Record<string, unknown>> = {}): TokenizerConfig {
  if (!isPreset(name))
    throw usageError({
      what: "unknown tokenizer preset",
      where: "preset",
      expected: Object.keys(TOKENIZER_PRESETS).join(", "),
      got: name,
    });
  const preset = TOKENIZER_PRESETS[name];
  const warmupSteps = presetWarmup(preset.warmupSteps, overrides["steps"] ?? preset.steps);
  return parseTokenizerConfig(
    { ...preset, warmupSteps, ...overrides },
    {
      where: `tokenizer config (${name})`,
      code: "usage",
    },
  );
}

/**
 * Checks a complete configuration, as read from `config.json`.
 * @param place what it was read from, and what a problem means: a wrong request (`usage`) or damaged data (`bad-input`)
 * @throws `place.code` naming every field that is missing, unknown or does not fit
 */
export function parseTokenizerConfig(
  input: unknown,
  place: { readonly where: string; readonly code: "usage" | "bad-input" } = {
    where: "tokenizer config",
    code: "usage",
  },
): TokenizerConfig {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "config"}: ${message}`);
  const { where, code } = place;
  throw new TesseraError(code, {
    what: issues.join("; "),
    where,
    todo: "Correct the fields named",
    cause: parsed.error,
  });
}

/** [h, w] of the token grid. */
export function gridOf(config: Pick<TokenizerConfig, "imageSize" | "stride">): [height: number, width: number] {
  const side = config.imageSize / config.stride;
  return [side, side];
}

function isPreset(name: string): name is TokenizerPreset {
  return Object.hasOwn(TOKENIZER_PRESETS, name);
}
