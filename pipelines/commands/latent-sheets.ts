/** `tessera latent-sheets`: pictures of what an autoencoder's latents mean. */
import { basename, join } from "node:path";
import { z } from "zod";

import { Rng } from "../../shared/rng.ts";
import { describeImageFailure, loadAutoencoder, writeSheet } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { sessionOptions, threadsOption } from "../engines.ts";
import { interpolationRows, manifoldRows, sampleRows, type Rows } from "../latent-sheets.ts";
import { option, seedOption } from "../options.ts";
import { openSplitSource, recordsOf, sourceOptions, splitOptionWith } from "../sources.ts";

export const command = defineCommand({
  meta: {
    name: "latent-sheets",
    summary:
      "Draw an autoencoder's latent space: lines between images; of a VAE also samples of its prior, and the whole space where it has two dimensions.",
    examples: [
      [
        "tessera latent-sheets --autoencoder digits --source mnist:digits",
        "needs --bottleneck gaussian-vector, none or gaussian",
      ],
    ],
  },
  args: z.strictObject({
    autoencoder: option(z.string().min(1), { describe: "Name or path of the autoencoder", alias: "a" }),
    ...sourceOptions,
    ...splitOptionWith("held-out"),
    pairs: option(z.int().min(1).max(64).default(6), { describe: "Pairs of images to go between" }),
    between: option(z.int().min(1).max(64).default(9), { describe: "Pictures from one to the other" }),
    samples: option(z.int().min(1).max(256).default(64), { describe: "Draws from a VAE's prior" }),
    side: option(z.int().min(1).max(64).default(16), { describe: "Pictures a side of a two-dimensional space" }),
    out: option(z.string().min(1).optional(), {
      describe: "Folder for the sheets (default: the autoencoder's name)",
      alias: "o",
    }),
    ...threadsOption,
    ...seedOption,
  }),
  async run(options, { reporter }) {
    const model = await loadAutoencoder(artifactPath("tokenizer", options.autoencoder), sessionOptions(options));
    try {
      const directory = artifactPath("generated", options.out ?? basename(model.directory));
      await makeFolder(directory);
      const records = recordsOf(await openSplitSource(options, reporter), options.split);
      const sheets: Record<string, Rows | undefined> = {
        interpolation: await interpolationRows(model, {
          records,
          pairs: options.pairs,
          steps: options.between,
          onFailure: (failure) => reporter.warn(describeImageFailure(failure)),
        }),
        ...(model.variational && {
          samples: await sampleRows(model, { count: options.samples, rng: Rng.fromSeed(options.seed).fork("latents") }),
          manifold: await manifoldRows(model, options.side),
        }),
      };
      const paths: [string, string][] = [];
      for (const [name, rows] of Object.entries(sheets)) {
        if (rows === undefined || rows.length === 0) continue;
        const path = join(directory, `${name}.png`);
        await writeSheet({ path, rows });
        paths.push([name, path]);
      }
      if (sheets["interpolation"]?.length === 0) reporter.warn("no interpolation: it takes two images");
      if (model.variational && sheets["manifold"] === undefined)
        reporter.note("No manifold: it takes a latent space of two dimensions (gaussian-vector, --code-dimension 2).");
      return { json: Object.fromEntries(paths), text: formatTable(paths) };
    } finally {
      await model.dispose();
    }
  },
});
