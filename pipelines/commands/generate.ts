/** `tessera generate`: new images from a prior and its tokenizer. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

import { explainDiskError } from "../../shared/disk.ts";
import { usageError } from "../../shared/errors.ts";
import { Rng } from "../../shared/rng.ts";
import { encodePng, loadTokenizer, writeFilm, writeSheet, type Tile } from "../../stage1-tokenizer/index.ts";
import {
  GUIDANCE_SCHEDULES,
  loadPrior,
  SAMPLER_NAMES,
  type Guidance,
  type GuidanceSchedule,
} from "../../stage2-prior/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { sessionOptions, threadsOption } from "../engines.ts";
import { drawFrames } from "../film.ts";
import { generate } from "../generate.ts";
import { option, seedOption } from "../options.ts";
import { toRows } from "../sheets.ts";

export const command = defineCommand({
  meta: {
    name: "generate",
    summary: "Sample token grids from a prior and decode them to images.",
    examples: [
      ["tessera generate --tokenizer emoji --prior emoji-causal --count 16 --seed 1", "sixteen images and a sheet"],
      ["tessera generate --tokenizer emoji --prior emoji-masked --count 16 --steps 16", "the same from another prior"],
      ["tessera generate --tokenizer emoji --prior emoji-masked --sampler halton --film", "and how they are uncovered"],
      [
        "tessera generate --tokenizer digits --prior digits-causal --class 7 --guidance 2 --top-p 0.95",
        "one class, leant on",
      ],
    ],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    prior: option(z.string().min(1), { describe: "Name or path of the prior", alias: "p" }),
    count: option(z.int().min(1).max(100_000).default(16), { describe: "Images to make", alias: "n" }),
    temperature: option(z.number().min(0).default(1), { describe: "Softmax temperature, 0 = most likely token" }),
    topK: option(z.int().min(1).optional(), { describe: "Draw among the K likeliest tokens only" }),
    topP: option(z.number().gt(0).max(1).optional(), {
      describe: "Draw among the likeliest tokens that together hold this share of the mass",
    }),
    sampler: option(z.enum(SAMPLER_NAMES).optional(), {
      describe: "Order of decoding; of masked and diffusion priors",
    }),
    steps: option(z.int().min(1).optional(), {
      describe: "Decoding steps of masked and diffusion priors (maskgit 12, halton 32, ancestral 64)",
    }),
    choiceTemperature: option(z.number().min(0).optional(), {
      describe: "Noise on the confidence of sampler maskgit (default 4.5)",
    }),
    class: option(z.string().optional(), { describe: "Class of the images, by name" }),
    guidance: option(z.number().min(0).optional(), {
      describe: "Classifier-free guidance scale, 1 = off; needs --class",
    }),
    guidanceSchedule: option(z.enum(Object.keys(GUIDANCE_SCHEDULES) as GuidanceSchedule[]).optional(), {
      describe: "How the guidance scale rises while an image is uncovered (default constant)",
    }),
    film: option(z.boolean().default(false), {
      describe: "Also write an animated WebP of the first images being uncovered",
    }),
    out: option(z.string().min(1).optional(), {
      describe: "Folder for the images (default artifacts/generated/<prior>)",
      alias: "o",
    }),
    ...threadsOption,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const guidance = guidanceOf(options);
    const threads = sessionOptions(options);
    const tokenizer = await loadTokenizer(artifactPath("tokenizer", options.tokenizer), threads);
    const prior = await loadPrior(artifactPath("prior", options.prior), threads);
    const directory = artifactPath("generated", options.out ?? prior.name);
    await makeFolder(directory);
    const { count, temperature, topK, topP, sampler, steps, choiceTemperature, film } = options;
    const made = await generate({
      tokenizer,
      prior,
      count,
      temperature,
      topK,
      topP,
      sampler,
      steps,
      choiceTemperature,
      className: options.class,
      guidance,
      film,
      rng: Rng.fromSeed(options.seed).fork("generate"),
      reporter,
      signal,
    });
    await writeTiles(made.tiles, (i) => join(directory, `seed${options.seed}-${String(i).padStart(5, "0")}.png`));
    const sheet = join(directory, `seed${options.seed}-sheet.png`);
    await writeSheet({ path: sheet, rows: toRows(made.tiles.slice(0, 256)) });
    const filmPath = film ? join(directory, `seed${options.seed}-film.webp`) : undefined;
    if (filmPath !== undefined) {
      const frames = await drawFrames(tokenizer, made.frames);
      await writeFilm({ path: filmPath, frames, delay: 100, lastDelay: 2000 });
    }
    await Promise.all([tokenizer.dispose(), prior.dispose()]);
    const residentMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
    return {
      json: {
        path: directory,
        sheet,
        ...(filmPath !== undefined && { film: filmPath }),
        count,
        secondsPerImage: made.secondsPerImage,
        residentMegabytes,
      },
      text: formatTable([
        ["images", `${count} in ${directory}`],
        ["sheet", sheet],
        ...(filmPath === undefined ? [] : [["film", filmPath]]),
        ["seconds per image", made.secondsPerImage.toFixed(3)],
        ["peak resident memory", `${residentMegabytes} MB`],
      ]),
    };
  },
});

/** @throws usage for a schedule of nothing */
function guidanceOf(options: {
  guidance?: number | undefined;
  guidanceSchedule?: GuidanceSchedule | undefined;
}): Guidance | undefined {
  const { guidance: scale, guidanceSchedule: schedule } = options;
  if (scale !== undefined) return { scale, schedule: schedule ?? "constant" };
  if (schedule === undefined) return undefined;
  throw usageError({
    what: "there is no scale to rise",
    where: "--guidance-schedule",
    todo: "Give --guidance as well.",
  });
}

async function writeTiles(tiles: readonly Tile[], pathOf: (i: number) => string): Promise<void> {
  for (const [i, { pixels, height, width }] of tiles.entries()) {
    const png = await encodePng(pixels, height, width);
    await writeFile(pathOf(i), png).catch((error: unknown) => {
      throw explainDiskError(error, pathOf(i));
    });
  }
}
