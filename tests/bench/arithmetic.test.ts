/** FLOP counts against the weights themselves (each is used once a position), and the fit of exponents. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { modelSpecs } from "../../stage1-tokenizer/model/convolutional.ts";
import { transformerSpecs } from "../../stage2-prior/model/weights.ts";
import { fitExponent, tokenizerFlops, transformerFlops } from "./arithmetic.ts";

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

describe("tokenizerFlops", () => {
  const base = { imageSize: 32, hidden: 8, residualHidden: 4, residualLayers: 2, codeDimension: 6, codebookSize: 16 };

  /** 2 × weights × positions of the smaller map that a kernel joins, side by side. */
  function fromWeights(size: typeof base & { stride: number }): { encode: number; decode: number; first: number } {
    const specs = modelSpecs({ ...size, encoderChannels: 6, decoderChannels: 6 });
    const flops = (name: string, shape: readonly number[]): number => {
      const level = Number(/\.(?:down|up)(\d)/.exec(name)?.[1] ?? NaN);
      const halvings = Math.log2(size.stride);
      const smaller = name.includes(".down") ? level + 1 : name.includes(".up") ? halvings - level : halvings;
      return 2 * product(shape) * (size.imageSize / 2 ** smaller) ** 2;
    };
    const total = (side: string): number =>
      Object.entries(specs)
        .filter(([name]) => name.startsWith(side) && name.endsWith(".kernel"))
        .reduce((sum, [name, { shape }]) => sum + flops(name, shape), 0);
    return { encode: total("encoder"), decode: total("decoder"), first: total("encoder.down0") };
  }

  test.each([2, 4, 8] as const)("counts every kernel at stride %i", (stride) => {
    const size = { ...base, stride };
    const weights = fromWeights(size);
    const nearest = 2 * (32 / stride) ** 2 * 16 * 6;
    const { encode, decode, step } = tokenizerFlops(size);
    expect(weights.first).toBeGreaterThan(0);
    expect(encode).toBe(weights.encode + nearest);
    expect(decode).toBe(weights.decode);
    expect(step).toBe(3 * (weights.encode + weights.decode) - weights.first + nearest);
  });
});

describe("transformerFlops", () => {
  const size = { width: 32, layers: 3, feedForward: 88, codebookSize: 20, grid: [4, 6] } as const;

  test("counts every kernel once a token, and attention by the pairs that see each other", () => {
    const specs = transformerSpecs({ ...size, heads: 2, classes: 0, causal: true });
    const kernels = Object.entries(specs).filter(([name]) => name.endsWith(".kernel"));
    const linear = 2 * 24 * kernels.reduce((sum, [, { shape }]) => sum + product(shape), 0);
    let seen = 0;
    for (let query = 0; query < 24; query++) for (let key = 0; key <= query; key++) seen++;
    const attention = (pairs: number): number => 3 * pairs * 2 * (2 * 32); // layers × pairs × (score, value) of M channels
    expect(kernels.length).toBe(1 + 3 * 5);
    expect(transformerFlops({ ...size, objective: "causal" }).forward).toBe(linear + attention(seen));
    expect(transformerFlops({ ...size, objective: "masked" }).forward).toBe(linear + attention(24 * 24));
  });

  test("a step is three forward passes", () => {
    const { forward, step } = transformerFlops({ ...size, objective: "masked" });
    expect(step).toBe(3 * forward);
  });
});

describe("fitExponent", () => {
  test("finds the exponent of a power law", () => {
    const exponent = fc.double({ min: -3, max: 3, noNaN: true });
    const factor = fc.double({ min: 0.01, max: 100, noNaN: true });
    const places = fc.uniqueArray(fc.integer({ min: 1, max: 10_000 }), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(exponent, factor, places, (p, c, xs) => {
        expect(fitExponent(xs.map((x) => [x, c * x ** p] as const))).toBeCloseTo(p, 6);
      }),
    );
  });

  test("is the least-squares line where points lie beside it", () => {
    // log2: (0, 0), (1, 2), (2, 1) → slope ½
    expect(fitExponent([[1, 1], [2, 4], [4, 2]])).toBeCloseTo(0.5, 12); // prettier-ignore
  });
});
