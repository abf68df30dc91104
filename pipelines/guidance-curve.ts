/**
 * What guidance buys: images of every class at rising scales, and how many of them lie nearest to a training image of the class they were asked to
 * be. Each scale draws from the same seeds.
 */
import { join } from "node:path";

import { mismatch, usageError } from "../shared/errors.ts";
import { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkFingerprint, type TokenGrid } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import { writeSheet, type FeatureExtractor, type Tile, type Tokenizer } from "../stage1-tokenizer/index.ts";
import {
  checkDecoding,
  checkSameClasses,
  nearestByFeatures,
  nearestByTokens,
  type DecodingOptions,
  type GuidanceSchedule,
  type Prior,
  type Vectors,
} from "../stage2-prior/index.ts";
import {
  collectFeatures,
  decodedImages,
  evenIndices,
  loadImages,
  takeImages,
  type LabelledImages,
  type TokenImages,
} from "./judged-images.ts";
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
  /** Images of each token set, at most, to be near to. */
  readonly references: number;
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
  /** Of the held-out images, all classes alike; NaN where there are none. */
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
  for (const scale of scales) checkDecoding(requestOf(options, classes[0] ?? "", scale), prior.spec);
  const training = labelled(await loadImages(checkedSet(options.training, prior), tokenizer.spec));
  const asked = askedClasses(training.labels, classes, options.count);
  const neighbours = await createNeighbours(options, training);
  const heldOut = await heldOutShare(options, { neighbours, asked });
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

/** Images with a label: the others are of no class that could be asked for. */
function labelled({ grid, keys, labels }: LabelledImages): Labelled {
  const own = [...labels.keys()].filter((i) => labels[i] !== NO_LABEL);
  return { images: takeImages({ grid, keys }, own).grid, labels: labels.filter((label) => label !== NO_LABEL) };
}

/** In token sets. */
const NO_LABEL = -1;

/** A class and how many images of it. */
interface Asked {
  readonly label: number;
  readonly name: string;
  readonly count: number;
}

/** Every class that occurs, as many images of each, the first ones one more. @throws usage for fewer images than classes */
function askedClasses(labels: Int32Array, classes: readonly string[], count: number): Asked[] {
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

/** Training images in random order: of several that are as near, the first is found, and token sets are ordered by class. */
async function createNeighbours(options: GuidanceCurveOptions, training: Labelled): Promise<Neighbours> {
  const { features: extractor, references, seed, reporter } = options;
  const order = [...Rng.fromSeed(seed).fork("references").permutation(training.labels.length)].slice(0, references);
  const { images, labels } = takeLabelled(training, order);
  const labelsAt = (indices: Int32Array): Int32Array => indices.map((index) => labels[index] ?? NO_LABEL);
  if (extractor === undefined) {
    return (samples) => inBatches(options, samples, ({ grid }) => Promise.resolve(labelsAt(nearestByTokens(grid, images).indices))); // prettier-ignore
  }
  reporter.note(`features of ${labels.length} training images`);
  const near = await featuresOf(options, images, extractor);
  return (samples) =>
    inBatches(options, samples, async ({ grid }) =>
      labelsAt(nearestByFeatures(await featuresOf(options, grid, extractor), near).indices),
    );
}

/** Images searched for at a time: between two searches the run may be left. */
const BATCH = 64;

async function inBatches(
  { signal }: GuidanceCurveOptions,
  grid: TokenGrid,
  find: (batch: TokenImages) => Promise<Int32Array>,
): Promise<Int32Array> {
  const all = withKeys(grid);
  const found = new Int32Array(all.keys.length);
  for (let start = 0; start < found.length; start += BATCH) {
    signal.throwIfAborted();
    const own = Array.from({ length: Math.min(BATCH, found.length - start) }, (_, i) => start + i);
    found.set(await find(takeImages(all, own)), start);
  }
  return found;
}

const withKeys = (grid: TokenGrid): TokenImages => ({
  grid,
  keys: Array.from({ length: grid.shape[0] }, (_, i) => String(i)),
});

const takeLabelled = ({ images, labels }: Labelled, indices: readonly number[]): Labelled => ({
  images: takeImages(withKeys(images), indices).grid,
  labels: Int32Array.from(indices, (index) => labels[index] ?? NO_LABEL),
});

const featuresOf = (
  { tokenizer, signal }: GuidanceCurveOptions,
  grid: TokenGrid,
  extractor: FeatureExtractor,
): Promise<Vectors> => collectFeatures(decodedImages(tokenizer, withKeys(grid), signal), extractor);

/** Over the classes that are asked for, all alike, as samples are; NaN where one of them has no image. */
async function heldOutShare(
  { heldOut, prior, tokenizer, references }: GuidanceCurveOptions,
  { neighbours, asked }: { neighbours: Neighbours; asked: readonly Asked[] },
): Promise<number> {
  if (heldOut === undefined) return NaN;
  const all = labelled(await loadImages(checkedSet(heldOut, prior), tokenizer.spec));
  const { images, labels } = takeLabelled(all, evenIndices(all.labels.length, references));
  const found = await neighbours(images);
  const shares = sharesByClass(labels, found, prior.spec.classes);
  return asked.reduce((sum, { name }) => sum + (shares[name] ?? NaN), 0) / asked.length;
}

const requestOf = (
  { decoding, schedule }: GuidanceCurveOptions,
  className: string,
  scale: number,
): DecodingOptions => ({ ...decoding, className, guidance: { scale, schedule } });

/** All images of one scale, class after class. */
async function drawClasses(
  options: GuidanceCurveOptions,
  { scale, asked }: { scale: number; asked: readonly Asked[] },
): Promise<Labelled> {
  const { prior, seed, reporter, signal } = options;
  const [height, width] = prior.spec.grid;
  const parts: Int32Array[] = [];
  const labels: number[] = [];
  for (const { label, name, count } of asked) {
    const rng = Rng.fromSeed(seed).fork("guidance", name);
    const request = { ...requestOf(options, name, scale), count, rng, signal };
    const { tokens } = await drawGrids(prior, request, { reporter, frames: 0 });
    parts.push(tokens.tokens);
    labels.push(...Array<number>(count).fill(label));
  }
  const tokens = new Int32Array(labels.length * height * width); // [N, h, w]
  parts.reduce((offset, part) => (tokens.set(part, offset), offset + part.length), 0);
  return { images: { tokens, shape: [labels.length, height, width] }, labels: Int32Array.from(labels) };
}

/** Share of labels that are found again. */
const agreement = (labels: Int32Array, found: Int32Array): number =>
  labels.filter((label, i) => label === found[i]).length / labels.length;

function sharesByClass(labels: Int32Array, found: Int32Array, classes: readonly string[]): Record<string, number> {
  const shares = [...new Set(labels)].map((label): [string, number] => {
    const own = [...labels.keys()].filter((i) => labels[i] === label);
    return [classes[label] ?? "", own.filter((i) => found[i] === label).length / own.length];
  });
  return Object.fromEntries(shares);
}

async function firstOfEach(tokenizer: Tokenizer, drawn: Labelled): Promise<Tile[]> {
  const firsts = [...new Set(drawn.labels)].map((label) => drawn.labels.indexOf(label));
  return toTiles(await tokenizer.decode(takeLabelled(drawn, firsts).images), tokenizer.spec.imageSize);
}
