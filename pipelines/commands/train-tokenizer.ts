/** `tessera train-tokenizer`: images → a published tokenizer. */
import { rm } from "node:fs/promises";
import { z } from "zod";

import { loadTokenizerTraining, TOKENIZER_PRESETS, tokenizerConfig } from "../../stage1-tokenizer/index.ts";
import { artifactPath, claimOutput, outputOptions } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { engineOptions } from "../engines.ts";
import { option, seedOption } from "../options.ts";
import { openSplitSource, sourceOptions } from "../sources.ts";
import { figureRows } from "../tables.ts";
import { checkFinished, given, resumeOptions, runOptions, trainingTime } from "../training-options.ts";

export const command = defineCommand({
  meta: {
    name: "train-tokenizer",
    summary: "Train a VQ-VAE on images and publish it as encoder.onnx and decoder.onnx.",
    examples: [
      [
        "tessera train-tokenizer --source emoji --preset emoji64 --out emoji --minutes 6",
        "the embedded emoji, six minutes",
      ],
      [
        "tessera train-tokenizer --source photos --preset paper128 --out photos --steps 20000",
        "a folder of images at 128 px",
      ],
      [
        "tessera train-tokenizer --source photos --preset paper128 --out photos --steps 20000 --resume",
        "go on after Ctrl-C",
      ],
    ],
  },
  args: z.strictObject({
    ...sourceOptions,
    preset: option(z.enum(Object.keys(TOKENIZER_PRESETS) as [keyof typeof TOKENIZER_PRESETS]).default("emoji64"), {
      describe: "Architecture and recipe to start from",
    }),
    imageSize: option(z.int().min(1).optional(), { describe: "Side of the images, pixels" }),
    stride: option(z.int().min(1).optional(), { describe: "Pixels per token and side: 2, 4, 8 or 16" }),
    hidden: option(z.int().min(1).optional(), { describe: "Channels of the convolutions" }),
    codebookSize: option(z.int().optional(), { describe: "Number of codes, K" }),
    codeDimension: option(z.int().min(1).optional(), { describe: "Length of a code, D" }),
    quantizer: option(z.enum(["vq", "vq-ema"]).optional(), { describe: "How the codebook learns" }),
    batchSize: option(z.int().min(1).optional(), { describe: "Images a step" }),
    learningRate: option(z.number().positive().optional(), { describe: "Adam's rate" }),
    ...trainingTime,
    ...outputOptions("tokenizer"),
    ...resumeOptions,
    ...engineOptions,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const directory = artifactPath("tokenizer", options.out);
    await claimOutput(directory, options);
    const { imageSize, stride, hidden, codebookSize, codeDimension, quantizer, batchSize, learningRate, steps } =
      options;
    const sizes = { imageSize, stride, hidden, codebookSize, codeDimension };
    const config = tokenizerConfig(options.preset, given({ ...sizes, quantizer, batchSize, learningRate, steps }));
    const { source, training, heldOut } = await openSplitSource(options, reporter);
    const { trainTokenizer, publishTokenizer } = await loadTokenizerTraining();
    const running = await runOptions(options, { reporter, signal }, directory);
    const run = await trainTokenizer({ config, training, heldOut, ...running });
    checkFinished(run, { signal, reporter, checkpoint: running.checkpoint.path });
    const from = { images: source.name, training: training.length, heldOut: heldOut.length };
    const provenance = { seed: options.seed, engine: running.engine.description, steps: run.step, from };
    const fingerprint = await publishTokenizer(run, { directory, overwrite: options.overwrite, provenance });
    await rm(running.checkpoint.path, { force: true });
    return {
      json: { path: directory, fingerprint, steps: run.step, ...run.figures },
      text: formatTable([
        ["tokenizer", directory],
        ["fingerprint", fingerprint],
        ["steps", String(run.step)],
        ...figureRows(run.figures, heldOut.length > 0 ? "held-out" : "training"),
      ]),
    };
  },
});
