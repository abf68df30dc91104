/**
 * Publishes a trained model: the graphs traced from the training code with the weights frozen in, the weights, the configuration and a model
 * card. Models that make tokens become a tokenizer, the others an autoencoder. See artifacts/README.md for the contract.
 */
import { createProvenance, publishArtifact, type Provenance } from "../shared/artifact.ts";
import type { Arrays, PureFunction, Signature, Tensors } from "../shared/engine/engine.ts";
import { exportFunction, type ExportOptions } from "../shared/engine/export.ts";
import { fingerprintTokenizer } from "../shared/fingerprint.ts";
import { entryOf } from "../shared/nn/state.ts";
import { finiteEntries } from "../shared/records.ts";
import { encodeState } from "../shared/train/checkpoint.ts";
import { createContinuous } from "./bottleneck/create-bottleneck.ts";
import { gridOf, makesTokens, type TokenizerConfig } from "./config.ts";
import type { ModelFigures } from "./evaluate.ts";
import type { Preprocessing } from "./images/index.ts";
import {
  evaluationState,
  imagesToFeatures,
  imagesToLatents,
  imagesToTokens,
  latentsToImages,
  tokensToImages,
} from "./model/tokenize.ts";
import { modelCard } from "./model-card.ts";
import { encodeRanges, measureRanges, RANGES_FILE, type MeasuredGraphs, type TokenizerRanges } from "./ranges.ts";

export interface TrainedTokenizer {
  readonly config: TokenizerConfig;
  readonly preprocessing: Preprocessing;
  readonly state: { readonly spec: Signature; readonly values: Arrays };
  readonly figures: ModelFigures;
  /** uint8 [N, H, W, 3], held out where any are: what ranges for int8 are measured on; without them the tokenizer computes in float32 only. */
  readonly rangeImages?: Uint8Array;
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
  const { encoder, decoder, features } = exportGraphs(config, state);
  const fingerprint = fingerprintTokenizer(encoder, preprocessing);
  const ranges = await rangesOf(trained, { encoder, decoder, imageSize: config.imageSize });
  await publishArtifact({
    directory: options.directory,
    kind: makesTokens(config) ? "tokenizer" : "autoencoder",
    config,
    preprocessing,
    fingerprint,
    provenance: createProvenance({
      ...options.provenance,
      metrics: finiteEntries({ ...figures, ...options.provenance?.metrics }),
    }),
    overwrite: options.overwrite ?? false,
    files: {
      "encoder.onnx": encoder,
      "decoder.onnx": decoder,
      "features.onnx": features,
      ...(ranges === undefined ? {} : { [RANGES_FILE]: encodeRanges(ranges) }),
      "model.safetensors": encodeState(state),
      "config.json": `${JSON.stringify(config, null, 2)}\n`,
      "README.md": modelCard({ config, figures, fingerprint }),
    },
  });
  return fingerprint;
}

/** None of an autoencoder: its latents are numbers, which int8 would round. */
async function rangesOf(
  { config, rangeImages }: TrainedTokenizer,
  graphs: MeasuredGraphs,
): Promise<TokenizerRanges | undefined> {
  return rangeImages === undefined || !makesTokens(config) ? undefined : measureRanges(graphs, rangeImages);
}

interface Graphs {
  readonly encoder: Uint8Array;
  readonly decoder: Uint8Array;
  readonly features: Uint8Array;
}

/**
 * `encoder`: image uint8 [N, H, W, 3] → tokens int64 [N, h, w], or latent float32 [N, …] where there are no tokens; `decoder`: the way back;
 * `features`: image → features float32 [N, hidden], the encoder's last hidden map averaged over its positions.
 */
export function exportGraphs(
  config: TokenizerConfig,
  state: { readonly spec: Signature; readonly values: Arrays },
): Graphs {
  const { imageSize } = config;
  const code = makesTokens(config) ? tokenCode(config) : latentCode(config);
  const pixels = `image: uint8 [N, ${imageSize}, ${imageSize}, 3], sRGB`;
  const image = { shape: ["N", imageSize, imageSize, 3], dtype: "uint8" } as const;
  const file = (name: string, fn: PureFunction, options: Pick<ExportOptions, "doc" | "inputs" | "outputTypes">) =>
    exportFunction(fn, { name: `tessera-${name}`, ...options, weights: state });
  return {
    encoder: file("encoder", (inputs) => ({ [code.name]: code.encode(inputs) }), {
      doc: `${pixels}. ${code.doc}.`,
      inputs: { image },
      outputTypes: { [code.name]: code.type },
    }),
    decoder: file("decoder", (inputs) => ({ image: code.decode(inputs) }), {
      doc: `${code.doc}. ${pixels}.`,
      inputs: { [code.name]: { shape: ["N", ...code.shape], dtype: code.type } },
      outputTypes: { image: "uint8" },
    }),
    features: file("features", (inputs) => ({ features: imagesToFeatures(config, inputs, entryOf(inputs, "image")) }), {
      doc: `${pixels}. features: float32 [N, ${config.hidden}], the encoder's last hidden map averaged over its positions.`,
      inputs: { image },
      outputTypes: {},
    }),
  };
}

function tokenCode(config: TokenizerConfig) {
  const [height, width] = gridOf(config);
  return {
    name: "tokens",
    type: "int64",
    shape: [height, width],
    doc: `tokens: int64 [N, ${height}, ${width}], 0 … ${config.codebookSize - 1}`,
    encode: (inputs: Tensors) => imagesToTokens(config, inputs, entryOf(inputs, "image")),
    decode: (inputs: Tensors) => tokensToImages(config, inputs, entryOf(inputs, "tokens")),
  } as const;
}

function latentCode(config: TokenizerConfig) {
  const { latentShape } = createContinuous(config);
  return {
    name: "latent",
    type: "float32",
    shape: latentShape,
    doc: `latent: float32 [N, ${latentShape.join(", ")}]`,
    encode: (inputs: Tensors) => imagesToLatents(config, inputs, entryOf(inputs, "image")),
    decode: (inputs: Tensors) => latentsToImages(config, inputs, entryOf(inputs, "latent")),
  } as const;
}
