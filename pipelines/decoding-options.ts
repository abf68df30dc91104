/** How tokens are drawn from a prior, as options of the command line, and as what they ask of a `Prior`. */
import { z } from "zod";

import { usageError } from "../shared/errors.ts";
import {
  GUIDANCE_SCHEDULES,
  SAMPLER_NAMES,
  type DecodingOptions,
  type Guidance,
  type GuidanceSchedule,
} from "../stage2-prior/index.ts";
import { option } from "./options.ts";

/** What any prior of the right kind can be asked. */
export const drawOptions = {
  temperature: option(z.number().min(0).default(1), { describe: "Softmax temperature, 0 = most likely token" }),
  topK: option(z.int().min(1).optional(), { describe: "Draw among the K likeliest tokens only" }),
  topP: option(z.number().gt(0).max(1).optional(), {
    describe: "Draw among the likeliest tokens that together hold this share of the mass",
  }),
  sampler: option(z.enum(SAMPLER_NAMES).optional(), { describe: "Order of decoding; of masked and diffusion priors" }),
  steps: option(z.int().min(1).optional(), {
    describe: "Decoding steps of masked and diffusion priors (maskgit 12, halton 32, ancestral 64)",
  }),
  choiceTemperature: option(z.number().min(0).optional(), {
    describe: "Noise on the confidence of sampler maskgit (default 4.5)",
  }),
};

export const guidanceScheduleOption = {
  guidanceSchedule: option(z.enum(Object.keys(GUIDANCE_SCHEDULES) as GuidanceSchedule[]).optional(), {
    describe: "How the guidance scale rises while an image is uncovered (default constant)",
  }),
};

export const decodingOptions = {
  ...drawOptions,
  class: option(z.string().optional(), { describe: "Class of what is drawn, by name" }),
  guidance: option(z.number().min(0).optional(), {
    describe: "Classifier-free guidance scale, 1 = off; needs --class",
  }),
  ...guidanceScheduleOption,
};

type DrawChoice = z.output<z.ZodObject<typeof drawOptions>>;
export type DecodingChoice = z.output<z.ZodObject<typeof decodingOptions>>;

/** What the options ask of a prior. @throws usage for a guidance schedule without a scale */
export function decodingRequest(options: DecodingChoice): DecodingOptions {
  return { ...drawRequest(options), className: options.class, guidance: guidanceOf(options) };
}

export const drawRequest = ({ temperature, topK, topP, sampler, steps, choiceTemperature }: DrawChoice) =>
  ({ temperature, topK, topP, sampler, steps, choiceTemperature }) satisfies DecodingOptions;

function guidanceOf(options: DecodingChoice): Guidance | undefined {
  const { guidance: scale, guidanceSchedule: schedule } = options;
  if (scale !== undefined) return { scale, schedule: schedule ?? "constant" };
  if (schedule === undefined) return undefined;
  throw usageError({
    what: "there is no scale to rise",
    where: "--guidance-schedule",
    todo: "Give --guidance as well.",
  });
}
