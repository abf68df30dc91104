/** Figures over a whole pass: what the batches were must not matter. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { measureTokenizer, type Reconstructed } from "../../stage1-tokenizer/evaluate.ts";

async function* of(...batches: readonly Reconstructed[]): AsyncGenerator<Reconstructed> {
  for (const batch of batches) yield await Promise.resolve(batch);
}
/** Grey images of one pixel, a token each. */
const batch = (originals: readonly number[], reconstructions: readonly number[], tokens: readonly number[]): Reconstructed => ({
  originals: Uint8Array.from(originals.flatMap((level) => [level, level, level])),
  reconstructions: Uint8Array.from(reconstructions.flatMap((level) => [level, level, level])),
  size: [1, 1],
  tokens: Int32Array.from(tokens),
}); // prettier-ignore

describe("measureTokenizer", () => {
  test("by hand: errors 3, 4, 0, 0 of originals 0, 10, 0, 10; three codes of four", async () => {
    const figures = await measureTokenizer(of(batch([0, 10], [3, 14], [0, 1]), batch([0, 10], [0, 10], [1, 3])), 4);
    expect(figures.mse).toBe(25 / 4);
    expect(figures.nmse).toBe(25 / 4 / 25);
    expect(figures.psnr).toBeCloseTo(10 * Math.log10((255 * 255) / 6.25), 12);
    expect(figures.ssim).toBeCloseTo((6.5025 / 15.5025 + 286.5025 / 302.5025 + 2) / 4, 12);
    expect(figures).toMatchObject({ usage: 0.75, codesUsed: 3, bitsPerImage: 2 });
    expect(figures.perplexity).toBeCloseTo(2 ** 1.5, 12); // 1/4, 1/2, 1/4: 1.5 bits
    expect(figures.entropyBitsPerImage).toBeCloseTo(1.5, 12);
  });

  test("counts tokens by image, not by batch or pixel", async () => {
    const [pixels, tokens] = [new Uint8Array(3 * 4 * 2 * 3), Int32Array.of(0, 1, 0, 1, 0, 1)];
    const images = { originals: pixels, reconstructions: pixels, size: [4, 2], tokens } as const;
    expect(await measureTokenizer(of(images), 16)).toMatchObject({ bitsPerImage: 8, entropyBitsPerImage: 2 });
  });

  test("does not depend on how the images fall into batches", async () => {
    const level = fc.nat({ max: 255 });
    const image = fc.tuple(level, level, fc.nat({ max: 7 }));
    await fc.assert(
      fc.asyncProperty(fc.array(image, { minLength: 1, maxLength: 20 }), fc.nat(20), async (images, cut) => {
        const toBatch = (part: typeof images): Reconstructed =>
          batch(part.map(([x]) => x), part.map(([, y]) => y), part.map(([, , token]) => token)); // prettier-ignore
        const whole = await measureTokenizer(of(toBatch(images)), 8);
        expect(await measureTokenizer(of(toBatch(images.slice(0, cut)), toBatch(images.slice(cut))), 8)).toEqual(whole);
      }),
      { numRuns: 100 },
    );
  });

  test("a perfect reconstruction has no error", async () => {
    const figures = await measureTokenizer(of(batch([1, 2], [1, 2], [0, 0])), 2);
    expect(figures).toEqual({
      ...{ mse: 0, nmse: 0, psnr: Infinity, ssim: 1 },
      ...{ usage: 0.5, codesUsed: 1, perplexity: 1, bitsPerImage: 1, entropyBitsPerImage: 0 },
    });
  });

  test("no image at all is bad input (3)", async () => {
    await expect(measureTokenizer(of(), 4)).rejects.toMatchObject({ exitCode: 3 });
  });

  test.each([4, -1])("the id %d of a codebook of 4 is bad input (3)", async (token) => {
    await expect(measureTokenizer(of(batch([0], [0], [token])), 4)).rejects.toMatchObject({ exitCode: 3 });
  });
});
