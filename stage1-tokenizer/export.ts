/**
 * Publishes a trained tokenizer: encoder and decoder graphs traced from the training code with the weights frozen in, the weights, the
 * configuration and a model card. See artifacts/README.md for the contract.
 */
import { createProvenance, publishArtifact, type Provenance } from "../shared/artifact.ts";
import type { Arrays, PureFunction, Signature } from "../shared/engine/engine.ts";
import { exportFunction } from "../shared/engine/export.ts";
import { fingerprintTokenizer } from "../shared/fingerprint.ts";
import { entryOf } from "../shared/nn/state.ts";
import { encodeState } from "../shared/train/checkpoint.ts";
import { gridOf, type TokenizerConfig } from "./config.ts";
import type { TokenizerFigures } from "./evaluate.ts";
import type { Preprocessing } from "./images/index.ts";
import { evaluationState, imagesToTokens, tokensToImages } from "./model/tokenize.ts";

export interface TrainedTokenizer {
  readonly config: TokenizerConfig;
  readonly preprocessing: Preprocessing;
  readonly state: { readonly spec: Signature; readonly values: Arrays };
  readonly figures: TokenizerFigures;
}

export interface PublishTokenizerOptions {
  readonly directory: string;
  readonly provenance?: Partial<Provenance>;
  readonly overwrite?: boolean;
}

/** @returns the fingerprint. @throws usage if the directory exists; failure if the disk refuses. */
export async function publishTokenizer(trained: TrainedTokenizer, options: PublishTokenizerOptions): Promise<string> {
  const { config, preprocessing, figures } = trained;
  const state = { spec: evaluationState(trained.state.spec), values: evaluationState(trained.state.values) };
  const { encoder, decoder } = exportGraphs(config, state);
  const fingerprint = fingerprintTokenizer(encoder, preprocessing);
  await publishArtifact({
    directory: options.directory,
    kind: "tokenizer",
    config,
    preprocessing,
    fingerprint,
    provenance: createProvenance({ ...options.provenance, metrics: { ...figures } }),
    overwrite: options.overwrite ?? false,
    files: {
      "encoder.onnx": encoder,
      "decoder.onnx": decoder,
      "model.safetensors": encodeState(state),
      "config.json": `${JSON.stringify(config, null, 2)}\n`,
      "README.md": modelCard(trained, fingerprint),
    },
  });
  return fingerprint;
}

/** `encoder`: image uint8 [N,H,W,3] → tokens int64 [N,h,w]; `decoder`: tokens int64 [N,h,w] → image uint8 [N,H,W,3]. */
export function exportGraphs(
  config: TokenizerConfig,
  state: { readonly spec: Signature; readonly values: Arrays },
): { encoder: Uint8Array; decoder: Uint8Array } {
  const { imageSize } = config;
  const [height, width] = gridOf(config);
  const encode: PureFunction = (inputs) => ({ tokens: imagesToTokens(config, inputs, entryOf(inputs, "image")) });
  const decode: PureFunction = (inputs) => ({ image: tokensToImages(config, inputs, entryOf(inputs, "tokens")) });
  return {
    encoder: exportFunction(encode, {
      name: "tessera-encoder",
      doc: `image: uint8 [N, ${imageSize}, ${imageSize}, 3], sRGB. tokens: int64 [N, ${height}, ${width}], 0 … ${config.codebookSize - 1}.`,
      inputs: { image: { shape: ["N", imageSize, imageSize, 3], dtype: "uint8" } },
      outputTypes: { tokens: "int64" },
      weights: state,
    }),
    decoder: exportFunction(decode, {
      name: "tessera-decoder",
      doc: `tokens: int64 [N, ${height}, ${width}], 0 … ${config.codebookSize - 1}. image: uint8 [N, ${imageSize}, ${imageSize}, 3], sRGB.`,
      inputs: { tokens: { shape: ["N", height, width], dtype: "int64" } },
      outputTypes: { image: "uint8" },
      weights: state,
    }),
  };
}

function modelCard({ config, figures }: TrainedTokenizer, fingerprint: string): string {
  const [height, width] = gridOf(config);
  return `# Tessera tokenizer

Images ${config.imageSize}×${config.imageSize} ↔ ${height}×${width} tokens of a codebook of ${config.codebookSize} (D = ${config.codeDimension}, ${config.quantizer}).

- \`encoder.onnx\`: \`image\` uint8 [N, ${config.imageSize}, ${config.imageSize}, 3] (sRGB) → \`tokens\` int64 [N, ${height}, ${width}]
- \`decoder.onnx\`: \`tokens\` int64 [N, ${height}, ${width}] → \`image\` uint8 [N, ${config.imageSize}, ${config.imageSize}, 3]
- \`model.safetensors\`: the weights by name; \`manifest.json\`: digests, preprocessing, provenance
- fingerprint \`${fingerprint}\`

On the held-out images at the end of training: PSNR ${figures.psnr.toFixed(2)} dB, NMSE ${figures.nmse.toFixed(4)}, ${figures.codesUsed} of
${config.codebookSize} codes used, perplexity ${figures.perplexity.toFixed(1)}.
`;
}
