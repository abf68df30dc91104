/** `tessera train-prior`: token files → a published prior. */
import { z } from "zod";

import { usageError } from "../../shared/errors.ts";
import { openTokens } from "../../shared/token-file/index.ts";
import {
  loadPriorTraining,
  MEASURE_REMARKS,
  MEASURES,
  OBJECTIVES,
  PRIOR_PRESETS,
  priorConfig,
} from "../../stage2-prior/index.ts";
import { artifactPath, claimOutput, outputOptions } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { engineOptions } from "../engines.ts";
import { option, seedOption } from "../options.ts";
import { checkFinished, given, resumeOptions, runOptions, trainingTime } from "../training-options.ts";

export const command = defineCommand({
  meta: {
    name: "train-prior",
    summary: "Train a prior on token files and publish it as prior.onnx.",
    examples: [
      [
        "tessera train-prior --objective causal --tokens emoji-training --held-out emoji-held-out --out emoji-causal --minutes 4",
        "a causal prior",
      ],
      [
        "tessera train-prior --objective masked --tokens emoji-training --held-out emoji-held-out --out emoji-masked --minutes 4",
        "a MaskGIT-style prior",
      ],
      [
        "tessera train-prior --objective diffusion --tokens emoji-training --held-out emoji-held-out --out emoji-diffusion --minutes 4",
        "an absorbing-state diffusion, measured by a bound on what the causal prior's figure is exactly",
      ],
      [
        "tessera train-prior --objective pixelcnn --preset mnist-pixelcnn --conditional --tokens mnist-training --held-out mnist-held-out --out mnist-pixelcnn",
        "a gated PixelCNN over a small grid",
      ],
    ],
  },
  args: z.strictObject({
    objective: option(z.enum(OBJECTIVES), { describe: "What the network learns to predict" }),
    tokens: option(z.string().min(1), { describe: "Name or path of the token set to learn" }),
    heldOut: option(z.string().min(1).optional(), {
      describe: "Token set to measure on (default: the last 5 % of --tokens)",
    }),
    preset: option(z.enum(Object.keys(PRIOR_PRESETS) as [keyof typeof PRIOR_PRESETS]).default("emoji-small"), {
      describe: "Architecture and recipe to start from",
    }),
    layers: option(z.int().min(1).optional(), { describe: "Blocks of the network" }),
    width: option(z.int().min(1).optional(), { describe: "Model width" }),
    heads: option(z.int().min(1).optional(), { describe: "Attention heads (not of pixelcnn)" }),
    batchSize: option(z.int().min(1).optional(), { describe: "Images a step" }),
    learningRate: option(z.number().positive().optional(), { describe: "AdamW's highest rate" }),
    dropout: option(z.number().min(0).lt(1).optional(), { describe: "Dropout rate" }),
    conditional: option(z.boolean().default(false), { describe: "Learn the classes of the token set" }),
    ...trainingTime,
    ...outputOptions("prior"),
    ...resumeOptions,
    ...engineOptions,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    if (options.objective === "pixelcnn" && options.heads !== undefined) {
      throw usageError({ what: "--heads is of the Transformer, and a pixelcnn has none", todo: "Leave --heads out" });
    }
    const directory = artifactPath("prior", options.out);
    await claimOutput(directory, options);
    const training = await openTokens(artifactPath("tokens", options.tokens));
    const heldOut =
      options.heldOut === undefined ? undefined : await openTokens(artifactPath("tokens", options.heldOut));
    const { layers, width, heads, batchSize, learningRate, dropout, steps, objective } = options;
    const { codebookSize, grid, classes } = training.header;
    if (options.conditional && classes.length === 0) {
      throw usageError({
        what: "--conditional needs classes, and the token set has none",
        where: training.directory,
        todo: "Tokenize a folder whose sub-folders are the classes, or leave --conditional out",
      });
    }
    const config = priorConfig(options.preset, {
      ...given({ layers, width, heads, batchSize, learningRate, dropout, steps }),
      objective,
      codebookSize,
      grid,
      classes: options.conditional ? classes.length : 0,
    });
    const { trainPrior, publishPrior } = await loadPriorTraining();
    const running = await runOptions(options, { reporter, signal }, directory);
    const run = await trainPrior({ config, training, ...(heldOut === undefined ? {} : { heldOut }), ...running });
    checkFinished(run, { signal, reporter, folder: running.folder });
    const measure = MEASURES[objective];
    const from = { tokens: training.directory };
    const provenance = { seed: options.seed, engine: running.engine.description, steps: run.step, from };
    await publishPrior(run, { directory, overwrite: options.overwrite, provenance });
    return {
      json: {
        path: directory,
        objective: options.objective,
        steps: run.step,
        bitsPerToken: run.bitsPerToken,
        measure,
        parameters: run.parameters,
      },
      text: formatTable([
        ["prior", directory],
        ["objective", options.objective],
        ["parameters", run.parameters.toLocaleString("en-US")],
        ["steps", String(run.step)],
        ["held-out bits/token", `${run.bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[measure]})`],
      ]),
    };
  },
});
