/** `tessera compare-bottlenecks`: the ways to a discrete code (and the continuous ones beside them), side by side. */
import { join } from "node:path";
import { z } from "zod";

import { BOTTLENECKS, TOKENIZER_PRESETS, tokenizerConfig, writeSheet } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { compareBottlenecks, type Compared } from "../compare-bottlenecks.ts";
import { createEngine, engineOptions, sessionOptions } from "../engines.ts";
import { option, seedOption } from "../options.ts";
import { openSplitSource, sourceOptions } from "../sources.ts";
import { bottleneckOptions, configOverrides, recipeOptions, sizeOptions } from "../tokenizer-options.ts";

export const command = defineCommand({
  meta: {
    name: "compare-bottlenecks",
    summary: "Train every bottleneck with the same images, seed and number of steps; one table, one sheet.",
    examples: [
      ["tessera compare-bottlenecks --source emoji --steps 300", "all of them on the embedded emoji"],
      [
        "tessera compare-bottlenecks --source photos --only vq,vq-ema,fsq --codebook-size 1024",
        "three of them on a folder of images",
      ],
    ],
  },
  args: z.strictObject({
    ...sourceOptions,
    only: option(
      z
        .string()
        .default(BOTTLENECKS.join(","))
        .transform((text) => text.split(","))
        .pipe(z.array(z.enum(BOTTLENECKS)).min(1)),
      { describe: "Which bottlenecks, joined by commas" },
    ),
    preset: option(z.enum(Object.keys(TOKENIZER_PRESETS) as [keyof typeof TOKENIZER_PRESETS]).default("emoji64"), {
      describe: "Architecture and recipe they share",
    }),
    steps: option(z.int().min(1).default(300), { describe: "Steps of each" }),
    draws: option(z.int().min(2).max(1000).default(16), { describe: "Draws that a gradient's variance is taken over" }),
    tiles: option(z.int().min(1).max(32).default(12), { describe: "Held-out images on the sheet" }),
    ...sizeOptions,
    ...bottleneckOptions,
    ...recipeOptions,
    out: option(z.string().min(1).default("bottlenecks"), {
      describe: "Folder for models, table and sheet; the same command goes on with what is missing",
      alias: "o",
    }),
    ...engineOptions,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const directory = artifactPath("comparison", options.out);
    await makeFolder(directory);
    const { training, heldOut } = await openSplitSource(options, reporter);
    const { originals, rows } = await compareBottlenecks({
      bottlenecks: options.only,
      configOf: (bottleneck) => tokenizerConfig(options.preset, { ...configOverrides(options), bottleneck }),
      training,
      heldOut: heldOut.count > 0 ? heldOut : training,
      directory,
      seed: options.seed,
      draws: options.draws,
      tiles: options.tiles,
      engine: await createEngine(options),
      threads: sessionOptions(options),
      reporter,
      signal,
    });
    const sheet = join(directory, "comparison.png");
    await writeSheet({
      path: sheet,
      rows: [originals, ...rows.map(({ reconstructions }) => reconstructions)],
      rowLabels: ["original", ...rows.map(({ bottleneck }) => bottleneck)],
    });
    return {
      json: { sheet, rows: rows.map(({ reconstructions: _pictures, figures, ...row }) => ({ ...row, ...figures })) },
      text: `${formatTable([HEAD, ...rows.map(toCells)])}\n\nsheet  ${sheet}`,
    };
  },
});

const HEAD = [
  ...["bottleneck", "bits/image", "PSNR", "SSIM", "usage", "perplexity"],
  ...["noise before", "noise after", "seconds"],
];

function toCells({ bottleneck, figures, rate, noiseBefore, noiseAfter, noiseDraws, seconds }: Compared): string[] {
  const shown = (value: number | undefined, form: (value: number) => string): string =>
    value === undefined || Number.isNaN(value) ? "–" : form(value);
  const fixed = (digits: number) => (value: number) => value.toFixed(digits);
  /** A variance over few draws tells no more than that. */
  const noise = (value: number): string => `${value >= noiseDraws ? "≥ " : ""}${Number(value.toPrecision(3))}`;
  return [
    bottleneck,
    shown(rate, fixed(0)),
    shown(figures.psnr, fixed(2)),
    shown(figures.ssim, fixed(4)),
    shown(figures.usage, (usage) => `${(usage * 100).toFixed(1)} %`),
    shown(figures.perplexity, fixed(1)),
    shown(noiseBefore, noise),
    shown(noiseAfter, noise),
    shown(seconds, fixed(0)),
  ];
}
