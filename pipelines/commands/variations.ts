/** `tessera variations`: pictures like a given one, a share of whose tokens a prior draws anew. */
import { z } from "zod";

import { Rng } from "../../shared/rng.ts";
import { openPicture } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand } from "../command.ts";
import { decodingOptions, decodingRequest } from "../decoding-options.ts";
import { dtypeOption, threadsOption } from "../engines.ts";
import { drawFrames } from "../film.ts";
import { filmOption, imagesOutOption, imagesResult, SHEET_TILES, stemOf, writeImages } from "../made-images.ts";
import { option, seedOption } from "../options.ts";
import { pairOptions, withPair } from "../pair.ts";
import { processesOption, samplingOptions } from "../sampling.ts";
import { toRows } from "../sheets.ts";
import { variations } from "../variations.ts";

export const command = defineCommand({
  meta: {
    name: "variations",
    summary:
      "Draw a share of a picture's tokens anew and keep the others: any ones, or for priors of raster order the last, since these go on from a beginning. Results have the tokenizer's size.",
    examples: [
      ["tessera variations photo.png --tokenizer emoji --prior emoji-masked", "eight pictures, half of each new"],
      ["tessera variations photo.png --tokenizer emoji --prior emoji-causal --strength 0.3", "another lower third"],
    ],
    positional: "image",
  },
  args: z.strictObject({
    image: option(z.string().min(1), { describe: "Picture to vary" }),
    ...pairOptions,
    count: option(z.int().min(1).max(1000).default(8), { describe: "Variations to make", alias: "n" }),
    strength: option(z.number().gt(0).max(1).default(0.5), {
      describe: "Share of the tokens drawn anew, 1 = nothing is kept",
    }),
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
    const picture = await openPicture(options.image);
    return withPair(options, samplingOptions(options), async ({ tokenizer, prior }) => {
      const directory = artifactPath("generated", options.out ?? prior.name);
      await makeFolder(directory);
      const { count, strength, film, seed } = options;
      const rng = Rng.fromSeed(seed).fork("variations");
      const how = { tokenizer, prior, decoding, count, strength, film, rng, reporter, signal };
      const made = await variations({ picture, ...how });
      const rows = toRows(made.tiles.slice(0, SHEET_TILES));
      const written = await writeImages({
        directory,
        stem: stemOf(options.image, "varied", seed),
        tiles: made.tiles,
        rows: [[made.original], [made.reconstruction], ...rows],
        rowLabels: ["original", "reconstruction", ...rows.map((_, i) => (i === 0 ? "variations" : ""))],
        film: await drawFrames(tokenizer, made.frames),
      });
      return imagesResult(written, { count, dtype: prior.dtype, secondsPerImage: made.secondsPerImage });
    });
  },
});
