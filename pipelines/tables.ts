/** Figures as people read them. */
import type { TokenizerFigures } from "../stage1-tokenizer/index.ts";

/** @param of the images measured, as an adjective: "held-out"; none for any images */
export function figureRows(figures: TokenizerFigures, of = "held-out"): string[][] {
  const named = (figure: string): string => (of === "" ? figure : `${of} ${figure}`);
  return [
    [named("PSNR"), `${figures.psnr.toFixed(2)} dB`],
    [named("NMSE"), figures.nmse.toFixed(4)],
    [named("SSIM"), figures.ssim.toFixed(4)],
    ["codes used", `${figures.codesUsed} (${(figures.usage * 100).toFixed(1)} %)`],
    ["perplexity", figures.perplexity.toFixed(1)],
    ["bits an image", `${figures.bitsPerImage.toFixed(0)}, entropy-coded ${figures.entropyBitsPerImage.toFixed(0)}`],
  ];
}
