/** Options that both training commands have. */
import { z } from "zod";

import { option } from "./options.ts";

export const trainingTime = {
  steps: option(z.int().min(1).optional(), { describe: "Number of steps (default: the preset's)" }),
  minutes: option(z.number().positive().optional(), {
    describe: "Train for about this long instead of a number of steps",
  }),
};

export const resumeOptions = {
  resume: option(z.boolean().default(false), { describe: "Continue the interrupted run of the same options" }),
  checkpointEvery: option(z.int().min(1).default(500), { describe: "Steps between checkpoints" }),
};
