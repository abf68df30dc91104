/**
 * Whole training runs against published curves (sources and definitions: README.md beside this file). One line per evaluation on images never
 * trained on: NMSE = MSE / variance of those images, PSNR of the mean error, perplexity of the codes over the whole set; beside them the
 * notebooks' own way of counting, means over the last 100 training batches.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { badInput } from "../../shared/errors.ts";
import { createReporter } from "../../shared/train/reporter.ts";
import {
  listRecords,
  loadTokenizerTraining,
  openCifar,
  openFolderSource,
  openIdx,
  openWebDataset,
  recordSet,
  tokenizerConfig,
  type ImageSource,
  type RecordSet,
  type TokenizerPreset,
} from "../../stage1-tokenizer/index.ts";

interface Setting {
  readonly preset: TokenizerPreset;
  readonly evaluateEvery: number;
  readonly open: (data: string) => Promise<Sides>;
}

export const PUBLISHED: Readonly<Record<"cifar" | "mnist", Setting>> = {
  cifar: { preset: "cifar32", evaluateEvery: 1000, open: openCifarSides },
  mnist: { preset: "mnist28", evaluateEvery: 500, open: openMnistSides },
};

export interface PublishedOptions {
  readonly data: string;
  readonly steps: number | undefined;
  readonly json: boolean;
  readonly seed: number;
}

export async function runPublished(name: keyof typeof PUBLISHED, options: PublishedOptions): Promise<void> {
  const setting = PUBLISHED[name];
  const { training, heldOut } = await setting.open(options.data);
  const config = tokenizerConfig(setting.preset, options.steps === undefined ? {} : { steps: options.steps });
  const { trainTokenizer } = await loadTokenizerTraining();
  if (!options.json)
    process.stdout.write("step nmse psnr perplexity | training: nmse perplexity, of the last 100 batches\n");
  await trainTokenizer({
    config,
    training,
    heldOut,
    engine: createOnnxEngine({ threads: 2 }),
    seed: options.seed,
    reporter: createReporter({ stream: process.stderr, isTTY: process.stderr.isTTY }),
    evaluateEvery: setting.evaluateEvery,
    onEvaluation(step, figures, recent) {
      const { nmse = NaN, psnr = NaN, perplexity = NaN, codesUsed = NaN } = figures;
      const trainingNmse = recent["reconstructionLoss"] ?? NaN;
      const batchPerplexity = recent["perplexity"] ?? NaN;
      process.stdout.write(
        options.json
          ? `${JSON.stringify({ step, nmse, psnr, perplexity, codesUsed, trainingNmse, batchPerplexity })}\n`
          : `${step} ${nmse.toFixed(4)} ${psnr.toFixed(2)} ${perplexity.toFixed(1)} | ${trainingNmse.toFixed(4)} ${batchPerplexity.toFixed(1)}\n`,
      );
    },
  });
}

interface Sides {
  readonly training: RecordSet;
  readonly heldOut: RecordSet;
}

const whole = async (source: ImageSource): Promise<RecordSet> => recordSet(await listRecords(source));

/** CIFAR-10 as tar archives of images (cifar10-train.tar, cifar10-test.tar), in its binary version, or as train/ and test/ folders. */
async function openCifarSides(data: string): Promise<Sides> {
  const forms = [
    { files: ["cifar10-train.tar", "cifar10-test.tar"], open: (path: string) => openWebDataset([path]) },
    { files: ["data_batch_1.bin", "test_batch.bin"], open: (path: string) => openCifar(path, "cifar10") },
    { files: ["train", "test"], open: openFolderSource },
  ] as const;
  for (const { files, open } of forms) {
    const [train, test] = [join(data, files[0]), join(data, files[1])];
    if (!existsSync(train) || !existsSync(test)) continue;
    const training = await open(files[0].endsWith(".bin") ? data : train); // the folder's five batches
    return { training: await whole(training), heldOut: await whole(await open(test)) };
  }
  const expected = forms.map(({ files }) => files.join(" and ")).join("; or ");
  throw badInput({ what: "there is no CIFAR-10 here", where: data, expected });
}

const MNIST_TRAINED = 9_000;

/** The 10,000 digits of MNIST's test set: the first 9,000 to train on, the last 1,000 held out. */
async function openMnistSides(data: string): Promise<Sides> {
  const records = await listRecords(await openIdx(data));
  return { training: recordSet(records.slice(0, MNIST_TRAINED)), heldOut: recordSet(records.slice(MNIST_TRAINED)) };
}
