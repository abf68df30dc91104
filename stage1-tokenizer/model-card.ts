/** The README of a published model: what it is, its graphs, what was measured. */
import { type TokenizerConfig, gridOf, latentShapeOf, makesTokens } from "./config.ts";
import type { ModelFigures } from "./evaluate.ts";

export interface CardFields {
  readonly config: TokenizerConfig;
  readonly figures: ModelFigures;
  readonly fingerprint: string;
}

export function modelCard({ config, figures, fingerprint }: CardFields): string {
  const { imageSize, codebookSize, codeDimension, bottleneck } = config;
  const [height, width] = gridOf(config);
  const tokens = makesTokens(config);
  const code = tokens
    ? `\`tokens\` int64 [N, ${height}, ${width}]`
    : `\`latent\` float32 [N, ${latentShapeOf(config).join(", ")}]`;
  const what = tokens
    ? `${height}×${width} tokens of ${codebookSize} codes (${bottleneck}, D = ${codeDimension})`
    : `continuous latents (${bottleneck}, D = ${codeDimension}), no tokens`;
  return `# Tessera ${tokens ? "tokenizer" : "autoencoder"}

Images ${imageSize}×${imageSize} ↔ ${what}.

- \`encoder.onnx\`: \`image\` uint8 [N, ${imageSize}, ${imageSize}, 3] (sRGB) → ${code}
- \`decoder.onnx\`: ${code} → \`image\` uint8 [N, ${imageSize}, ${imageSize}, 3]
- \`features.onnx\`: \`image\` → \`features\` float32 [N, ${config.hidden}], for Fréchet distances between sets of images
- \`model.safetensors\`: the weights by name; \`manifest.json\`: digests, preprocessing, provenance
- fingerprint \`${fingerprint}\`

On the held-out images at the end of training:

${Object.entries(figures)
  .map(([name, value]) => `- ${name} ${Number(value.toPrecision(5))}`)
  .join("\n")}
`;
}
