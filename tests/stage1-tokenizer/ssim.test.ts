/** Structural similarity against its definition, written out window by window, and what must hold for any images. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { createSsimMeter } from "../../stage1-tokenizer/ssim.ts";

type Size = readonly [height: number, width: number];
const [C1, C2] = [6.5025, 58.5225];

function ssim(x: Uint8Array, y: Uint8Array, size: Size): number {
  const meter = createSsimMeter();
  meter.add(x, y, size);
  return meter.mean();
}

/** Every window with its two-dimensional weights and centred moments: nothing separable, nothing subtracted from squares. */
function slowly(x: Uint8Array, y: Uint8Array, [height, width]: Size, window: number): number {
  const half = (window - 1) / 2;
  const offsets = Array.from({ length: window * window }, (_, i) => [Math.floor(i / window), i % window] as const);
  const raw = offsets.map(([dy, dx]) => Math.exp(-((dy - half) ** 2 + (dx - half) ** 2) / (2 * 1.5 * 1.5)));
  const total = raw.reduce((a, b) => a + b, 0);
  const similarities: number[] = [];
  for (let channel = 0; channel < 3; channel++) {
    for (let top = 0; top + window <= height; top++) {
      for (let left = 0; left + window <= width; left++) {
        const at = offsets.map(([dy, dx]) => ((top + dy) * width + left + dx) * 3 + channel);
        const mean = (of: (i: number) => number): number =>
          at.reduce((sum, i, k) => sum + ((raw[k] ?? 0) / total) * of(i), 0);
        const [mx, my] = [mean((i) => x[i] ?? 0), mean((i) => y[i] ?? 0)];
        const [dx, dy] = [(i: number) => (x[i] ?? 0) - mx, (i: number) => (y[i] ?? 0) - my];
        const covariance = mean((i) => dx(i) * dy(i));
        const [vx, vy] = [mean((i) => dx(i) ** 2), mean((i) => dy(i) ** 2)];
        similarities.push(((2 * mx * my + C1) / (mx * mx + my * my + C1)) * ((2 * covariance + C2) / (vx + vy + C2)));
      }
    }
  }
  return similarities.reduce((a, b) => a + b, 0) / similarities.length;
}

function noise(length: number, seed: number): Uint8Array {
  return Uint8Array.from(Rng.fromSeed(seed).fill(length, (rng) => rng.integer(256)));
}
/** `image` with noise of up to ±`strength` levels. */
function disturbed(image: Uint8Array, strength: number, seed = 9): Uint8Array {
  const added = noise(image.length, seed);
  return image.map((level, i) => Math.min(255, Math.max(0, level + (((added[i] ?? 0) - 128) / 128) * strength)));
}

describe("structural similarity", () => {
  test.each<[Size, number]>([
    [[11, 11], 11],
    [[16, 13], 11],
    [[12, 40], 11],
    [[10, 20], 9],
    [[20, 9], 9],
    [[8, 8], 7],
    [[2, 5], 1],
    [[1, 1], 1],
  ])("of %j px is its definition with a window of %d", (size, window) => {
    const x = noise(size[0] * size[1] * 3, 1);
    for (const y of [noise(x.length, 2), disturbed(x, 30)]) {
      expect(ssim(x, y, size)).toBeCloseTo(slowly(x, y, size, window), 10);
    }
  });

  test("is 1 of an image with itself, symmetric, and between −1 and 1", () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 15 }), fc.integer({ min: 1, max: 15 }));
    const pairs = sizes.chain((size) => {
      const length = { minLength: size[0] * size[1] * 3, maxLength: size[0] * size[1] * 3 };
      return fc.record({ size: fc.constant(size), x: fc.uint8Array(length), y: fc.uint8Array(length) });
    });
    fc.assert(
      fc.property(pairs, ({ size, x, y }) => {
        expect(ssim(x, x, size)).toBeCloseTo(1, 9);
        const value = ssim(x, y, size);
        expect(value).toBe(ssim(y, x, size));
        expect(value).toBeLessThanOrEqual(1 + 1e-9);
        expect(value).toBeGreaterThanOrEqual(-1 - 1e-9);
      }),
      { numRuns: 100 },
    );
  });

  test("of two constant images is that of their means", () => {
    const constant = (level: number): Uint8Array => new Uint8Array(14 * 14 * 3).fill(level);
    for (const [a, b] of [[0, 255], [100, 110], [7, 7]] as const) {
      expect(ssim(constant(a), constant(b), [14, 14])).toBeCloseTo((2 * a * b + C1) / (a * a + b * b + C1), 9);
    }
  }); // prettier-ignore

  test("falls with the noise, and below 0 for a negative", () => {
    const x = noise(20 * 20 * 3, 3);
    const values = [0, 10, 40, 120].map((strength) => ssim(x, disturbed(x, strength), [20, 20]));
    expect(values).toEqual([...values].sort((a, b) => b - a));
    expect(new Set(values).size).toBe(4);
    expect(ssim(x, x.map((level) => 255 - level), [20, 20])).toBeLessThan(0); // prettier-ignore
  });
});

describe("the meter", () => {
  test("weighs images alike, whatever their batch or size", () => {
    const [length, small] = [16 * 12 * 3, 4 * 4 * 3];
    const [x, y] = [noise(3 * length, 4), noise(3 * length, 5)];
    const parts = [0, 1, 2].map((i) => [x.subarray(i * length, (i + 1) * length), y.subarray(i * length, (i + 1) * length)] as const); // prettier-ignore
    const [whole, single] = [createSsimMeter(), createSsimMeter()];
    whole.add(x, y, [16, 12]);
    for (const [a, b] of parts) single.add(a, b, [16, 12]);
    expect(whole.mean()).toBe(single.mean());
    expect(whole.mean()).toBeCloseTo(parts.reduce((sum, [a, b]) => sum + ssim(a, b, [16, 12]), 0) / 3, 12);
    whole.add(x.subarray(0, small), x.subarray(0, small), [4, 4]);
    expect(whole.mean()).toBeCloseTo((3 * single.mean() + 1) / 4, 12);
  });

  test("refuses what are no whole images, and to say anything of none", () => {
    const meter = createSsimMeter();
    expect(() => meter.add(new Uint8Array(48), new Uint8Array(96), [4, 4])).toThrow(/48 and 96/);
    expect(() => meter.add(new Uint8Array(47), new Uint8Array(47), [4, 4])).toThrow(/4×4/);
    expect(() => meter.add(new Uint8Array(0), new Uint8Array(0), [0, 4])).toThrow(/0×4/);
    expect(() => meter.mean()).toThrow(/no image/);
  });
});
