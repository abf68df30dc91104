/** `tessera complete`: a part of a picture, or what lies around it, drawn by a prior. */
import { z } from "zod";

import { usageError } from "../../shared/errors.ts";
import { Rng } from "../../shared/rng.ts";
import { openPicture, readMask, type Picture } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand } from "../command.ts";
import { complete, type Gap } from "../complete.ts";
import { decodingOptions, decodingRequest } from "../decoding-options.ts";
import { rectangleMask, type Rectangle } from "../edit/mask.ts";
import { checkRegion, MarginsSchema, RegionSchema, type Margins } from "../edit/places.ts";
import { dtypeOption, threadsOption } from "../engines.ts";
import { filmOption, imagesOutOption, imagesResult, SHEET_TILES, stemOf, writeImages } from "../made-images.ts";
import { option, seedOption } from "../options.ts";
import { pairOptions, withPair } from "../pair.ts";
import { processesOption, samplingOptions } from "../sampling.ts";
import { toRows } from "../sheets.ts";

export const command = defineCommand({
  meta: {
    name: "complete",
    summary:
      "Redraw the marked part of a picture, or draw what lies around it; everything else is kept. Results have the tokenizer's size, to which the picture is resized and cropped, and the margins asked for.",
    examples: [
      [
        "tessera complete photo.png --tokenizer emoji --prior emoji-masked --mask mask.png",
        "what is bright in the mask",
      ],
      ["tessera complete photo.png --tokenizer emoji --prior emoji-masked --region 8,8,24,16 --film", "a rectangle"],
      [
        "tessera complete photo.png --tokenizer emoji --prior emoji-masked --outpaint left=24,top=8",
        "beyond the edges",
      ],
      [
        "tessera complete seven.png --tokenizer digits --prior digits-masked --mask mask.png --class 9 --guidance 2",
        "as another class",
      ],
    ],
    positional: "image",
  },
  args: z.strictObject({
    image: option(z.string().min(1), { describe: "Picture to complete" }),
    ...pairOptions,
    mask: option(z.string().min(1).optional(), {
      describe:
        "Image of the picture's size: half bright or brighter is redrawn, dark and transparent are kept (brightness counts times opacity)",
    }),
    region: option(RegionSchema.optional(), {
      describe: "Instead of a mask: rectangle x,y,width,height to redraw, in pixels of the picture",
    }),
    outpaint: option(MarginsSchema.optional(), {
      describe:
        "Instead of a mask: pixels to add around, left=24,right=24,top=0,bottom=8, counted at the tokenizer's size; each side at most once as long as the picture",
    }),
    count: option(z.int().min(1).max(1000).default(4), { describe: "Completions to make", alias: "n" }),
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
    const way = oneWay(options);
    const picture = await openPicture(options.image);
    const gap = await gapOf(way, picture);
    return withPair(options, samplingOptions(options), async ({ tokenizer, prior }) => {
      const directory = artifactPath("generated", options.out ?? prior.name);
      await makeFolder(directory);
      const { count, film, seed } = options;
      const rng = Rng.fromSeed(seed).fork("complete");
      const made = await complete({ tokenizer, prior, decoding, picture, gap, count, film, rng, reporter, signal });
      const completions = toRows(made.tiles.slice(0, SHEET_TILES));
      const written = await writeImages({
        directory,
        stem: stemOf(options.image, "completed", seed),
        tiles: made.tiles,
        rows: [[made.original], [made.masked], ...completions],
        rowLabels: ["original", "masked", ...completions.map((_, i) => (i === 0 ? "completed" : ""))],
        film: made.film,
      });
      return imagesResult(written, { count, dtype: prior.dtype, secondsPerImage: made.secondsPerImage });
    });
  },
});

type Way =
  | { readonly kind: "mask"; readonly path: string }
  | { readonly kind: "region"; readonly region: Rectangle }
  | { readonly kind: "outpaint"; readonly margins: Margins };

/** @throws usage unless exactly one of the options that say where is given */
function oneWay({
  mask,
  region,
  outpaint,
}: {
  readonly mask?: string | undefined;
  readonly region?: Rectangle | undefined;
  readonly outpaint?: Margins | undefined;
}): Way {
  const ways: Way[] = [];
  if (mask !== undefined) ways.push({ kind: "mask", path: mask });
  if (region !== undefined) ways.push({ kind: "region", region });
  if (outpaint !== undefined) ways.push({ kind: "outpaint", margins: outpaint });
  const [way, ...others] = ways;
  if (way !== undefined && others.length === 0) return way;
  throw usageError({
    what: "it takes one way to say where to draw",
    where: "complete",
    expected: "exactly one of --mask, --region, --outpaint",
    got: ways.map(({ kind }) => `--${kind}`).join(", ") || "none",
  });
}

/** @throws bad-input if a mask is no image or of another size; usage for a region outside the picture */
async function gapOf(way: Way, picture: Picture): Promise<Gap> {
  switch (way.kind) {
    case "mask":
      return { kind: "inside", mask: await readMask(await openPicture(way.path), picture), where: way.path };
    case "region":
      checkRegion(way.region, picture);
      return { kind: "inside", mask: rectangleMask(way.region, picture), where: "--region" };
    case "outpaint":
      return { kind: "around", margins: way.margins };
    default:
      return way satisfies never;
  }
}
