/** `tessera train-prior`: token files → a published prior. */
import { z } from "zod";

import { usageError } from "../../shared/errors.ts";
import { openTokens, type TokenSet } from "../../shared/token-file/index.ts";
import {
  countedThings,
  isCounting,
  loadPriorTraining,
  MEASURE_REMARKS,
  MEASURES,
  OBJECTIVES,
  PRIOR_PRESETS,
  priorConfig,
  publishCountingPrior,
  trainCountingPrior,
  type CountingObjective,
  type LearntObjective,
} from "../../stage2-prior/index.ts";
import { artifactPath, claimOutput, outputOptions } from "../artifacts.ts";
import { defineCommand, formatTable, type CommandContext, type CommandResult } from "../command.ts";
import { engineOptions } from "../engines.ts";
import { option, seedOption } from "../options.ts";
import { checkFinished, given, resumeOptions, runOptions, trainingTime } from "../training-options.ts";

const DEFAULT_PRESET = "emoji-small" satisfies keyof typeof PRIOR_PRESETS;

const args = z.strictObject({
  objective: option(z.enum(OBJECTIVES), {
    describe: "What a network learns to predict, or (uniform, unigram, markov2d) what is counted",
  }),
  tokens: option(z.string().min(1), { describe: "Name or path of the token set to learn" }),
  heldOut: option(z.string().min(1).optional(), {
    describe: "Token set to measure on (default: the last 5 % of --tokens)",
  }),
  preset: option(z.enum(Object.keys(PRIOR_PRESETS) as [keyof typeof PRIOR_PRESETS]).optional(), {
    describe: `Architecture and recipe to start from (default ${DEFAULT_PRESET})`,
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
});

type Options = z.output<typeof args>;

export const command = defineCommand({
  meta: {
    name: "train-prior",
    summary:
      "Make a prior of token files and publish it: train a network to prior.onnx, or count to counts.safetensors, in seconds.",
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
      [
        "tessera train-prior --objective markov2d --tokens emoji-training --held-out emoji-held-out --out emoji-markov2d",
        "counts of what stands beside what: no network, no options of one",
      ],
    ],
  },
  args,
  async run(options, context) {
    const { objective } = options;
    checkFits(options);
    const directory = artifactPath("prior", options.out);
    await claimOutput(directory, options);
    const training = await openTokens(artifactPath("tokens", options.tokens));
    const heldOut =
      options.heldOut === undefined ? undefined : await openTokens(artifactPath("tokens", options.heldOut));
    const target = { directory, training, heldOut };
    return isCounting(objective)
      ? count({ ...options, objective }, target, context)
      : train({ ...options, objective }, target, context);
  },
});

interface Target {
  readonly directory: string;
  readonly training: TokenSet;
  readonly heldOut: TokenSet | undefined;
}

/** Options with a default (engine, seed, …) cannot be told from given ones, and say nothing to what is counted. @throws usage naming every other that was given and is not of the objective */
function checkFits(options: Options): void {
  const { objective, heads, conditional, resume } = options;
  if (objective === "pixelcnn" && heads !== undefined) {
    throw usageError({ what: "--heads is of the Transformer, and a pixelcnn has none", todo: "Leave --heads out" });
  }
  if (!isCounting(objective)) return;
  const { preset, layers, width, batchSize, learningRate, dropout, steps, minutes, threads } = options;
  const ofNetworks = {
    ...{ preset, layers, width, heads, "batch-size": batchSize, "learning-rate": learningRate, dropout, steps },
    ...{ minutes, threads, conditional: conditional || undefined, resume: resume || undefined },
  };
  const wrong = Object.keys(given(ofNetworks)).map((flag) => `--${flag}`);
  if (wrong.length === 0) return;
  const [list, them] = [wrong.join(", "), wrong.length === 1 ? "it" : "them"];
  throw usageError({
    what: `a ${objective} prior is counted, and has no network for ${list}`,
    todo: `Leave ${them} out`,
  });
}

async function train(
  options: Options & { objective: LearntObjective },
  { directory, training, heldOut }: Target,
  { reporter, signal }: CommandContext,
): Promise<CommandResult> {
  const { layers, width, heads, batchSize, learningRate, dropout, steps, objective } = options;
  const { codebookSize, grid, classes } = training.header;
  if (options.conditional && classes.length === 0) {
    throw usageError({
      what: "--conditional needs classes, and the token set has none",
      where: training.directory,
      todo: "Tokenize a folder whose sub-folders are the classes, or leave --conditional out",
    });
  }
  const config = priorConfig(options.preset ?? DEFAULT_PRESET, {
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
  const { bitsPerToken, parameters } = run;
  const from = { tokens: training.directory };
  const provenance = { seed: options.seed, engine: running.engine.description, steps: run.step, from };
  await publishPrior(run, { directory, overwrite: options.overwrite, provenance });
  const measure = MEASURES[objective];
  return {
    json: { path: directory, objective, steps: run.step, bitsPerToken, measure, parameters },
    text: formatTable([
      ["prior", directory],
      ["objective", objective],
      ["parameters", parameters.toLocaleString("en-US")],
      ["steps", String(run.step)],
      ["held-out bits/token", `${bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[measure]})`],
    ]),
  };
}

/** Nothing is drawn and nothing is run: neither seed nor engine matters. */
async function count(
  { objective, overwrite }: Options & { objective: CountingObjective },
  { directory, training, heldOut }: Target,
  { signal }: CommandContext,
): Promise<CommandResult> {
  const counted = await trainCountingPrior({ objective, training, heldOut });
  signal.throwIfAborted();
  const provenance = { from: { tokens: training.directory } };
  await publishCountingPrior(counted, { directory, overwrite, provenance });
  const measure = MEASURES[objective];
  const counts = countedThings(counted.counting);
  const { bitsPerToken } = counted;
  return {
    json: { path: directory, objective, bitsPerToken, measure, parameters: null, counts },
    text: formatTable([
      ["prior", directory],
      ["objective", objective],
      ["counts", counts.toLocaleString("en-US")],
      ["held-out bits/token", `${bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[measure]})`],
    ]),
  };
}
