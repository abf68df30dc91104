/** Figures as people read them. */
import type { ModelFigures } from "../stage1-tokenizer/index.ts";

/** @param of the images measured, as an adjective: "held-out"; none for any images */
export function figureRows(figures: ModelFigures, of = "held-out"): string[][] {
  const named = (figure: string): string => (of === "" ? figure : `${of} ${figure}`);
  const row = (name: string, value: number | undefined, form: (value: number) => string): string[][] =>
    value === undefined ? [] : [[name, form(value)]];
  const fixed =
    (digits: number, unit = "") =>
    (value: number): string =>
      `${value.toFixed(digits)}${unit}`;
  const { codesUsed, usage = 0, activeUnits, latentUnits = 0 } = figures;
  return [
    ...row(named("PSNR"), figures.psnr, fixed(2, " dB")),
    ...row(named("NMSE"), figures.nmse, fixed(4)),
    ...row(named("SSIM"), figures.ssim, fixed(4)),
    ...row("codes used", codesUsed, (used) => `${used} (${(usage * 100).toFixed(1)} %)`),
    ...row("perplexity", figures.perplexity, fixed(1)),
    ...row(
      "bits an image",
      figures.bitsPerImage,
      (bits) => `${bits.toFixed(0)}, entropy-coded ${(figures.entropyBitsPerImage ?? NaN).toFixed(0)}`,
    ),
    ...row(named("ELBO"), figures.elbo, fixed(1, " nats an image")),
    ...row("  reconstruction", figures.reconstructionNats, fixed(1, " nats an image")),
    ...row("  KL divergence", figures.klNats, fixed(1, " nats an image")),
    ...row(named("bits/dim"), figures.bitsPerDim, fixed(3)),
    ...row("active latents", activeUnits, (active) => `${active} of ${latentUnits}`),
  ];
}
