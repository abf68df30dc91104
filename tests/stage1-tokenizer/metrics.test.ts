import { describe, expect, test } from "vitest";
import { createCodeMeter, createReconstructionMeter, pixelVariance, psnrOf } from "../../stage1-tokenizer/metrics.ts";

/** Grey images of one pixel. */
const grey = (...levels: readonly number[]): Uint8Array =>
  Uint8Array.from(levels.flatMap((level) => [level, level, level]));

describe("reconstruction", () => {
  test("PSNR is that of the mean error, not the mean of PSNRs", () => {
    const meter = createReconstructionMeter();
    meter.add(grey(0, 100), grey(0, 110), [1, 1]); // MSE 50
    meter.add(grey(200, 100), grey(230, 100), [1, 1]); // MSE 450
    const { mse, nmse, psnr } = meter.figures();
    expect(mse).toBe(250);
    expect(psnr).toBeCloseTo(10 * Math.log10(65025 / 250), 9);
    expect(nmse).toBeCloseTo(250 / 5000, 9); // variance of 0, 100, 200, 100
  });

  test("SSIM is the mean over images: one is whole, the other's means are 100 and 0", () => {
    const meter = createReconstructionMeter();
    meter.add(grey(50, 100), grey(50, 0), [1, 1]);
    expect(meter.figures().ssim).toBeCloseTo((1 + 6.5025 / (10_000 + 6.5025)) / 2, 12);
  });

  test("a known figure: an error of one level everywhere is 48.13 dB; none is infinite", () => {
    expect(psnrOf(1)).toBeCloseTo(48.13, 2);
    expect(psnrOf(0)).toBe(Infinity);
  });

  test("batching changes nothing", () => {
    const originals = grey(1, 50, 200, 9);
    const copies = grey(3, 40, 255, 9);
    const [whole, parts] = [createReconstructionMeter(), createReconstructionMeter()];
    whole.add(originals, copies, [2, 1]);
    parts.add(originals.subarray(0, 6), copies.subarray(0, 6), [2, 1]);
    parts.add(originals.subarray(6), copies.subarray(6), [2, 1]);
    expect(parts.figures()).toEqual(whole.figures());
  });

  test("arrays of different lengths and an empty set are refused", () => {
    expect(() => createReconstructionMeter().add(new Uint8Array(3), new Uint8Array(6), [1, 1])).toThrow(/3 and 6/);
    expect(() => createReconstructionMeter().figures()).toThrow(/no image/);
  });
});

describe("codes", () => {
  test("usage, perplexity and rate over a full pass", () => {
    const meter = createCodeMeter(8);
    meter.add(Int32Array.of(0, 1), 1);
    meter.add(Int32Array.of(2, 3, 0, 1, 2, 3), 3);
    const { perplexity, entropyBitsPerImage, ...exact } = meter.figures();
    expect(exact).toEqual({ usage: 0.5, codesUsed: 4, bitsPerImage: 6 });
    expect(perplexity).toBeCloseTo(4, 9);
    expect(entropyBitsPerImage).toBeCloseTo(4, 9); // two tokens of two bits
  });

  test("an ideal code costs as much as a fixed length where codes are equally frequent, nothing where there is one", () => {
    const [even, single] = [createCodeMeter(6), createCodeMeter(6)];
    even.add(Int32Array.of(0, 1, 2, 3, 4, 5), 2);
    single.add(Int32Array.of(5, 5, 5, 5), 2);
    expect(even.figures().entropyBitsPerImage).toBeCloseTo(even.figures().bitsPerImage, 12);
    expect(even.figures().bitsPerImage).toBeCloseTo(3 * Math.log2(6), 12);
    expect(single.figures()).toMatchObject({ bitsPerImage: 2 * Math.log2(6), entropyBitsPerImage: 0 });
  });

  test("nothing at all costs nothing", () => {
    expect(createCodeMeter(4).figures()).toEqual({
      ...{ usage: 0, codesUsed: 0, perplexity: 0, bitsPerImage: 0, entropyBitsPerImage: 0 },
    });
  });

  test.each([-1, 8])("id %i is refused, not clamped", (token) => {
    expect(() => createCodeMeter(8).add(Int32Array.of(token), 1)).toThrow(/0 … 7, got/);
  });
});

test("pixelVariance is on the 0 … 1 scale, over all images", () => {
  expect(pixelVariance([Uint8Array.of(0, 0), Uint8Array.of(255, 255)])).toBeCloseTo(0.25, 9);
  expect(() => pixelVariance([])).toThrow(/no image/);
});
