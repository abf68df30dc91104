/**
 * Priors of one tokenizer and the counting baselines, judged alike: the same training tokens, the same held-out tokens, as many samples
 * from the same seed. Held-out images stand among them, to show what real images get.
 */
import { join } from "node:path";

import { usageError } from "../shared/errors.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import type { TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  writeSheet,
  type FeatureExtractor,
  type ImageSource,
  type Tile,
  type Tokenizer,
} from "../stage1-tokenizer/index.ts";
import { checkDecoding, COUNTING_OBJECTIVES, samplerOf, type DecodingOptions } from "../stage2-prior/index.ts";
import { measureLossless, tokensPerDim, type CodeLength, type LosslessLengths } from "./code-lengths.ts";
import type { SamplingOptions } from "./sampling.ts";
import { toTiles } from "./sheets.ts";
import { createJudge, type Judge, type ReferenceFeatures, type SampleFigures, type Samples } from "./judge-samples.ts";
import {
  collectFeatures,
  collectTiles,
  decodedImages,
  evenIndices,
  loadImages,
  originalImages,
  takeImages,
  type ImageBatches,
  type LabelledImages,
  type TokenImages,
} from "./judged-images.ts";
import { checkDtype, countingPriors, publishedPrior, type Int8Cost, type JudgedPrior } from "./judged-priors.ts";

export interface EvaluatePriorsOptions {
  readonly tokenizer: Tokenizer;
  /** Directories. */
  readonly priors: readonly string[];
  /** Whether to count as well: each counting prior that is not among `priors`. */
  readonly baselines: boolean;
  /** Asked of every prior that can take it. */
  readonly decoding: DrawingOptions;
  readonly training: TokenSet;
  readonly heldOut: TokenSet;
  /** Of the images that were tokenized; none, decoded tokens stand for them. */
  readonly source?: ImageSource | undefined;
  readonly features?: FeatureExtractor | undefined;
  /** Samples of each. */
  readonly count: number;
  /** Images of each token set, at most, whose features or files are measured. */
  readonly references: number;
  readonly seed: number;
  /** Where the sheets go. */
  readonly directory: string;
  /** How the priors are opened: those that have a graph. */
  readonly graph: SamplingOptions;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** NaN where a figure cannot be had. */
export interface PriorRow extends SampleFigures {
  readonly name: string;
  /** N: `count`, or as many held-out images as there are. */
  readonly samples: number;
  readonly bitsPerToken: number;
  readonly measure: JudgedPrior["measure"] | undefined;
  readonly dtype: Dtype | undefined;
  /** In int8 only. */
  readonly int8Cost?: Int8Cost;
  readonly bitsPerDim: number;
  readonly steps: number;
  /** Sampling and decoding. */
  readonly secondsPerImage: number;
  readonly parameters: number;
}

export interface PriorsEvaluation {
  /** "held-out" first. */
  readonly rows: readonly PriorRow[];
  /** With a source only. */
  readonly codeLengths: readonly CodeLength[];
  /** Images behind the figures on features and files. */
  readonly references: { readonly training: number; readonly heldOut: number };
  readonly features: { readonly name: string; readonly size: number } | undefined;
  readonly sheets: { readonly samples: string; readonly memorised: string };
}

const HELD_OUT = "held-out";

/**
 * @throws usage if there is nothing to judge; mismatch if priors or token sets are of another tokenizer, or the source of other images;
 * bad-input if a token set is empty; the signal's reason
 */
export async function evaluatePriors(options: EvaluatePriorsOptions): Promise<PriorsEvaluation> {
  const { tokenizer, priors, baselines, directory, reporter, signal, count } = options;
  if (priors.length === 0 && !baselines) throw nothingToJudge();
  const { spec } = tokenizer;
  const training = await loadImages(options.training, spec);
  const heldOut = await loadImages(options.heldOut, spec);
  const published: JudgedPrior[] = [];
  for (const prior of priors)
    published.push(await publishedPrior(prior, { spec, heldOut: options.heldOut, graph: options.graph }));
  const missing = COUNTING_OBJECTIVES.filter(
    (name) => !published.some(({ spec: { objective } }) => objective === name),
  );
  const counted = { training: training.grid, heldOut: heldOut.grid, tokenizer: spec };
  checkAsked(options.decoding, published);
  checkDtype(options.graph.dtype, published);
  const judged = [...countingPriors(baselines ? missing : [], counted), ...published];

  const sets = {
    training: takeImages(training, evenIndices(training.keys.length, options.references)),
    heldOut: takeImages(heldOut, evenIndices(heldOut.keys.length, options.references)),
  };
  const features = await referenceFeatures(options, sets);
  const judge = createJudge({ training: training.grid, codebookSize: spec.codebookSize, features, reporter });
  const judgements = [await judgeHeldOut(options, takeImages(heldOut, evenIndices(heldOut.keys.length, count)), judge)];
  for (const prior of judged) {
    signal.throwIfAborted();
    reporter.note(`judging ${prior.name}`);
    judgements.push(await judgePrior(options, prior, { heldOut, judge }));
  }
  const rows = judgements.map(({ row }) => row);
  const { source } = options;
  const originals = source === undefined ? undefined : { source, tokenizer, reporter, signal };
  return {
    rows,
    codeLengths: originals === undefined ? [] : codeLengths(rows, await measureLossless(originals, sets.heldOut.keys)),
    references: { training: sets.training.keys.length, heldOut: sets.heldOut.keys.length },
    features: features && { name: features.extractor.name, size: features.training.size },
    sheets: {
      samples: await drawSamples(judgements, join(directory, `seed${options.seed}-samples.png`)),
      memorised: await drawMemorised(options, { judgements, training }),
    },
  };
}

const nothingToJudge = () =>
  usageError({
    what: "there is nothing to judge",
    expected: "--priors, or baselines",
    got: "neither",
    todo: "Give --priors a name, or leave --no-baselines out",
  });

/** How tokens are drawn, beside class and guidance: those ask for images that the whole data set is no measure of. */
export type DrawingOptions = Omit<DecodingOptions, "className" | "guidance">;

/** Not for every prior. */
const ORDER_OPTIONS = ["sampler", "steps", "choiceTemperature"] as const;

/** What of `asked` a prior can take. */
function fitting(asked: DrawingOptions, { spec }: Pick<JudgedPrior, "spec">): DrawingOptions {
  const sampler = samplerOf(spec, asked.sampler);
  if (sampler === "raster") return { temperature: asked.temperature, topK: asked.topK, topP: asked.topP };
  return sampler === "maskgit" ? asked : { ...asked, choiceTemperature: undefined };
}

/** @throws usage for what does not fit, and for an option that no prior takes: a row that ignores it would be read as if it had it. */
function checkAsked(asked: DrawingOptions, priors: readonly JudgedPrior[]): void {
  for (const where of ORDER_OPTIONS) {
    if (asked[where] === undefined || priors.some((prior) => fitting(asked, prior)[where] !== undefined)) continue;
    throw usageError({
      what: "no prior here can take it",
      where,
      expected: "a masked or diffusion prior, with sampler maskgit for choiceTemperature",
      got: priors.map(({ name, spec }) => `${name}: ${samplerOf(spec, asked.sampler)}`).join(", ") || "no prior",
      todo: "Leave it out, or name such a prior.",
    });
  }
  for (const prior of priors) checkDecoding(fitting(asked, prior), prior.spec);
}

interface Sets {
  readonly training: TokenImages;
  readonly heldOut: TokenImages;
}

async function referenceFeatures(
  { tokenizer, source, features: extractor, reporter, signal }: EvaluatePriorsOptions,
  sets: Sets,
): Promise<ReferenceFeatures | undefined> {
  if (extractor === undefined) return undefined;
  const imagesOf = (images: TokenImages): AsyncIterable<ImageBatches> =>
    source === undefined
      ? decodedImages(tokenizer, images, signal)
      : originalImages({ source, tokenizer, reporter, signal }, images.keys);
  reporter.note(`features of ${sets.training.keys.length} training and ${sets.heldOut.keys.length} held-out images`);
  const training = await collectFeatures(imagesOf(sets.training), extractor);
  return { extractor, training, heldOut: await collectFeatures(imagesOf(sets.heldOut), extractor) };
}

interface Judgement {
  readonly row: PriorRow;
  /** The first ones, for the sheet. */
  readonly tiles: readonly Tile[];
  readonly mostMemorised: Tile | undefined;
}

/** Samples a row of the sheet shows. */
const SHOWN = 16;

async function judgePrior(
  options: EvaluatePriorsOptions,
  prior: JudgedPrior,
  { heldOut, judge }: { heldOut: LabelledImages; judge: Judge },
): Promise<Judgement> {
  const { tokenizer, count, seed, reporter, signal } = options;
  const { tokens, seconds, ...examined } = await prior.examine({
    heldOut: { tokens: heldOut.grid, labels: heldOut.labels },
    count,
    decoding: fitting(options.decoding, prior),
    rng: Rng.fromSeed(seed).fork("generate"),
    reporter,
    signal,
  });
  const start = performance.now();
  const images = await tokenizer.decode(tokens);
  const secondsPerImage = (seconds + (performance.now() - start) / 1000) / count;
  const { name, measure, dtype, parameters } = prior;
  const bitsPerDim = examined.bitsPerToken * tokensPerDim(tokenizer.spec);
  const figures = await judge({ tokens, images });
  const row = {
    ...{ name, samples: count, ...examined, measure, dtype, bitsPerDim },
    ...{ ...figures, secondsPerImage, parameters },
  };
  return withTiles(row, { tokens, images }, tokenizer.spec);
}

/** As many decoded held-out images as there are samples; compared with themselves they would say nothing. */
async function judgeHeldOut(
  { tokenizer }: EvaluatePriorsOptions,
  { grid: tokens }: TokenImages,
  judge: Judge,
): Promise<Judgement> {
  const images = await tokenizer.decode(tokens);
  const figures = await judge({ tokens, images });
  const row: PriorRow = {
    ...{
      name: HELD_OUT,
      samples: tokens.shape[0],
      bitsPerToken: NaN,
      measure: undefined,
      dtype: undefined,
      bitsPerDim: NaN,
    },
    ...{ ...figures, frechetHeldOut: NaN, precision: NaN, recall: NaN },
    ...{ steps: NaN, secondsPerImage: NaN, parameters: NaN },
  };
  return withTiles(row, { tokens, images }, tokenizer.spec);
}

function withTiles(row: PriorRow, { images }: Samples, { imageSize }: TokenizerSpec): Judgement {
  const tiles = toTiles(images, imageSize);
  return { row, tiles: tiles.slice(0, SHOWN), mostMemorised: tiles[row.mostMemorised] };
}

/** Only figures that are a code for whole images, or a bound on one. */
function codeLengths(rows: readonly PriorRow[], { png, webp, psnr }: LosslessLengths): CodeLength[] {
  const coding = rows.filter(({ measure }) => measure === "exact" || measure === "bound");
  const lossy = coding.map(({ name, bitsPerDim }) => ({ name, bitsPerDim, lossless: false, psnr }));
  return [...lossy, png, webp];
}

async function drawSamples(judgements: readonly Judgement[], path: string): Promise<string> {
  const rows = judgements.map(({ tiles }) => tiles);
  await writeSheet({ path, rows, rowLabels: judgements.map(({ row }) => row.name) });
  return path;
}

/** Of each: the most memorised sample, its nearest training image as decoded, and that image itself where there is a source. */
async function drawMemorised(
  { tokenizer, source, directory, seed, reporter, signal }: EvaluatePriorsOptions,
  { judgements, training }: { judgements: readonly Judgement[]; training: TokenImages },
): Promise<string> {
  const nearest = takeImages(
    training,
    judgements.map(({ row }) => row.nearest),
  );
  const { imageSize } = tokenizer.spec;
  const decoded = await collectTiles(decodedImages(tokenizer, nearest, signal), imageSize);
  const originals =
    source === undefined
      ? new Map<string, Tile>()
      : await collectTiles(originalImages({ source, tokenizer, reporter, signal }, nearest.keys), imageSize);
  const rows = judgements.map(({ mostMemorised }, i) => {
    const key = nearest.keys[i] ?? "";
    return [mostMemorised, decoded.get(key), originals.get(key)].filter((tile) => tile !== undefined);
  });
  const rowLabels = judgements.map(({ row }) => `${row.name}\n${(row.largestShare * 100).toFixed(0)}%`);
  const path = join(directory, `seed${seed}-memorised.png`);
  await writeSheet({ path, rows, rowLabels });
  return path;
}
