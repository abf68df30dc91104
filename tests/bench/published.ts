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
  loadTokenizerTraining,
  openFolderSource,
  recordSet,
  listRecords,
  tokenizerConfig,
  type ImageSource,
  type RecordSet,
  type TokenizerPreset,
} from "../../stage1-tokenizer/index.ts";

interface Setting {
  readonly preset: TokenizerPreset;
  readonly evaluateEvery: number;
  readonly open: (data: string) => Promise<{ training: RecordSet; heldOut: RecordSet }>;
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

const whole = async (source: ImageSource): Promise<RecordSet> => recordSet(await listRecords(source));

/** `train/` and `test/` folders of images. */
async function openCifarSides(data: string): Promise<{ training: RecordSet; heldOut: RecordSet }> {
  const [train, test] = [join(data, "train"), join(data, "test")];
  if (existsSync(train) && existsSync(test))
    return { training: await whole(await openFolderSource(train)), heldOut: await whole(await openFolderSource(test)) };
  throw badInput({ what: "no CIFAR-10 here", where: data, expected: "train/ and test/" });
}

async function openMnistSides(): Promise<never> {
  throw badInput({ what: "not yet" });
}
