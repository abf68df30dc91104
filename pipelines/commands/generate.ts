/** `tessera generate`: new images from a prior and its tokenizer. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

import { explainDiskError } from "../../shared/disk.ts";
import { Rng } from "../../shared/rng.ts";
import { encodePng, loadTokenizer, writeSheet, type Tile } from "../../stage1-tokenizer/index.ts";
import { loadPrior } from "../../stage2-prior/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { sessionOptions, threadsOption } from "../engines.ts";
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
    ],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    prior: option(z.string().min(1), { describe: "Name or path of the prior", alias: "p" }),
    count: option(z.int().min(1).max(100_000).default(16), { describe: "Images to make", alias: "n" }),
    temperature: option(z.number().min(0).default(1), { describe: "Softmax temperature, 0 = most likely token" }),
    steps: option(z.int().min(1).optional(), { describe: "Decoding steps of a masked prior (default 12)" }),
    choiceTemperature: option(z.number().min(0).optional(), {
      describe: "Noise on a masked prior's confidence (default 4.5)",
    }),
    class: option(z.string().optional(), { describe: "Class of the images, by name" }),
    out: option(z.string().min(1).optional(), {
      describe: "Folder for the images (default artifacts/generated/<prior>)",
      alias: "o",
    }),
    ...threadsOption,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const threads = sessionOptions(options);
    const tokenizer = await loadTokenizer(artifactPath("tokenizer", options.tokenizer), threads);
    const prior = await loadPrior(artifactPath("prior", options.prior), threads);
    const directory = artifactPath("generated", options.out ?? prior.name);
    await makeFolder(directory);
    const { count, temperature, steps, choiceTemperature } = options;
    const made = await generate({
      tokenizer,
      prior,
      count,
      temperature,
      steps,
      choiceTemperature,
      className: options.class,
      rng: Rng.fromSeed(options.seed).fork("generate"),
      reporter,
      signal,
    });
    await writeTiles(made.tiles, (i) => join(directory, `seed${options.seed}-${String(i).padStart(5, "0")}.png`));
    const sheet = join(directory, `seed${options.seed}-sheet.png`);
    await writeSheet({ path: sheet, rows: toRows(made.tiles.slice(0, 256)) });
    await Promise.all([tokenizer.dispose(), prior.dispose()]);
    const residentMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
    return {
      json: { path: directory, sheet, count, secondsPerImage: made.secondsPerImage, residentMegabytes },
      text: formatTable([
        ["images", `${count} in ${directory}`],
        ["sheet", sheet],
        ["seconds per image", made.secondsPerImage.toFixed(3)],
        ["peak resident memory", `${residentMegabytes} MB`],
      ]),
    };
  },
});

async function writeTiles(tiles: readonly Tile[], pathOf: (i: number) => string): Promise<void> {
  for (const [i, { pixels, height, width }] of tiles.entries()) {
    const png = await encodePng(pixels, height, width);
    await writeFile(pathOf(i), png).catch((error: unknown) => {
      throw explainDiskError(error, pathOf(i));
    });
  }
}
