import { describe, expect, test } from "vitest";
import { createCodeMeter, createReconstructionMeter, pixelVariance, psnrOf } from "../../stage1-tokenizer/metrics.ts";

describe("reconstruction", () => {
  test("PSNR is that of the mean error, not the mean of PSNRs", () => {
    const meter = createReconstructionMeter();
    meter.add(Uint8Array.of(0, 100), Uint8Array.of(0, 110)); // MSE 50
    meter.add(Uint8Array.of(200, 100), Uint8Array.of(230, 100)); // MSE 450
    const { mse, nmse, psnr } = meter.figures();
    expect(mse).toBe(250);
    expect(psnr).toBeCloseTo(10 * Math.log10(65025 / 250), 9);
    expect(nmse).toBeCloseTo(250 / 5000, 9); // variance of 0, 100, 200, 100
  });

  test("a known figure: an error of one level everywhere is 48.13 dB; none is infinite", () => {
    expect(psnrOf(1)).toBeCloseTo(48.13, 2);
    expect(psnrOf(0)).toBe(Infinity);
  });

  test("batching changes nothing", () => {
    const originals = Uint8Array.of(1, 50, 200, 9);
    const copies = Uint8Array.of(3, 40, 255, 9);
    const [whole, parts] = [createReconstructionMeter(), createReconstructionMeter()];
    whole.add(originals, copies);
    parts.add(originals.subarray(0, 1), copies.subarray(0, 1));
    parts.add(originals.subarray(1), copies.subarray(1));
    expect(parts.figures()).toEqual(whole.figures());
  });

  test("arrays of different lengths and an empty set are refused", () => {
    expect(() => createReconstructionMeter().add(new Uint8Array(2), new Uint8Array(3))).toThrow(/2 and 3/);
    expect(() => createReconstructionMeter().figures()).toThrow(/no image/);
  });
});

describe("codes", () => {
  test("usage and perplexity over a full pass", () => {
    const meter = createCodeMeter(8);
    meter.add(Int32Array.of(0, 1));
    meter.add(Int32Array.of(2, 3));
    expect(meter.figures()).toEqual({ usage: 0.5, codesUsed: 4, perplexity: expect.closeTo(4, 9) as number });
  });

  test.each([-1, 8])("id %i is refused, not clamped", (token) => {
    expect(() => createCodeMeter(8).add(Int32Array.of(token))).toThrow(/0 … 7, got/);
  });
});

test("pixelVariance is on the 0 … 1 scale, over all images", () => {
  expect(pixelVariance([Uint8Array.of(0, 0), Uint8Array.of(255, 255)])).toBeCloseTo(0.25, 9);
  expect(() => pixelVariance([])).toThrow(/no image/);
});
