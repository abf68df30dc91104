/** A run on any source, stopped in the middle of an epoch and taken up again, comes to what it would have come to. */
import { describe, expect, it } from "vitest";

import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { Rng } from "../../shared/rng.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import {
  createEmojiSource,
  expandShards,
  type ImageRecord,
  type ImageSource,
  openCifar,
  openFolderSource,
  openIdx,
  openLabelledSource,
  openParquet,
  openWebDataset,
  splitSource,
} from "../../stage1-tokenizer/images/index.ts";
import { trainTokenizer, type TrainTokenizerOptions } from "../../stage1-tokenizer/train.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { writeFiles } from "./images/sources/binary-fixtures.ts";
import { noisePng, SMALL_SETS } from "./images/sources/small-sets.ts";
import { filesOf, finished, stopAfter } from "./runs.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const BATCH = 3;
const STEPS = 18;

const OPEN: Readonly<Record<string, (path: string) => Promise<ImageSource>>> = {
  folder: openFolderSource,
  labels: openLabelledSource,
  webdataset: async (shards) => openWebDataset(await expandShards(shards)),
  cifar10: (path) => openCifar(path, "cifar10"),
  mnist: openIdx,
  parquet: openParquet,
};

/** Every 300th emoji. */
function fewEmoji(): ImageSource {
  const emoji = createEmojiSource();
  async function* records(): AsyncGenerator<ImageRecord> {
    let row = 0;
    for await (const record of emoji.records()) if (row++ % 300 === 0) yield record;
  }
  return { ...emoji, records };
}

interface ResumeCase {
  readonly name: string;
  readonly open: () => Promise<ImageSource>;
  /** Smaller than the set: streamed; else listed. */
  readonly shuffleBuffer: number;
  /** Files among those to train on that are no images. */
  readonly damaged?: number;
}

const onDisk = SMALL_SETS.filter(({ kind }) => kind in OPEN).map(({ kind, files, locations }): ResumeCase => {
  const root = writeFiles(temporary(kind), files);
  const open = OPEN[kind];
  if (open === undefined) throw new Error(`No way to open ${kind}.`);
  return { name: kind, open: () => open(`${root}${locations[0] ?? ""}`), shuffleBuffer: 4 };
});
const pngs = await Promise.all(Array.from({ length: 11 }, (_, i) => noisePng(i)));
const damaged = writeFiles(temporary("damaged"), {
  ...Object.fromEntries(pngs.map((png, i) => [`${i}.png`, png])),
  "7b.png": "no image",
});
const CASES: readonly ResumeCase[] = [
  ...onDisk,
  { name: "emoji", open: () => Promise.resolve(fewEmoji()), shuffleBuffer: 5 },
  { name: "a damaged folder, listed", open: () => openFolderSource(damaged), shuffleBuffer: 100, damaged: 1 },
];

/** As a new process would: the source is opened again. */
async function train({ open, shuffleBuffer }: ResumeCase, changes: Partial<TrainTokenizerOptions>) {
  const split = await splitSource(await open(), { heldOutFraction: 0.3, salt: "resume" });
  return trainTokenizer({
    config: tinyConfig({ steps: STEPS, batchSize: BATCH, augmentFlip: true, augmentCrop: 2 }),
    ...split,
    shuffleBuffer,
    engine: createOnnxEngine({ threads: 1 }),
    seed: 4,
    reporter: silentReporter,
    ...changes,
  });
}

/** How many times each run is stopped: ten times and more in all. */
const stopsOf = (one: ResumeCase): number => (CASES.indexOf(one) < 3 ? 2 : 1);

/**
 * Steps, by chance, after which an epoch of `count` images is under way: not the first, which every run goes through to measure
 * the images, nor what is decoded ahead of it.
 */
function stopsFor(one: ResumeCase, count: number): number[] {
  const order = Rng.fromSeed(11).fork(one.name).permutation(STEPS);
  const measured = Math.ceil(count / BATCH) + 2;
  const inside = [...order].filter((step) => step > measured && (step * BATCH) % count !== 0);
  return inside.slice(0, stopsOf(one)).sort((a, b) => a - b);
}

describe("resumed in the middle of an epoch", () => {
  it.each(CASES)("$name: the same weights, files and figures, byte for byte", async (one) => {
    const { training, heldOut } = await splitSource(await one.open(), { heldOutFraction: 0.3, salt: "resume" });
    expect(training.count > one.shuffleBuffer).toBe(one.shuffleBuffer < 100);
    expect(STEPS * BATCH).toBeGreaterThan(2 * training.count); // two epochs end on the way
    expect(heldOut.count).toBeGreaterThan(0);
    const [whole, broken] = [temporary("whole"), temporary("broken")];
    const folder = (directory: string) => ({ folder: { directory, every: 4, resume: true } });
    const warnings: string[] = [];
    const reporter = { ...silentReporter, warn: (line: string) => void warnings.push(line) };
    const expected = await finished(train(one, { ...folder(whole), reporter }));
    expect(warnings).toHaveLength(one.damaged ?? 0);
    const stops = stopsFor(one, training.count);
    expect(new Set(stops).size).toBe(stopsOf(one));
    for (const step of stops) {
      const piece = await train(one, { ...folder(broken), ...stopAfter(step) });
      expect(piece).toEqual({ interrupted: true, step });
    }
    const resumed = await finished(train(one, folder(broken)));
    expect(resumed.state.values).toEqual(expected.state.values);
    expect(resumed.figures).toEqual(expected.figures);
    expect(filesOf(broken)).toEqual(filesOf(whole));
    expect(Object.keys(filesOf(whole))).toContain("last.safetensors");
  });

  it("is tried at ten points at least", () => {
    expect(CASES.reduce((sum, one) => sum + stopsOf(one), 0)).toBeGreaterThanOrEqual(10);
  });
});
