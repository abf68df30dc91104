/**
 * What guidance buys: images of every class at rising scales, and how many of them lie nearest to a training image of the class they were asked to
 * be. Each scale draws from the same seeds.
 */
import { join } from "node:path";

import { mismatch, usageError } from "../shared/errors.ts";
import { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkFingerprint, UNKNOWN, type TokenGrid, type TokenizerSpec } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { writeSheet, type FeatureExtractor, type Tile, type Tokenizer } from "../stage1-tokenizer/index.ts";
import {
  checkSameClasses,
  nearestByFeatures,
  nearestByTokens,
  type DecodingOptions,
  type GuidanceSchedule,
  type Prior,
  type Vectors,
} from "../stage2-prior/index.ts";
import { collectFeatures, decodedImages, loadImages, type LabelledImages } from "./judged-images.ts";
import { checkPair, drawGrids } from "./sampling.ts";
import { toTiles } from "./sheets.ts";

export interface GuidanceCurveOptions {
  readonly tokenizer: Tokenizer;
  /** With classes. */
  readonly prior: Prior;
  /** With the same classes. */
  readonly training: TokenSet;
  /** Real images, for what a perfect sampler would get. */
  readonly heldOut?: TokenSet | undefined;
  /** None: images are near by their tokens. */
  readonly features?: FeatureExtractor | undefined;
  readonly scales: readonly number[];
  readonly schedule: GuidanceSchedule;
  readonly decoding: Omit<DecodingOptions, "className" | "guidance">;
  /** Images at each scale, over all classes alike. */
  readonly count: number;
  readonly seed: number;
  /** Where the sheet goes. */
  readonly directory: string;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

export interface GuidancePoint {
  readonly scale: number;
  /** Share of the images whose nearest training image has the class that was asked for. */
  readonly share: number;
  /** The same of each class. */
  readonly shares: Readonly<Record<string, number>>;
}

export interface GuidanceCurve {
  readonly points: readonly GuidancePoint[];
  /** Of images that know nothing of the class they were asked to be. */
  readonly chance: number;
  /** Of the held-out images; NaN where there are none. */
  readonly heldOut: number;
  /** A row a scale, one image of each class. */
  readonly sheet: string;
}

/**
 * @throws usage for a prior without classes or fewer images than classes; mismatch if prior, tokens and tokenizer do not belong together; the
 * signal's reason
 */
export async function guidanceCurve(options: GuidanceCurveOptions): Promise<GuidanceCurve> {
  const { tokenizer, prior, scales, seed, signal } = options;
  checkPair(tokenizer, prior);
  const { classes } = prior.spec;
  if (classes.length === 0) throw unconditional(prior);
  const training = await loadImages(checkedSet(options.training, prior), tokenizer.spec);
  const asked = askedClasses(training, classes, options.count);
  const neighbours = await createNeighbours(options, training);
  const heldOut = await heldOutShare(options, neighbours);
  const points: GuidancePoint[] = [];
  const rows: Tile[][] = [];
  for (const scale of scales) {
    signal.throwIfAborted();
    const { images, labels } = await drawClasses(options, { scale, asked });
    const found = await neighbours(images);
    points.push({ scale, share: agreement(labels, found), shares: sharesByClass(labels, found, classes) });
    rows.push(await firstOfEach(tokenizer, { images, labels }));
  }
  const sheet = join(options.directory, `seed${seed}-guidance.png`);
  await writeSheet({ path: sheet, rows, rowLabels: scales.map(String) });
  return { points, chance: 1 / asked.length, heldOut, sheet };
}

const unconditional = ({ directory }: Prior) =>
  usageError({
    what: "an unconditional prior has no class to be guided to",
    where: `prior ${directory}`,
    todo: "Train one with --conditional.",
  });

/** @throws mismatch if the labels of the set are not the prior's classes */
function checkedSet(set: TokenSet, { spec }: Prior): TokenSet {
  checkFingerprint(spec.fingerprint, set.header.fingerprint, set.directory);
  checkSameClasses(spec, set);
  if (set.header.classes.length > 0) return set;
  throw mismatch({ what: "the token set has no classes", where: set.directory, expected: spec.classes.join(", ") });
}

/** A class and how many images of it. */
interface Asked {
  readonly label: number;
  readonly name: string;
  readonly count: number;
}

/** Every class that occurs, as many images of each, the first ones one more. @throws usage for fewer images than classes */
function askedClasses({ labels }: LabelledImages, classes: readonly string[], count: number): Asked[] {
  const occurring = [...classes.keys()].filter((label) => labels.includes(label));
  if (count < occurring.length || occurring.length === 0) {
    const [expected, got] = [`at least ${Math.max(1, occurring.length)}, one of each class`, String(count)];
    throw usageError({ what: "fewer images than classes", where: "count", expected, got });
  }
  return occurring.map((label, i) => ({
    label,
    name: classes[label] ?? "",
    count: Math.floor(count / occurring.length) + (i < count % occurring.length ? 1 : 0),
  }));
}

interface Labelled {
  readonly images: TokenGrid;
  /** [N] */
  readonly labels: Int32Array;
}

/** [N]: label of the training image that each image is nearest to. */
type Neighbours = (images: TokenGrid) => Promise<Int32Array>;

async function createNeighbours(options: GuidanceCurveOptions, training: LabelledImages): Promise<Neighbours> {
  const labelsAt = (indices: Int32Array): Int32Array => indices.map((index) => training.labels[index] ?? UNKNOWN);
  const { features, reporter } = options;
  if (features === undefined) {
    return (images) => Promise.resolve(labelsAt(nearestByTokens(images, training.grid).indices));
  }
  reporter.note(`features of ${training.keys.length} training images`);
  const references = await featuresOf(options, training.grid, features);
  return async (images) => labelsAt(nearestByFeatures(await featuresOf(options, images, features), references).indices);
}

function featuresOf(
  { tokenizer, signal }: GuidanceCurveOptions,
  grid: TokenGrid,
  extractor: FeatureExtractor,
): Promise<Vectors> {
  const keys = Array.from({ length: grid.shape[0] }, (_, i) => String(i));
  return collectFeatures(decodedImages(tokenizer, { grid, keys }, signal), extractor);
}

/** Images without a label do not count. */
async function heldOutShare({ heldOut, prior, tokenizer }: GuidanceCurveOptions, neighbours: Neighbours) {
  if (heldOut === undefined) return NaN;
  const { grid, labels } = await loadImages(checkedSet(heldOut, prior), tokenizer.spec);
  return agreement(labels, await neighbours(grid));
}

/** All images of one scale, class after class. */
async function drawClasses(
  { prior, decoding, schedule, seed, reporter, signal }: GuidanceCurveOptions,
  { scale, asked }: { scale: number; asked: readonly Asked[] },
): Promise<Labelled> {
  const [height, width] = prior.spec.grid;
  const parts: Int32Array[] = [];
  const labels: number[] = [];
  for (const { label, name, count } of asked) {
    const rng = Rng.fromSeed(seed).fork("guidance", name);
    const request = { ...decoding, count, className: name, guidance: { scale, schedule }, rng, signal };
    const { tokens } = await drawGrids(prior, request, { reporter, frames: 0 });
    parts.push(tokens.tokens);
    labels.push(...Array<number>(count).fill(label));
  }
  const tokens = new Int32Array(labels.length * height * width); // [N, h, w]
  parts.reduce((offset, part) => (tokens.set(part, offset), offset + part.length), 0);
  return { images: { tokens, shape: [labels.length, height, width] }, labels: Int32Array.from(labels) };
}

/** Share of labels that are found again; NaN of none. */
function agreement(labels: Int32Array, found: Int32Array): number {
  const known = [...labels.keys()].filter((i) => labels[i] !== UNKNOWN);
  return known.filter((i) => labels[i] === found[i]).length / known.length;
}

function sharesByClass(labels: Int32Array, found: Int32Array, classes: readonly string[]): Record<string, number> {
  const shares = [...new Set(labels)].map((label): [string, number] => {
    const own = [...labels.keys()].filter((i) => labels[i] === label);
    return [classes[label] ?? "", own.filter((i) => found[i] === label).length / own.length];
  });
  return Object.fromEntries(shares);
}

async function firstOfEach(tokenizer: Tokenizer, { images, labels }: Labelled): Promise<Tile[]> {
  const [, height, width] = images.shape;
  const firsts = [...new Set(labels)].map((label) => labels.indexOf(label));
  const tokens = Int32Array.from(
    firsts.flatMap((i) => [...images.tokens.subarray(i * height * width, (i + 1) * height * width)]),
  );
  const decoded = await tokenizer.decode({ tokens, shape: [firsts.length, height, width] });
  const { imageSize }: Pick<TokenizerSpec, "imageSize"> = tokenizer.spec;
  return toTiles(decoded, imageSize);
}
