/**
 * Tokenizer configurations by name, and what changes in one for another bottleneck. Each preset opens with its command and the result to
 * expect.
 */
import { usageError } from "../shared/errors.ts";
import { canonicalJson } from "../shared/fingerprint.ts";
import { presetWarmup } from "../shared/nn/schedule-names.ts";
import { isCodebookSize, isVariational, parseTokenizerConfig, type TokenizerConfig } from "./config.ts";

const common = {
  bottleneck: "vq-ema",
  codebookEmaDecay: 0.99,
  revivalThreshold: 0.1,
  commitmentWeight: 0.25,
  normalizeCodes: false,
  levels: [] as number[],
  temperature: 1,
  temperatureFloor: 0.5,
  klWeight: 1,
  freeBits: 0,
  reconstruction: "l2",
  gradientClip: 0,
  augmentFlip: false,
  augmentCrop: 0,
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
  /**
   * `tessera train-tokenizer --preset mnist28 --source mnist:<folder>`
   * The Keras example's setting, 7×7 of K = 128: expect NMSE 0.054 after 1,000 steps and 0.040 after 2,100 (the example: 0.044).
   */
  mnist28: {
    ...common,
    imageSize: 28,
    stride: 4,
    hidden: 64,
    codebookSize: 128,
    codeDimension: 16,
    batchSize: 128,
    learningRate: 1e-3,
    steps: 2_100,
  },
} as const satisfies Record<string, TokenizerConfig>;

export type TokenizerPreset = keyof typeof TOKENIZER_PRESETS;

/** Where held-out figures usually lie after at least `step` steps of a preset as it stands. */
export interface Band {
  readonly step: number;
  readonly nmse?: readonly [low: number, high: number];
  readonly perplexity?: readonly [low: number, high: number];
}

/** Measured on each preset's own images (README, "Figures"); presets that were never trained to the end have none. */
export const EXPECTED: Readonly<Record<TokenizerPreset, readonly Band[]>> = {
  emoji64: [{ step: 1_200, nmse: [0.015, 0.03], perplexity: [150, 350] }],
  cifar32: [
    { step: 1_000, nmse: [0.08, 0.105], perplexity: [100, 300] },
    { step: 2_000, nmse: [0.06, 0.081], perplexity: [200, 450] },
    { step: 5_000, nmse: [0.05, 0.061], perplexity: [300, 450] },
    { step: 10_000, nmse: [0.045, 0.056], perplexity: [300, 450] },
  ],
  mnist28: [
    { step: 500, nmse: [0.06, 0.1], perplexity: [70, 115] },
    { step: 1_000, nmse: [0.045, 0.065], perplexity: [80, 115] },
    { step: 2_000, nmse: [0.03, 0.05], perplexity: [85, 115] },
  ],
  paper128: [],
  lecture256: [],
};

/** The preset that `config` is, but for the number of steps; undefined if any other field was changed. */
export function presetOf(config: TokenizerConfig): TokenizerPreset | undefined {
  const recipe = (of: TokenizerConfig): string => canonicalJson({ ...of, steps: 0, warmupSteps: 0 });
  const names = Object.keys(TOKENIZER_PRESETS).filter(isPreset);
  return names.find((name) => recipe(TOKENIZER_PRESETS[name]) === recipe(config));
}

/**
 * The preset called `name` with `overrides` on top. The K of `fsq` is the product of its levels: a `codebookSize` without levels asks for the
 * nearest level set, so that one K serves every bottleneck.
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
  // Not checked yet: what does not fit is refused by the schema.
  const merged: TokenizerConfig = { ...preset, warmupSteps, ...overrides };
  return parseTokenizerConfig(
    { ...merged, ...likelihoodFor(merged), ...codesByLevels(merged), ...overrides, ...nearestLevels(merged) },
    { where: `tokenizer config (${name})`, code: "usage" },
  );
}

/** Level sets of about 2⁸, 2¹⁰, 2¹², 2¹⁴ and 2¹⁶ codes (Mentzer et al. 2023, table 1), and three of powers of two beside them. */
const FSQ_LEVELS: readonly (readonly number[])[] = [
  [8, 8],
  [8, 4, 4],
  [8, 6, 5],
  [8, 8, 8],
  [8, 5, 5, 5],
  [7, 5, 5, 5, 5],
  [8, 8, 8, 6, 5],
  [8, 8, 8, 5, 5, 5],
];

/** The VAEs need one, and no preset has it. */
const likelihoodFor = ({ bottleneck }: Pick<TokenizerConfig, "bottleneck">): Partial<TokenizerConfig> =>
  isVariational(bottleneck) ? { reconstruction: "gaussian" } : {};

type Codes = Pick<TokenizerConfig, "bottleneck" | "codebookSize" | "levels">;

const codesByLevels = ({ bottleneck, levels }: Codes): Partial<TokenizerConfig> =>
  bottleneck === "fsq" && levels.length > 0 ? { codebookSize: product(levels) } : {};

/** For fsq without levels: those whose K is nearest, as a ratio. A K that is none is left to the schema. */
function nearestLevels({ bottleneck, levels, codebookSize }: Codes): Partial<TokenizerConfig> {
  if (bottleneck !== "fsq" || levels.length > 0 || !isCodebookSize(codebookSize)) return {};
  const distance = (set: readonly number[]): number => Math.abs(Math.log(product(set) / codebookSize));
  const [first = [], ...others] = FSQ_LEVELS;
  const nearest = others.reduce((best, next) => (distance(next) < distance(best) ? next : best), first);
  return { levels: [...nearest], codebookSize: product(nearest) };
}

const product = (levels: readonly number[]): number => levels.reduce((codes, count) => codes * count, 1);

function isPreset(name: string): name is TokenizerPreset {
  return Object.hasOwn(TOKENIZER_PRESETS, name);
}
