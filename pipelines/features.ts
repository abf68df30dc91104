/** Which features distances are measured on: the file a user gives after `--features`, or the tokenizer's own encoder. */
import { z } from "zod";

import {
  hasTokenizerFeatures,
  openFeatureExtractor,
  tokenizerFeatures,
  type FeatureExtractor,
  type Tokenizer,
} from "../stage1-tokenizer/index.ts";
import { sessionOptions } from "./engines.ts";
import { option } from "./options.ts";

export const featuresOption = {
  features: option(z.string().min(1).optional(), {
    describe: "ONNX file, images to vectors, for the Fréchet distance (default: the tokenizer's encoder)",
  }),
};

export const NO_FEATURES = "was made by an older version and holds no features.onnx; --features takes a file";

/** Undefined where no file is given and the tokenizer has no features. @throws as `openFeatureExtractor` and `tokenizerFeatures`. */
export async function openFeatures(
  { directory, spec }: Tokenizer,
  options: { features?: string | undefined; threads?: number | undefined },
): Promise<FeatureExtractor | undefined> {
  const session = sessionOptions(options);
  if (options.features !== undefined) return openFeatureExtractor(options.features, spec.imageSize, session);
  return (await hasTokenizerFeatures(directory)) ? tokenizerFeatures(directory, session) : undefined;
}
