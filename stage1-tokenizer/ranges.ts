/**
 * Ranges of a tokenizer's activations: measured on images when it is published, kept beside its graphs, read when it is loaded to compute in int8. They
 * belong to the artefact, so that an image's tokens in int8 depend on artefact and image alone.
 */
import { z } from "zod";
import { parseConfig } from "../shared/config.ts";
import { badInput } from "../shared/errors.ts";
import { createRangeMeter } from "../shared/onnx/quantize/ranges.ts";
import type { Ranges } from "../shared/onnx/quantize/convolutions.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import type { TensorValue } from "../shared/onnx/session.ts";
import { streamImages, takeEvenly, type Preprocessing, type Records } from "./images/index.ts";

/** In a tokenizer's artefact; absent from those of older versions and of other makes. */
export const RANGES_FILE = "ranges.json";

const ranges = z.record(z.string(), z.tuple([z.number(), z.number()]));
const schema = z.strictObject({
  /** How many images they were measured on. */
  images: z.int().positive(),
  /** By value of encoder.onnx, and of decoder.onnx. */
  encoder: ranges,
  decoder: ranges,
});

export interface TokenizerRanges {
  readonly images: number;
  readonly encoder: Ranges;
  readonly decoder: Ranges;
}

/** Enough that a further image hardly widens a range. */
const IMAGES = 256;
const BATCH = 16;

/** The images that ranges are measured on: uint8 [N, H, W, 3], spread evenly over the records. @throws bad-input if none can be decoded */
export async function takeRangeImages(records: Records, preprocessing: Preprocessing): Promise<Uint8Array> {
  const chosen = takeEvenly(records, IMAGES).records();
  const batches: Uint8Array[] = [];
  for await (const { images } of streamImages({
    records: chosen,
    preprocessing,
    batchSize: BATCH,
    onFailure: () => undefined,
  }))
    // prettier-ignore
    batches.push(images);
  return new Uint8Array(Buffer.concat(batches));
}

export interface MeasuredGraphs {
  /** Bytes of encoder.onnx and decoder.onnx. */
  readonly encoder: Uint8Array;
  readonly decoder: Uint8Array;
  /** H = W */
  readonly imageSize: number;
}

/** Encodes and decodes the images in float32. @param images uint8 [N, H, W, 3], N ≥ 1 */
export async function measureRanges(graphs: MeasuredGraphs, images: Uint8Array): Promise<TokenizerRanges> {
  const { imageSize } = graphs;
  const length = imageSize * imageSize * 3;
  const encoder = await createRangeMeter(decodeModel(graphs.encoder, "encoder.onnx"));
  const decoder = await createRangeMeter(decodeModel(graphs.decoder, "decoder.onnx"));
  try {
    for (let start = 0; start < images.length; start += BATCH * length) {
      const data = images.subarray(start, start + BATCH * length);
      const shape = [data.length / length, imageSize, imageSize, 3];
      const { tokens } = await encoder.run({ image: { type: "uint8", shape, data } });
      await decoder.run({ tokens: tokens as TensorValue });
    }
    return { images: images.length / length, encoder: encoder.ranges(), decoder: decoder.ranges() };
  } finally {
    await Promise.all([encoder.dispose(), decoder.dispose()]);
  }
}

export const encodeRanges = (measured: TokenizerRanges): string => `${JSON.stringify(measured, null, 2)}\n`;

/** @throws bad-input naming what is wrong */
export function decodeRanges(bytes: Uint8Array, where: string): TokenizerRanges {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw badInput({ what: "is no JSON", where, cause });
  }
  return parseConfig(schema, value, where);
}
