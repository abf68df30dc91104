/** `tessera evaluate-tokenizer`: what a tokenizer keeps, what its tokens cost, and how fast it is. */
import { z } from "zod";

import {
  describeImageFailure,
  loadTokenizer,
  takeEvenly,
  type FeatureExtractor,
} from "../../stage1-tokenizer/index.ts";
import { artifactPath } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { dtypeOption, graphOptions, sessionOptions, threadsOption } from "../engines.ts";
import { measureDtypeCost, type DtypeCost } from "../dtype-cost.ts";
import { evaluateTokenizer, type Evaluation } from "../evaluate-tokenizer.ts";
import { featuresOption, NO_FEATURES, openFeatures } from "../features.ts";
import { option } from "../options.ts";
import { openSplitSource, recordsOf, sourceOptions, splitOptionWith } from "../sources.ts";
import { figureRows } from "../tables.ts";

export const command = defineCommand({
  meta: {
    name: "evaluate-tokenizer",
    summary:
      "Measure a published tokenizer on images: distortion, rate, use of the codes, Fréchet distance between originals and reconstructions, and throughput.",
    examples: [
      ["tessera evaluate-tokenizer --tokenizer emoji --source emoji", "on the held-out families"],
      ["tessera evaluate-tokenizer --tokenizer emoji --source emoji --dtype int8", "and what int8 costs and brings"],
      [
        "tessera evaluate-tokenizer --tokenizer photos --source photos --features inception.onnx --json",
        "distance on another network's features",
      ],
    ],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    ...sourceOptions,
    ...splitOptionWith("held-out"),
    count: option(z.int().min(1).optional(), { describe: "Images at most, spread evenly (default: all)", alias: "n" }),
    ...featuresOption,
    ...dtypeOption,
    ...threadsOption,
  }),
  async run(options, { reporter, signal }) {
    const all = recordsOf(await openSplitSource(options, reporter), options.split);
    const records = options.count === undefined ? all : takeEvenly(all, options.count);
    const directory = artifactPath("tokenizer", options.tokenizer);
    const tokenizer = await loadTokenizer(directory, graphOptions(options));
    const float32 = options.dtype === "int8" ? await loadTokenizer(directory, sessionOptions(options)) : undefined;
    let features: FeatureExtractor | undefined;
    try {
      features = await openFeatures(tokenizer, options);
      if (features === undefined) reporter.warn(`no Fréchet distance: ${tokenizer.directory} ${NO_FEATURES}`);
      const result = await evaluateTokenizer({
        tokenizer,
        records,
        features,
        onFailure: (failure) => reporter.warn(describeImageFailure(failure)),
        reporter,
        signal,
      });
      const cost = float32 && (await measureDtypeCost({ float32, int8: tokenizer, records, signal }));
      const rows = toRows(result, options.split === "all" ? "" : options.split);
      return {
        json: { ...toJson(result), dtype: options.dtype, ...costJson(result, cost) },
        text: formatTable([...rows, ...costRows(result, cost)]),
      };
    } finally {
      await Promise.all([tokenizer.dispose(), float32?.dispose(), features?.dispose()]);
    }
  },
});

function toJson({ images, failures, figures, frechet, throughput, ...rates }: Evaluation): Record<string, unknown> {
  return {
    images,
    failures,
    ...figures,
    ...rates,
    frechetDistance: frechet?.distance ?? null,
    features: frechet?.features ?? null,
    featureSize: frechet?.featureSize ?? null,
    timedImages: throughput.images,
    sourceSeconds: throughput.sourceSeconds,
    sourceImagesPerSecond: throughput.images / throughput.sourceSeconds,
    encodeSeconds: throughput.encodeSeconds,
    encodeImagesPerSecond: throughput.images / throughput.encodeSeconds,
  };
}

function toRows(result: Evaluation, of: string): string[][] {
  const { images, figures, frechet, throughput } = result;
  const rate = (seconds: number): string =>
    `${(throughput.images / seconds).toFixed(1)} images/s (${throughput.images} in ${seconds.toFixed(2)} s)`;
  return [
    ["images", String(images)],
    ...figureRows(figures, of),
    ["bits a pixel", `${result.bitsPerPixel.toFixed(3)}, entropy-coded ${result.entropyBitsPerPixel.toFixed(3)}`],
    ...(frechet === undefined ? [] : [[`Fréchet distance (${frechet.features})`, frechet.distance.toPrecision(5)]]),
    ["decode + preprocess", rate(throughput.sourceSeconds)],
    ["encode", rate(throughput.encodeSeconds)],
  ];
}

/** Null where there is nothing to compare with: in float32. */
function costJson({ figures }: Evaluation, cost: DtypeCost | undefined): Record<string, unknown> {
  return {
    float32Psnr: cost?.psnr ?? null,
    psnrCost: cost === undefined ? null : cost.psnr - figures.psnr,
    tokenAgreement: cost?.agreement ?? null,
    encodeSpeedup: cost === undefined ? null : cost.seconds.float32 / cost.seconds.int8,
  };
}

function costRows({ figures }: Evaluation, cost: DtypeCost | undefined): string[][] {
  if (cost === undefined) return [];
  const { float32, int8 } = cost.seconds;
  return [
    ["PSNR in float32", `${cost.psnr.toFixed(2)} dB: int8 costs ${(cost.psnr - figures.psnr).toFixed(3)} dB`],
    ["tokens as in float32", `${(100 * cost.agreement).toFixed(2)} %`],
    [
      "encoding in int8",
      `${(float32 / int8).toFixed(2)} times as fast (${int8.toFixed(2)} s for ${float32.toFixed(2)} s)`,
    ],
  ];
}
