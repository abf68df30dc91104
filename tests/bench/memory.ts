/** Whether tokenizing in one process grows with the number of images: resident memory over 100,000 generated ones, first and last figure. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { Rng } from "../../shared/rng.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { tokenizeImages } from "../../pipelines/tokenize.ts";
import {
  iterateRecords,
  loadTokenizer,
  loadTokenizerTraining,
  tokenizerConfig,
  type ImageRecord,
  recordSet,
} from "../../stage1-tokenizer/index.ts";
import type { Row } from "./row.ts";
import type { Report } from "./work.ts";

/**
 * Garbage is collected before each figure: what is shown is what the work holds. Left alone, the collector of a process with room to spare lets
 * garbage lie, about 50 MB over the whole run.
 */
function residentMegabytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
  return process.memoryUsage().rss / 2 ** 20;
}

const IMAGES = 100_000;
const SIDE = 32;

/** Image i: a gradient whose direction and colours depend on i. */
function record(i: number): ImageRecord {
  const rng = Rng.fromSeed(i);
  const slopes = Array.from({ length: 6 }, () => rng.integer(8));
  return {
    key: `generated-${i}`,
    family: String(i),
    read: () => {
      const pixels = new Uint8Array(SIDE * SIDE * 3);
      for (let at = 0; at < pixels.length; at++) {
        const [channel, x, y] = [at % 3, Math.floor(at / 3) % SIDE, Math.floor(at / 3 / SIDE)];
        pixels[at] = (x * (slopes[channel] ?? 0) + y * (slopes[channel + 3] ?? 0)) & 255;
      }
      return Promise.resolve({ pixels, height: SIDE, width: SIDE, channels: 3 });
    },
  };
}

function* records(report: (done: number) => void): Generator<ImageRecord> {
  for (let i = 0; i < IMAGES; i++) {
    report(i);
    yield record(i);
  }
}

async function memoryOfTokenizing(): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), "tessera-memory-"));
  try {
    const { trainTokenizer, publishTokenizer } = await loadTokenizerTraining();
    const config = tokenizerConfig("cifar32", {
      hidden: 16,
      residualHidden: 8,
      codeDimension: 8,
      batchSize: 8,
      steps: 2,
    });
    const training = recordSet(Array.from({ length: 64 }, (_, i) => record(i)));
    const engine = createOnnxEngine({ threads: 2 });
    const run = await trainTokenizer({
      config,
      training,
      heldOut: recordSet([]),
      engine,
      seed: 0,
      reporter: silentReporter,
    });
    if (run.interrupted) throw new Error("Nothing interrupts the benchmark.");
    await publishTokenizer(run, { directory: join(directory, "tokenizer") });
    const tokenizer = await loadTokenizer(join(directory, "tokenizer"), { threads: 2 });
    const curve: number[] = [];
    const report = (done: number): void => {
      if (done % (IMAGES / 20) === 0) curve.push(residentMegabytes());
    };
    await tokenizeImages({
      tokenizer,
      records: iterateRecords(records(report)),
      classes: [],
      from: "generated",
      directory: join(directory, "tokens"),
      processes: 1, // what is measured is this process
      reporter: silentReporter,
    });
    await tokenizer.dispose();
    process.stderr.write(
      `resident MB every ${IMAGES / 20} images: ${curve.map((value) => value.toFixed(0)).join(" ")}\n`,
    );
    // The first figure is taken once buffers and caches have filled: at 5 % of the images.
    return [
      { work: `memory after ${IMAGES / 20} images`, unit: "MB", ours: curve[1] ?? NaN },
      { work: `memory after ${IMAGES} images`, unit: "MB", ours: residentMegabytes() },
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export const MEMORY: Report = { name: "memory", rows: memoryOfTokenizing };
