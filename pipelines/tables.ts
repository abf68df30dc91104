/** Figures as people read them. */
import type { TokenizerFigures } from "../stage1-tokenizer/index.ts";

export function figureRows(figures: TokenizerFigures): string[][] {
  return [
    ["held-out PSNR", `${figures.psnr.toFixed(2)} dB`],
    ["held-out NMSE", figures.nmse.toFixed(4)],
    ["codes used", `${figures.codesUsed} (${(figures.usage * 100).toFixed(1)} %)`],
    ["perplexity", figures.perplexity.toFixed(1)],
  ];
}
