/** `tessera guidance-curve`: how many samples look like the class they were asked to be, at rising guidance scales. */
import { z } from "zod";

import { usageError } from "../../shared/errors.ts";
import { openTokens } from "../../shared/token-file/index.ts";
import type { FeatureExtractor } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { drawOptions, drawRequest, guidanceScheduleOption } from "../decoding-options.ts";
import { dtypeOption, threadsOption } from "../engines.ts";
import { featuresOption, openFeatures } from "../features.ts";
import { guidanceCurve, type GuidanceCurve } from "../guidance-curve.ts";
import { option, seedOption } from "../options.ts";
import { withPair } from "../pair.ts";
import { processesOption, samplingOptions } from "../sampling.ts";

export const command = defineCommand({
  meta: {
    name: "guidance-curve",
    summary:
      "Sample every class at rising guidance scales, and count the samples whose nearest training image has the class that was asked for.",
    examples: [
      [
        "tessera guidance-curve --tokenizer emoji --prior emoji-classes --tokens emoji-training --held-out emoji-held-out",
        "needs a prior trained with --conditional",
      ],
    ],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    prior: option(z.string().min(1), { describe: "Name or path of a conditional prior", alias: "p" }),
    tokens: option(z.string().min(1), { describe: "Name or path of the token set that the prior learnt" }),
    heldOut: option(z.string().min(1).optional(), {
      describe: "Token set of real images: the share that perfect samples would have",
    }),
    scales: option(z.string().min(1).default("0,1,1.5,2,3,5"), { describe: "Guidance scales, with commas between" }),
    count: option(z.int().min(1).max(100_000).default(100), {
      describe: "Images at each scale, over all classes alike",
      alias: "n",
    }),
    references: option(z.int().min(1).default(4096), {
      describe: "Images of each token set, at most, to be near to; spread evenly",
    }),
    ...drawOptions,
    ...guidanceScheduleOption,
    ...featuresOption,
    out: option(z.string().min(1).optional(), {
      describe: "Folder for the sheet (default artifacts/evaluation/<prior>)",
      alias: "o",
    }),
    ...dtypeOption,
    ...threadsOption,
    ...processesOption,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const scales = scalesIn(options.scales);
    return withPair(options, samplingOptions(options), async ({ tokenizer, prior }) => {
      const directory = artifactPath("evaluation", options.out ?? prior.name);
      await makeFolder(directory);
      const features = await openFeatures(tokenizer, options);
      try {
        const { count, references, seed, heldOut } = options;
        const curve = await guidanceCurve({
          ...{ tokenizer, prior, features, scales, count, references, seed, directory, reporter, signal },
          training: await openTokens(artifactPath("tokens", options.tokens)),
          heldOut: heldOut === undefined ? undefined : await openTokens(artifactPath("tokens", heldOut)),
          schedule: options.guidanceSchedule ?? "constant",
          decoding: drawRequest(options),
        });
        return {
          json: { ...curve, nearestBy: features?.name ?? "tokens", dtype: prior.dtype },
          text: toText(curve, features),
        };
      } finally {
        await features?.dispose();
      }
    });
  },
});

/** @throws usage unless all are numbers ≥ 0 */
function scalesIn(list: string): number[] {
  const words = list.split(",").map((word) => word.trim());
  const scales = words.map((word) => (word === "" ? NaN : Number(word)));
  if (scales.every((scale) => Number.isFinite(scale) && scale >= 0)) return scales;
  throw usageError({ what: "no list of scales", where: "--scales", expected: "numbers ≥ 0, as in 1,2,4", got: list });
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function toText({ points, chance, heldOut, sheet }: GuidanceCurve, features: FeatureExtractor | undefined): string {
  const classes = Object.keys(points[0]?.shares ?? {});
  return [
    formatTable([
      ["scale", "of the class asked for", ...classes],
      ...points.map(({ scale, share, shares }) => [
        String(scale),
        percent(share),
        ...classes.map((name) => percent(shares[name] ?? NaN)),
      ]),
    ]),
    "",
    `The nearest training image is the nearest by ${features?.name ?? "tokens"}. By chance it would have the class in ${percent(chance)}${Number.isNaN(heldOut) ? "" : `; of real held-out images, all classes alike, it has it in ${percent(heldOut)}`}.`,
    "",
    formatTable([["sheet", sheet]]),
  ].join("\n");
}
