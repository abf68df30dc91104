/**
 * Everything that decides a model's architecture and training, flat and strict. Knows no preset, no data set and no file: what is
 * measured (the images' variance) is handed to the training step by who measured it.
 */
import { z } from "zod";
import { TesseraError } from "../shared/errors.ts";
import { SCHEDULES } from "../shared/nn/schedule-names.ts";

/** The leaves of `bottleneck/`: all but the last three choose codes. */
export const BOTTLENECKS = [
  "vq",
  "vq-ema",
  "st-softmax",
  "gumbel",
  "reinforce",
  "fsq",
  "gaussian",
  "gaussian-vector",
  "none",
] as const;
export type BottleneckName = (typeof BOTTLENECKS)[number];

/** The leaves of `reconstruction/`. */
export const RECONSTRUCTIONS = ["l2", "l1", "bce", "gaussian", "logistic"] as const;

const positiveInteger = z.int().min(1);
const fraction = z.number().min(0).lt(1);
const codebookSize = z.int().min(2).max(65536);

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
    codebookSize,
    /** D */
    codeDimension: positiveInteger,
    bottleneck: z.enum(BOTTLENECKS),
    /** γ of the codebook statistics; read by `vq-ema`. */
    codebookEmaDecay: fraction,
    /** Codes below this fraction of an average code's share are revived, 0: never; read by `vq-ema`. */
    revivalThreshold: fraction,
    /** β, on the commitment loss; read by `vq` and `vq-ema`. */
    commitmentWeight: z.number().min(0),
    /** Codes and encoder outputs of length 1; read by `vq` and `vq-ema`. */
    normalizeCodes: z.boolean(),
    /** L of each channel, their product K; read by `fsq`, empty for the others. */
    levels: z.array(z.int().min(2).max(64)).max(16),
    /** τ of the first step and of the last; read by `gumbel`. */
    temperature: z.number().positive(),
    temperatureFloor: z.number().positive(),
    /** β of a VAE: weight of the KL divergence, 1 for an ELBO; read by `gumbel`, `gaussian` and `gaussian-vector`. */
    klWeight: z.number().min(0),
    /** Nats a latent channel may cost for nothing; read by `gaussian` and `gaussian-vector`. */
    freeBits: z.number().min(0),
    /** What a decoded image is compared by. */
    reconstruction: z.enum(RECONSTRUCTIONS),
    /** Images a step. */
    batchSize: positiveInteger,
    /** Adam's highest rate. */
    learningRate: z.number().positive(),
    schedule: z.enum(SCHEDULES),
    warmupSteps: z.int().min(0),
    /** Lowest rate of the cosine, as a fraction of `learningRate`. */
    learningRateFloor: z.number().min(0).max(1),
    /** Largest global norm of the gradients; 0: any. */
    gradientClip: z.number().min(0),
    /** Training images are mirrored at random. */
    augmentFlip: z.boolean(),
    /** Training images are moved at random by up to this many pixels. */
    augmentCrop: z.int().min(0),
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
    if (config.augmentCrop >= config.imageSize)
      context.addIssue({
        code: "custom",
        path: ["augmentCrop"],
        message: `must be below imageSize ${config.imageSize}`,
      });
    checkBottleneck(config, (path, message) => context.addIssue({ code: "custom", path: [path], message }));
    if (config.schedule === "warmup-cosine" && config.steps <= config.warmupSteps)
      context.addIssue({ code: "custom", path: ["warmupSteps"], message: `must be below steps ${config.steps}` });
  });

export type TokenizerConfig = Readonly<z.output<typeof schema>>;

/** What bottleneck, codes and loss must agree on. */
function checkBottleneck(
  config: Pick<
    z.output<typeof schema>,
    "bottleneck" | "levels" | "codebookSize" | "reconstruction" | "temperature" | "temperatureFloor"
  >,
  complain: (field: string, message: string) => void,
): void {
  const { bottleneck, levels, codebookSize, reconstruction } = config;
  const codes = levels.reduce((product, count) => product * count, 1);
  if (bottleneck === "fsq" && codes !== codebookSize)
    complain("levels", `must multiply to codebookSize ${codebookSize}, got ${levels.join("·") || "none"}`);
  if (bottleneck !== "fsq" && levels.length > 0) complain("levels", `are read by fsq only, not by ${bottleneck}`);
  if (isVariational(bottleneck) && (reconstruction === "l2" || reconstruction === "l1"))
    complain("reconstruction", `must be a likelihood for ${bottleneck}: bce, gaussian or logistic`);
  if (config.temperatureFloor > config.temperature)
    complain("temperatureFloor", `must not be above temperature ${config.temperature}`);
}

export const isVariational = (bottleneck: BottleneckName): boolean =>
  bottleneck === "gaussian" || bottleneck === "gaussian-vector";

/** Whether a number can be K. */
export const isCodebookSize = (value: unknown): boolean => codebookSize.safeParse(value).success;

/** Whether the bottleneck chooses codes, so that images become tokens. */
export const makesTokens = ({ bottleneck }: Pick<TokenizerConfig, "bottleneck">): boolean =>
  bottleneck !== "none" && !isVariational(bottleneck);

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

/** H·W·3: values of an image. */
export const imageValuesOf = ({ imageSize }: Pick<TokenizerConfig, "imageSize">): number => imageSize * imageSize * 3;

/** [h, w] of the token grid. */
export function gridOf(config: Pick<TokenizerConfig, "imageSize" | "stride">): [height: number, width: number] {
  const side = config.imageSize / config.stride;
  return [side, side];
}

/** Sizes of one image's latent, [h, w, D] or [D], where there are no tokens: as the bottlenecks declare it, who stand on TensorFlow.js. */
export function latentShapeOf(
  config: Pick<TokenizerConfig, "imageSize" | "stride" | "bottleneck" | "codeDimension">,
): number[] {
  const vector = config.bottleneck === "gaussian-vector";
  return vector ? [config.codeDimension] : [...gridOf(config), config.codeDimension];
}
