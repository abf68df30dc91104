/** `tessera train-tokenizer`: images → a published tokenizer. */
import { z } from "zod";

import {
  describeFinding,
  loadTokenizerTraining,
  makesTokens,
  SHUFFLE_BUFFER,
  TOKENIZER_PRESETS,
  tokenizerConfig,
} from "../../stage1-tokenizer/index.ts";
import { artifactPath, claimOutput, outputOptions } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { engineOptions } from "../engines.ts";
import { option, seedOption } from "../options.ts";
import { createRunDoctor } from "../run-doctor.ts";
import { openSplitSource, sourceOptions } from "../sources.ts";
import { figureRows } from "../tables.ts";
import {
  bottleneckChoice,
  bottleneckOptions,
  configOverrides,
  recipeOptions,
  sizeOptions,
} from "../tokenizer-options.ts";
import { checkFinished, resumeOptions, runOptions, trainingTime } from "../training-options.ts";

export const command = defineCommand({
  meta: {
    name: "train-tokenizer",
    summary: "Train a VQ-VAE, or another bottleneck, on images and publish it as encoder.onnx and decoder.onnx.",
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
    ...sizeOptions,
    ...bottleneckChoice,
    ...bottleneckOptions,
    ...recipeOptions,
    ...trainingTime,
    evaluateEvery: option(z.int().min(1).default(1000), { describe: "Steps between evaluations on held-out images" }),
    shuffleBuffer: option(z.int().min(1).default(SHUFFLE_BUFFER), {
      describe: "Images listed in memory to shuffle among; larger sources are streamed through it",
    }),
    keep: option(z.enum(["last", "best"]).default("best"), {
      describe: "Which state to publish: the last, or the best on held-out images",
    }),
    ...outputOptions("tokenizer"),
    ...resumeOptions,
    ...engineOptions,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const directory = artifactPath("tokenizer", options.out);
    await claimOutput(directory, options);
    const config = tokenizerConfig(options.preset, configOverrides(options));
    const { source, training, heldOut } = await openSplitSource(options, reporter);
    const { trainTokenizer, publishTokenizer } = await loadTokenizerTraining();
    const running = await runOptions(options, { reporter, signal }, directory);
    const doctor = createRunDoctor(config, reporter);
    const run = await trainTokenizer({
      config,
      training,
      heldOut,
      ...running,
      evaluateEvery: options.evaluateEvery,
      keep: options.keep,
      shuffleBuffer: options.shuffleBuffer,
      onEvaluation: doctor.examine,
    });
    checkFinished(run, { signal, reporter, folder: running.folder });
    const from = { images: source.name, training: training.count, heldOut: heldOut.count };
    const { findings, training: metrics } = doctor.conclude(run.step, run.figures);
    const provenance = {
      seed: options.seed,
      engine: running.engine.description,
      steps: run.step,
      from,
      metrics: { ...metrics },
    };
    const fingerprint = await publishTokenizer(run, { directory, overwrite: options.overwrite, provenance });
    return {
      json: { path: directory, fingerprint, steps: run.step, ...run.figures, ...metrics, health: findings },
      text: formatTable([
        [makesTokens(config) ? "tokenizer" : "autoencoder", directory],
        ["fingerprint", fingerprint],
        ["steps", String(run.step)],
        ...figureRows(run.figures, heldOut.count > 0 ? "held-out" : "training"),
        ...findings.map((finding) => ["health", describeFinding(finding)]),
      ]),
    };
  },
});
