/** The configuration of a tokenizer as options of the command line: each names a field of the preset to replace. */
import { z } from "zod";

import { SCHEDULES } from "../shared/nn/schedule-names.ts";
import { BOTTLENECKS, RECONSTRUCTIONS, type TokenizerConfig } from "../stage1-tokenizer/index.ts";
import { option } from "./options.ts";

const count = z.int().min(1).optional();
const share = z.number().min(0).optional();

export const sizeOptions = {
  imageSize: option(count, { describe: "Side of the images, pixels" }),
  stride: option(count, { describe: "Pixels per token and side: 2, 4, 8 or 16" }),
  hidden: option(count, { describe: "Channels of the convolutions" }),
  codebookSize: option(count, { describe: "Number of codes, K; fsq takes the nearest that levels make" }),
  codeDimension: option(count, { describe: "Length of a code or latent, D" }),
};

/** Which bottleneck, and what only one of them takes. */
export const bottleneckChoice = {
  bottleneck: option(z.enum(BOTTLENECKS).optional(), { describe: "What stands between encoder and decoder" }),
  levels: option(
    z
      .string()
      .regex(/^\d+(,\d+)*$/, "must be numbers joined by commas: 8,8,8")
      .optional(),
    { describe: "fsq: levels of each channel; their product is K" },
  ),
};

export const bottleneckOptions = {
  normalizeCodes: option(z.boolean().optional(), { describe: "vq, vq-ema: codes and encoder outputs of length 1" }),
  commitmentWeight: option(share, { describe: "vq, vq-ema: β of the commitment loss" }),
  codebookEmaDecay: option(share, { describe: "vq-ema: γ of the running means" }),
  revivalThreshold: option(share, { describe: "vq-ema: share of an average code's use below which a code is revived" }),
  temperature: option(z.number().positive().optional(), { describe: "gumbel: temperature of the first step" }),
  temperatureFloor: option(z.number().positive().optional(), { describe: "gumbel: temperature of the last step" }),
  klWeight: option(share, { describe: "gumbel, gaussian: β of the KL divergence" }),
  freeBits: option(share, { describe: "gaussian: nats a latent channel may cost for nothing" }),
  reconstruction: option(z.enum(RECONSTRUCTIONS).optional(), { describe: "Reconstruction loss" }),
};

export const recipeOptions = {
  batchSize: option(count, { describe: "Images a step" }),
  learningRate: option(z.number().positive().optional(), { describe: "Adam's highest rate" }),
  schedule: option(z.enum(SCHEDULES).optional(), { describe: "Course of the learning rate" }),
  warmupSteps: option(z.int().min(0).optional(), { describe: "Steps until the rate is reached" }),
  gradientClip: option(share, { describe: "Largest global norm of the gradients; 0: any" }),
  weightEmaDecay: option(share, {
    describe: "Decay of the averaged weights that are evaluated and published; 0: none",
  }),
  augmentFlip: option(z.boolean().optional(), { describe: "Mirror training images at random" }),
  augmentCrop: option(z.int().min(0).optional(), {
    describe: "Move training images at random by up to this many pixels",
  }),
};

const FIELDS = [sizeOptions, bottleneckChoice, bottleneckOptions, recipeOptions].flatMap(Object.keys).concat("steps");

/** Only what was given on the command line: the rest is the preset's. */
export function configOverrides(
  options: Readonly<Record<string, unknown>>,
): Partial<Record<keyof TokenizerConfig, unknown>> {
  const fields = FIELDS.map((name) => [name, options[name]] as const).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    fields.map(([name, value]) => [name, name === "levels" ? String(value).split(",").map(Number) : value]),
  );
}
