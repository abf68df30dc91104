/** Figures of a tokenizer over a set of images, whoever runs it: an engine during training, a published artefact afterwards. */
import { createCodeMeter, createReconstructionMeter, type CodeFigures, type ReconstructionFigures } from "./metrics.ts";

export type TokenizerFigures = ReconstructionFigures & CodeFigures;

export interface Reconstructed {
  /** [B, H, W, 3], 0 … 255 */
  readonly originals: Uint8Array;
  readonly reconstructions: Uint8Array;
  /** [H, W] */
  readonly size: readonly [height: number, width: number];
  /** [B, h, w] */
  readonly tokens: Int32Array;
}

/** One full pass: errors over all pixels, use of the codes over all tokens. @throws bad-input if `batches` is empty. */
export async function measureTokenizer(
  batches: AsyncIterable<Reconstructed>,
  codebookSize: number,
): Promise<TokenizerFigures> {
  const errors = createReconstructionMeter();
  const codes = createCodeMeter(codebookSize);
  for await (const { originals, reconstructions, size, tokens } of batches) {
    errors.add(originals, reconstructions, size);
    codes.add(tokens, originals.length / (size[0] * size[1] * 3));
  }
  return { ...errors.figures(), ...codes.figures() };
}
