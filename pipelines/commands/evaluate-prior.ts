/** `tessera evaluate-prior`: priors of one tokenizer and counting baselines in one table and on one sheet. */
import { basename } from "node:path";
import { z } from "zod";

import { openTokens } from "../../shared/token-file/index.ts";
import { loadTokenizer, type FeatureExtractor } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import type { CodeLength } from "../code-lengths.ts";
import { defineCommand, formatTable } from "../command.ts";
import { drawOptions, drawRequest } from "../decoding-options.ts";
import { dtypeOption, sessionOptions, threadsOption } from "../engines.ts";
import { evaluatePriors, type PriorRow, type PriorsEvaluation } from "../evaluate-prior.ts";
import { featuresOption, NO_FEATURES, openFeatures } from "../features.ts";
import { option, seedOption } from "../options.ts";
import { processesOption, samplingOptions } from "../sampling.ts";
import { openSource, sourceOptions } from "../sources.ts";

export const command = defineCommand({
  meta: {
    name: "evaluate-prior",
    summary:
      "Judge any number of priors of one tokenizer beside what mere counting gives: held-out bits, how samples differ from data, copies of training images, and speed.",
    examples: [
      [
        "tessera evaluate-prior --tokenizer emoji --priors emoji-causal,emoji-masked --tokens emoji-training --held-out emoji-held-out",
        "two priors and three baselines, 64 samples each",
      ],
      [
        "tessera evaluate-prior --tokenizer emoji --priors emoji-causal --tokens emoji-training --held-out emoji-held-out --source emoji --json",
        "against the images themselves, and beside PNG and WebP",
      ],
      [
        "tessera evaluate-prior --tokenizer emoji --priors emoji-causal --tokens emoji-training --held-out emoji-held-out --dtype int8",
        "and what int8 costs in bits/token",
      ],
    ],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    priors: option(z.string().default(""), { describe: "Names or paths of priors, with commas between", alias: "p" }),
    tokens: option(z.string().min(1), { describe: "Name or path of the token set that the priors learnt" }),
    heldOut: option(z.string().min(1), { describe: "Name or path of the token set to measure on" }),
    source: option(sourceOptions.source.optional(), {
      describe: "Images that the tokens were made of, as for tokenize (default: decoded tokens stand for them)",
    }),
    count: option(z.int().min(1).max(100_000).default(64), { describe: "Samples of each", alias: "n" }),
    references: option(z.int().min(1).default(2048), {
      describe: "Images of each token set, at most, for features and file sizes; spread evenly",
    }),
    baselines: option(z.boolean().default(true), { describe: "Counting priors too; --no-baselines leaves them out" }),
    ...drawOptions,
    ...featuresOption,
    out: option(z.string().min(1).optional(), {
      describe: "Folder for the sheets (default artifacts/evaluation/<tokenizer's name>)",
      alias: "o",
    }),
    ...dtypeOption,
    ...threadsOption,
    ...processesOption,
    ...seedOption,
  }),
  async run(options, { reporter, signal }) {
    const tokenizerPath = artifactPath("tokenizer", options.tokenizer);
    const tokenizer = await loadTokenizer(tokenizerPath, sessionOptions(options));
    let features: FeatureExtractor | undefined;
    try {
      const { fingerprint } = tokenizer.spec;
      const training = await openTokens(artifactPath("tokens", options.tokens), { fingerprint });
      const heldOut = await openTokens(artifactPath("tokens", options.heldOut), { fingerprint });
      features = await openFeatures(tokenizer, options);
      if (features === undefined) reporter.warn(`no figures on features: ${tokenizerPath} ${NO_FEATURES}`);
      const directory = artifactPath("evaluation", options.out ?? basename(tokenizerPath));
      await makeFolder(directory);
      const { count, references, seed, baselines } = options;
      const result = await evaluatePriors({
        ...{ tokenizer, training, heldOut, features, count, references, seed, baselines, directory },
        decoding: drawRequest(options),
        graph: samplingOptions(options),
        priors: namesIn(options.priors).map((name) => artifactPath("prior", name)),
        source: options.source === undefined ? undefined : await openSource(options.source, reporter),
        ...{ reporter, signal },
      });
      return { json: toJson(result), text: toText(result) };
    } finally {
      await Promise.all([tokenizer.dispose(), features?.dispose()]);
    }
  },
});

const namesIn = (list: string): string[] =>
  list
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

/** Figures that cannot be had are null: JSON has no NaN. The indices behind the sheet are left out. */
function toJson({ rows, codeLengths, references, features, sheets }: PriorsEvaluation): Record<string, unknown> {
  return {
    priors: rows.map(({ mostMemorised: _sample, nearest: _image, ...figures }) => figures),
    codeLengths,
    references,
    features: features?.name ?? null,
    featureSize: features?.size ?? null,
    sheets,
  };
}

type Column = readonly [head: string, cell: (row: PriorRow) => string];

const number = (value: number, write: (value: number) => string): string => (Number.isNaN(value) ? "" : write(value));
const fixed = (value: number, digits: number): string => number(value, (given) => given.toFixed(digits));

const COLUMNS: readonly Column[] = [
  ["prior", ({ name }) => name],
  ["bits/token", ({ bitsPerToken, measure }) => `${fixed(bitsPerToken, 3)} ${measure ?? ""}`.trim()],
  ["bits/dim", ({ bitsPerDim }) => fixed(bitsPerDim, 4)],
  ["JS tokens", ({ tokenDivergence }) => fixed(tokenDivergence, 4)],
  ["JS pairs", ({ pairDivergence }) => fixed(pairDivergence, 4)],
  ["Fréchet held-out", ({ frechetHeldOut }) => number(frechetHeldOut, (value) => value.toPrecision(4))],
  ["training", ({ frechetTraining }) => number(frechetTraining, (value) => value.toPrecision(4))],
  ["precision", ({ precision }) => fixed(precision, 3)],
  ["recall", ({ recall }) => fixed(recall, 3)],
  ["most shared", ({ largestShare }) => `${(largestShare * 100).toFixed(1)} %`],
  ["copies", ({ copies, samples }) => `${copies} of ${samples}`],
  ["distance ratio", ({ distanceRatio }) => fixed(distanceRatio, 3)],
  ["steps", ({ steps }) => fixed(steps, 0)],
  ["s/image", ({ secondsPerImage }) => fixed(secondsPerImage, 3)],
  ["parameters", ({ parameters }) => number(parameters, (value) => value.toLocaleString("en-US"))],
];

function toText({ rows, codeLengths, references, features, sheets }: PriorsEvaluation): string {
  const onFeatures =
    features === undefined
      ? []
      : [
          `Fréchet distance, precision, recall and distance ratio on ${features.name} (${features.size}), of ${references.heldOut} held-out and ${references.training} training images.`,
          "distance ratio: median distance to the nearest training image over that of held-out images.",
        ];
  return [
    formatTable([COLUMNS.map(([head]) => head), ...rows.map((row) => COLUMNS.map(([, cell]) => cell(row)))]),
    "",
    ...onFeatures,
    'bits/token: "exact" and "bound" compare with each other; "masked" is the cost of masked tokens and no code length.',
    ...int8Lines(rows),
    ...(codeLengths.length === 0 ? [] : ["", formatTable(codeRows(codeLengths, references.heldOut))]),
    "",
    formatTable(Object.entries(sheets)),
  ].join("\n");
}

/** What int8 costs and buys, where it was asked for. */
function int8Lines(rows: readonly PriorRow[]): string[] {
  const table = rows.flatMap(({ name, bitsPerToken, int8Cost }) =>
    int8Cost === undefined
      ? []
      : [
          [
            name,
            fixed(int8Cost.float32BitsPerToken, 4),
            fixed(bitsPerToken, 4),
            `${int8Cost.addedBitsPerToken < 0 ? "" : "+"}${fixed(int8Cost.addedBitsPerToken, 4)}`,
            int8Cost.timeRatio.toFixed(2),
          ],
        ],
  );
  const head = ["arithmetic, held-out bits/token", "float32", "int8", "cost of int8", "times as fast, measuring"];
  return table.length === 0 ? [] : ["", formatTable([head, ...table])];
}

function codeRows(codeLengths: readonly CodeLength[], images: number): string[][] {
  return [
    [`code of ${images} held-out images`, "bits/dim", ""],
    ...codeLengths.map(({ name, bitsPerDim, lossless, psnr }) => [
      name,
      bitsPerDim.toFixed(4),
      lossless ? "lossless" : `lossy, ${psnr.toFixed(2)} dB PSNR`,
    ]),
  ];
}
