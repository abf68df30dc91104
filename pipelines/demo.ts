/**
 * The whole path on the embedded images: train a tokenizer, tokenize, train two priors, sample, and set the result beside what mere counting
 * gives. Every part is the function the single commands call.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { openArtifact } from "../shared/artifact.ts";
import type { Engine } from "../shared/engine/engine.ts";
import { Rng } from "../shared/rng.ts";
import { openTokens, type TokenSet } from "../shared/token-file/index.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  createEmojiSource,
  describeImageFailure,
  type ImageSource,
  loadTokenizer,
  loadTokenizerTraining,
  type RecordSet,
  splitSource,
  type Tile,
  tokenizerConfig,
  type TokenizerFigures,
  writeSheet,
} from "../stage1-tokenizer/index.ts";
import {
  COUNTING_OBJECTIVES,
  countPrior,
  createCountedPrior,
  loadPrior,
  loadPriorTraining,
  priorConfig,
  usualSampleProcesses,
  type CountingObjective,
  type LearntObjective,
  type Prior,
} from "../stage2-prior/index.ts";
import { runDirectory } from "./artifacts.ts";
import { generate } from "./generate.ts";
import { reconstruct } from "./reconstruct.ts";
import { pairRows, toRows } from "./sheets.ts";
import { tokenizeImages } from "./tokenize.ts";
import { checkFinished } from "./training-options.ts";

export interface DemoOptions {
  /** Minutes for everything; training takes what the fixed parts leave. */
  readonly minutes: number;
  readonly seed: number;
  readonly directory: string;
  readonly engine: Engine;
  readonly threads: { readonly threads?: number };
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** The priors that are learnt and set side by side. */
const DEMO_OBJECTIVES = ["causal", "masked"] as const satisfies readonly LearntObjective[];
type DemoObjective = (typeof DEMO_OBJECTIVES)[number];

type AnyPrior = CountingObjective | DemoObjective;

export interface DemoResult {
  readonly figures: TokenizerFigures;
  readonly bitsPerToken: Readonly<Record<AnyPrior, number>>;
  readonly secondsPerImage: Readonly<Record<AnyPrior, number>>;
  readonly minutes: number;
  readonly paths: Readonly<Record<string, string>>;
}

/** How the minutes are shared out; the rest is for tokenizing, sampling and sheets. */
const SHARE = { tokenizer: 0.3, causal: 0.32, masked: 0.26 } as const;
const HELD_OUT = 0.05;
const SAMPLES = 16;

/** Goes on with what an interrupted demo of the same seed left in `directory`.
 * @throws mismatch if that was another seed's; the signal's reason if interrupted. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { directory, reporter, signal } = options;
  const start = performance.now();
  const paths = demoPaths(directory);
  await mkdir(directory, { recursive: true });
  const source = createEmojiSource();
  const split = await splitSource(source, { heldOutFraction: HELD_OUT });
  reporter.note(`${split.training.count} emoji to train on, ${split.heldOut.count} of other families held out`);

  await trainTokenizerPart(options, split, paths);
  const tokenizer = await loadTokenizer(paths.tokenizer, options.threads);
  try {
    const sets = await tokenizeParts(options, { tokenizer, source, split, paths });
    signal.throwIfAborted();
    const { figures, originals, reconstructions } = await reconstruct({
      tokenizer,
      records: split.heldOut.records(),
      tiles: 32,
      onFailure: (failure) => reporter.warn(describeImageFailure(failure)),
      signal,
    });
    await writeSheet({
      path: paths.reconstructions,
      rows: pairRows(originals, reconstructions),
      rowLabels: ["original", "decoded", "original", "decoded"],
    });
    const learnt = await priorParts(options, { tokenizer, sets, paths });
    const counted = await countingParts(options, { tokenizer, sets });
    const all = { ...counted, ...learnt };
    await writeSheet({
      path: paths.samples,
      rows: Object.values(all).flatMap(({ tiles }) => toRows(tiles, SAMPLES)),
      rowLabels: Object.keys(all),
    });
    return {
      figures,
      bitsPerToken: pick(all, ({ bitsPerToken }) => bitsPerToken),
      secondsPerImage: pick(all, ({ secondsPerImage }) => secondsPerImage),
      minutes: (performance.now() - start) / 60_000,
      paths,
    };
  } finally {
    await tokenizer.dispose();
  }
}

function demoPaths(directory: string) {
  return {
    tokenizer: join(directory, "tokenizer"),
    training: join(directory, "tokens-training"),
    heldOut: join(directory, "tokens-held-out"),
    causal: join(directory, "prior-causal"),
    masked: join(directory, "prior-masked"),
    reconstructions: join(directory, "reconstructions.png"),
    samples: join(directory, "samples.png"),
  };
}
type DemoPaths = ReturnType<typeof demoPaths>;

interface Split {
  readonly training: RecordSet;
  readonly heldOut: RecordSet;
}

/** An interrupted demo goes on where it stopped: each training run has a checkpoint, and what is published is not made again. */
const CHECKPOINT_EVERY = 250;
const folderOf = (artifact: string) =>
  ({ directory: runDirectory(artifact), every: CHECKPOINT_EVERY, resume: true }) as const;

async function trainTokenizerPart(
  { minutes, seed, engine, reporter, signal }: DemoOptions,
  split: Split,
  paths: DemoPaths,
): Promise<void> {
  if (existsSync(paths.tokenizer)) return;
  const { trainTokenizer, publishTokenizer } = await loadTokenizerTraining();
  const seconds = minutes * 60 * SHARE.tokenizer;
  const run = await trainTokenizer({
    config: tokenizerConfig("emoji64"),
    ...split,
    engine,
    seed,
    reporter,
    signal,
    seconds,
    folder: folderOf(paths.tokenizer),
  });
  checkFinished(run, { signal, reporter, folder: folderOf(paths.tokenizer) });
  const from = { images: "emoji", training: split.training.count, heldOut: split.heldOut.count };
  await publishTokenizer(run, {
    directory: paths.tokenizer,
    provenance: { seed, engine: engine.description, steps: run.step, from },
  });
}

interface TokenSets {
  readonly training: TokenSet;
  readonly heldOut: TokenSet;
}

async function tokenizeParts(
  { threads, reporter, signal }: DemoOptions,
  parts: { tokenizer: LoadedTokenizer; source: ImageSource; split: Split; paths: DemoPaths },
): Promise<TokenSets> {
  const { tokenizer, source, split, paths } = parts;
  const common = { tokenizer, ...threads, classes: source.classes, reporter, signal };
  for (const [name, records] of Object.entries(split) as [keyof Split, RecordSet][]) {
    if (existsSync(paths[name])) continue;
    const from = `${source.name}, ${name === "training" ? "training" : "held-out"} families`;
    await tokenizeImages({
      ...common,
      records: records.records(),
      total: records.count,
      from,
      directory: paths[name],
    });
  }
  return { training: await openTokens(paths.training), heldOut: await openTokens(paths.heldOut) };
}

type LoadedTokenizer = Awaited<ReturnType<typeof loadTokenizer>>;

interface Part {
  readonly bitsPerToken: number;
  readonly secondsPerImage: number;
  readonly tiles: readonly Tile[];
}

/** All sample as many images with the same seed. */
async function samplePart(
  { seed, reporter, signal }: DemoOptions,
  parts: { tokenizer: LoadedTokenizer; prior: Prior; bitsPerToken: number },
): Promise<Part> {
  const { tokenizer, prior, bitsPerToken } = parts;
  const rng = Rng.fromSeed(seed).fork("generate");
  try {
    const { tiles, secondsPerImage } = await generate({ tokenizer, prior, count: SAMPLES, rng, reporter, signal });
    return { bitsPerToken, secondsPerImage, tiles };
  } finally {
    await prior.dispose();
  }
}

/** Trains, publishes and samples each learnt prior. */
async function priorParts(
  options: DemoOptions,
  parts: { tokenizer: LoadedTokenizer; sets: TokenSets; paths: DemoPaths },
): Promise<Record<DemoObjective, Part>> {
  const { tokenizer, sets, paths } = parts;
  const results: Partial<Record<DemoObjective, Part>> = {};
  for (const objective of DEMO_OBJECTIVES) {
    const directory = paths[objective];
    if (!existsSync(directory)) await trainPriorPart(options, { objective, sets, directory });
    const prior = await loadPrior(directory, {
      ...options.threads,
      processes: usualSampleProcesses(SAMPLES, options.threads),
    });
    results[objective] = await samplePart(options, { tokenizer, prior, bitsPerToken: await measuredBits(directory) });
  }
  return results as Record<DemoObjective, Part>;
}

async function trainPriorPart(
  { engine, seed, reporter, signal, minutes }: DemoOptions,
  part: { objective: DemoObjective; sets: TokenSets; directory: string },
): Promise<void> {
  const { objective, sets, directory } = part;
  const { trainPrior, publishPrior } = await loadPriorTraining();
  const { codebookSize, grid } = sets.training.header;
  const config = priorConfig("emoji-small", { objective, codebookSize, grid, classes: 0 });
  const seconds = minutes * 60 * SHARE[objective];
  const run = await trainPrior({
    config,
    ...sets,
    engine,
    seed,
    reporter,
    signal,
    seconds,
    folder: folderOf(directory),
  });
  checkFinished(run, { signal, reporter, folder: folderOf(directory) });
  const provenance = { seed, engine: engine.description, steps: run.step, from: { tokens: sets.training.directory } };
  await publishPrior(run, { directory, provenance });
}

/** Held-out bits/token as training measured them and the manifest keeps them. */
async function measuredBits(directory: string): Promise<number> {
  const { manifest } = await openArtifact(directory, { kind: "prior" });
  return manifest.provenance.metrics?.["bitsPerToken"] ?? NaN;
}

/** The counting baselines: counted on the training tokens, measured on the held-out ones, and not published. */
async function countingParts(
  options: DemoOptions,
  { tokenizer, sets }: { tokenizer: LoadedTokenizer; sets: TokenSets },
): Promise<Record<CountingObjective, Part>> {
  const { grid: training } = await sets.training.load();
  const { grid: heldOut } = await sets.heldOut.load();
  const parts: Partial<Record<CountingObjective, Part>> = {};
  for (const objective of COUNTING_OBJECTIVES) {
    const counted = countPrior({ objective, training, heldOut, tokenizer: tokenizer.spec });
    const { bitsPerToken } = counted;
    parts[objective] = await samplePart(options, { tokenizer, prior: createCountedPrior(counted), bitsPerToken });
  }
  return parts as Record<CountingObjective, Part>;
}

function pick<K extends string, V>(record: Readonly<Record<K, V>>, valueOf: (value: V) => number): Record<K, number> {
  return Object.fromEntries(Object.entries<V>(record).map(([key, value]) => [key, valueOf(value)])) as Record<
    K,
    number
  >;
}
