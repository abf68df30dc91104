/** `tessera demo`: everything, on the embedded images. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import { usageError } from "../../shared/errors.ts";
import { artifactPath } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { runDemo, type DemoResult } from "../demo.ts";
import { createEngine, engineOptions, sessionOptions } from "../engines.ts";
import { option, seedOption } from "../options.ts";
import { figureRows } from "../tables.ts";

export const command = defineCommand({
  meta: {
    name: "demo",
    summary:
      "Train a tokenizer on emoji, tokenize them, train two priors, sample both, and compare with mere counting.",
    examples: [
      ["tessera demo", "about twelve minutes on two cores; after Ctrl-C the same command goes on"],
      ["tessera demo --minutes 2 --seed 1 --out quick --json", "a rough one, its figures as JSON"],
    ],
  },
  args: z.strictObject({
    minutes: option(z.number().min(0.25).max(10_000).default(12), {
      describe: "Time for everything; scales every part",
      alias: "m",
    }),
    out: option(z.string().min(1).optional(), {
      describe: "Folder for everything made (default artifacts/demo/seed-<seed>)",
      alias: "o",
    }),
    ...engineOptions,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const directory = artifactPath("demo", options.out ?? `seed-${options.seed}`);
    if (existsSync(join(directory, "samples.png"))) {
      throw usageError({
        what: "a finished demo is there already",
        where: directory,
        todo: "Remove the folder, or give --out another name",
      });
    }
    const engine = await createEngine(options);
    const { minutes, seed } = options;
    const result = await runDemo({
      minutes,
      seed,
      directory,
      engine,
      threads: sessionOptions(options),
      reporter,
      signal,
    });
    return { json: toJson(result), text: closingTable(result) };
  },
});

function toJson({ figures, bitsPerToken, secondsPerImage, minutes, paths }: DemoResult): Record<string, unknown> {
  const { psnr, usage, perplexity } = figures;
  return { psnr, usage, perplexity, bitsPerToken, secondsPerImage, minutes, paths };
}

function closingTable({ figures, bitsPerToken, secondsPerImage, minutes, paths }: DemoResult): string {
  const remark = (name: string): string =>
    name === "masked" ? "on masked positions, mean ratio of the cosine schedule" : "";
  const seconds: Readonly<Record<string, number>> = secondsPerImage;
  return [
    formatTable(figureRows(figures)),
    "",
    formatTable([
      ["prior", "bits/token", "s/image", ""],
      ...Object.entries(bitsPerToken).map(([name, bits]) => [
        name,
        bits.toFixed(3),
        seconds[name]?.toFixed(3) ?? "",
        remark(name),
      ]),
    ]),
    "",
    formatTable([...Object.entries(paths), ["minutes", minutes.toFixed(1)]]),
  ].join("\n");
}
