/** Figures of a VAE over a whole pass, by hand; what the batches were must not matter. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { createLatentMeter, type LatentFigures } from "../../stage1-tokenizer/latent-metrics.ts";

interface Image {
  readonly nats: readonly [reconstruction: number, kl: number];
  readonly means: readonly number[];
}
const IMAGE_VALUES = 12;

function figuresOf(...batches: readonly (readonly Image[])[]): LatentFigures {
  const meter = createLatentMeter(IMAGE_VALUES);
  for (const images of batches)
    meter.add({
      reconstructionNats: Float32Array.from(images, ({ nats }) => nats[0]),
      klNats: Float32Array.from(images, ({ nats }) => nats[1]),
      means: Float32Array.from(images.flatMap(({ means }) => means)),
    });
  return meter.figures();
}
const image = (means: readonly number[], nats: Image["nats"] = [1, 1]): Image => ({ means, nats });

describe("the latent meter", () => {
  test("by hand: means over images, the bound as their negative sum, bits a value", () => {
    const figures = figuresOf([image([0], [10, 2]), image([0], [20, 4])], [image([0], [30, 9])]);
    expect(figures).toMatchObject({ reconstructionNats: 20, klNats: 5, elbo: -25 });
    expect(figures.bitsPerDim).toBeCloseTo(25 / 12 / Math.log(2), 12);
  });

  test("bits/dim of 256 equally likely levels are 8", () => {
    expect(figuresOf([image([0], [IMAGE_VALUES * Math.log(256), 0])]).bitsPerDim).toBeCloseTo(8, 6);
  });

  test("a unit is active if its mean varies by more than 0.01 over the images; a constant one has collapsed, wherever it is", () => {
    const spread = (variance: number, i: number): number => (i % 2 === 0 ? 1 : -1) * Math.sqrt(variance);
    const images = Array.from({ length: 8 }, (_, i) =>
      image([0, 5, spread(0.0099, i), 5 + spread(0.0102, i), spread(4, i)]),
    );
    expect(figuresOf(images)).toMatchObject({ activeUnits: 2, latentUnits: 5 });
    expect(figuresOf(images.slice(0, 3), images.slice(3))).toMatchObject({ activeUnits: 2, latentUnits: 5 });
  });

  test("a posterior that is the prior for every image has no active unit; one image alone has none either", () => {
    const collapsed = Array.from({ length: 5 }, () => image([0, 0, 0], [7, 0]));
    expect(figuresOf(collapsed)).toMatchObject({ activeUnits: 0, klNats: 0, elbo: -7 });
    expect(figuresOf([image([3, -8])])).toMatchObject({ activeUnits: 0, latentUnits: 2 });
  });

  test("a small variance on a large mean is still seen", () => {
    const rng = Rng.fromSeed(3);
    const images = Array.from({ length: 500 }, () => image([300 + 0.2 * rng.normal(), 300 + 0.02 * rng.normal()]));
    expect(figuresOf(images).activeUnits).toBe(1);
  });

  test("does not depend on how the images fall into batches", () => {
    const number = fc.integer({ min: -16, max: 16 }).map((value) => value / 8);
    const images = fc.array(fc.record({ nats: fc.tuple(number, number), means: fc.tuple(number, number, number) }), {
      minLength: 2,
      maxLength: 12,
    });
    fc.assert(
      fc.property(images, fc.nat(10), (all, cut) => {
        const at = 1 + (cut % (all.length - 1));
        expect(figuresOf(all.slice(0, at), all.slice(at))).toEqual(figuresOf(all));
      }),
    );
  });

  test("nothing at all is bad input (3), and images of other latents are a bug", () => {
    expect(() => createLatentMeter(IMAGE_VALUES).figures()).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
    expect(() => figuresOf([image([1, 2])], [image([1, 2, 3])])).toThrow("2 latents, got 3");
  });
});
