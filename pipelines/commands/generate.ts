/** `tessera generate`: new images from a prior and its tokenizer. */
import { z } from "zod";

import { Rng } from "../../shared/rng.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand } from "../command.ts";
import { decodingOptions, decodingRequest } from "../decoding-options.ts";
import { dtypeOption, threadsOption } from "../engines.ts";
import { drawFrames } from "../film.ts";
import { generate } from "../generate.ts";
import { filmOption, imagesOutOption, imagesResult, SHEET_TILES, writeImages } from "../made-images.ts";
import { option, seedOption } from "../options.ts";
import { pairOptions, withPair } from "../pair.ts";
import { processesOption, samplingOptions } from "../sampling.ts";
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
    ...pairOptions,
    count: option(z.int().min(1).max(100_000).default(16), { describe: "Images to make", alias: "n" }),
    ...decodingOptions,
    ...filmOption,
    ...imagesOutOption,
    ...dtypeOption,
    ...threadsOption,
    ...processesOption,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const decoding = decodingRequest(options);
    return withPair(options, samplingOptions(options), async ({ tokenizer, prior }) => {
      const directory = artifactPath("generated", options.out ?? prior.name);
      await makeFolder(directory);
      const { count, film, seed } = options;
      const rng = Rng.fromSeed(seed).fork("generate");
      const made = await generate({ tokenizer, prior, count, ...decoding, film, rng, reporter, signal });
      const written = await writeImages({
        directory,
        stem: `seed${seed}`,
        tiles: made.tiles,
        rows: toRows(made.tiles.slice(0, SHEET_TILES)),
        film: await drawFrames(tokenizer, made.frames),
      });
      return imagesResult(written, { count, dtype: prior.dtype, secondsPerImage: made.secondsPerImage });
    });
  },
});
