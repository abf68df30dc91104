/** The generator against the published vectors, and its streams against what callers lean on. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Rng, threefry2x32 } from "../../shared/rng.ts";

describe("threefry2x32", () => {
  // Known-answer vectors of the Random123 library (kat_vectors, threefry 2x32, 20 rounds).
  it.each([
    [
      [0, 0, 0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ] as const)("of %j", ([key0, key1, counter0, counter1], expected) => {
    const out = new Uint32Array(2);
    threefry2x32(key0, key1, counter0, counter1, out);
    expect([...out]).toEqual(expected);
  });
});

const draws = (rng: Rng, count = 5): number[] => Array.from({ length: count }, () => rng.uint32());

describe("Rng", () => {
  it("gives a stream that depends on seed and labels alone, not on what was drawn before", () => {
    const [fresh, used] = [Rng.fromSeed(7), Rng.fromSeed(7)];
    draws(used, 100);
    expect(draws(used.fork("dropout", 3, 1))).toEqual(draws(fresh.fork("dropout", 3, 1)));
    expect(draws(fresh.fork("dropout", 3))).not.toEqual(draws(fresh.fork("dropout", 4)));
    expect(draws(fresh.fork("a", "b"))).not.toEqual(draws(fresh.fork("b", "a")));
    expect(draws(fresh.fork(1))).not.toEqual(draws(fresh.fork("1")));
    expect(draws(Rng.fromSeed(2 ** 40))).not.toEqual(draws(Rng.fromSeed(0)));
  });

  it("has a key that names its stream: what is made of it starts and forks alike, wherever the first one stands", () => {
    const used = Rng.fromSeed(2 ** 40 + 3).fork("image");
    const start = draws(used);
    expect(draws(Rng.fromKey(used.key))).toEqual(start);
    expect(draws(Rng.fromKey(used.key).fork("a", 1))).toEqual(draws(used.fork("a", 1)));
    expect(used.key).not.toEqual(used.fork("a").key);
  });

  it("draws uniforms in [0, 1), normals and Gumbels with their moments", () => {
    const rng = Rng.fromSeed(1);
    const moments = (draw: () => number, count = 20_000): [mean: number, variance: number] => {
      const values = Array.from({ length: count }, draw);
      const mean = values.reduce((a, b) => a + b) / count;
      return [mean, values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count];
    };
    const uniforms = Array.from({ length: 5_000 }, () => rng.uniform());
    expect(uniforms.every((x) => x >= 0 && x < 1)).toBe(true);
    const [uniformMean, uniformVariance] = moments(() => rng.uniform());
    expect(uniformMean).toBeCloseTo(0.5, 1);
    expect(uniformVariance).toBeCloseTo(1 / 12, 2);
    const [normalMean, normalVariance] = moments(() => rng.normal());
    expect(Math.abs(normalMean)).toBeLessThan(0.03);
    expect(Math.abs(normalVariance - 1)).toBeLessThan(0.05);
    const [gumbelMean, gumbelVariance] = moments(() => rng.gumbel());
    expect(Math.abs(gumbelMean - 0.5772)).toBeLessThan(0.04); // Euler's constant
    expect(Math.abs(gumbelVariance - Math.PI ** 2 / 6)).toBeLessThan(0.12);
  });

  it("draws integers below any limit, evenly", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 }), fc.nat(), (limit, seed) => {
        const value = Rng.fromSeed(seed).integer(limit);
        return Number.isInteger(value) && value >= 0 && value < limit;
      }),
    );
    const counts = new Array<number>(7).fill(0);
    const rng = Rng.fromSeed(3);
    for (let i = 0; i < 7_000; i++) {
      const drawn = rng.integer(7);
      counts[drawn] = (counts[drawn] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(130);
    // A plain remainder would send half of all words below 2^30 here, not a third.
    const low = Array.from({ length: 6_000 }, () => rng.integer(3 * 2 ** 30)).filter((value) => value < 2 ** 30).length;
    expect(Math.abs(low - 2_000)).toBeLessThan(200);
    expect(() => rng.integer(0)).toThrow(RangeError);
    expect(() => rng.integer(1.5)).toThrow(RangeError);
  });

  it("permutes: each of 0 … n−1 once, and not always in order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), fc.nat(), (n, seed) => {
        const sorted = [...Rng.fromSeed(seed).permutation(n)].sort((a, b) => a - b);
        return sorted.length === n && sorted.every((value, i) => value === i);
      }),
    );
    expect([...Rng.fromSeed(0).permutation(50)]).not.toEqual([...Array(50).keys()]);
  });

  it("fills with uniforms of the open interval (0, 1), exact in float32", () => {
    const count = 200_000;
    const values = Rng.fromSeed(5).fillUniform(count);
    expect(values.every((x) => x > 0 && x < 1)).toBe(true);
    // Odd multiples of 2^−24: both ends are as far from 0 and 1 as from their neighbours, and −log(−log u) is finite.
    expect(values.every((x) => (x * 2 ** 24) % 2 === 1)).toBe(true);
    const gumbel = (x: number): number => -Math.log(Math.fround(-Math.log(x)));
    expect([2 ** -24, 1 - 2 ** -24].map((x) => Number.isFinite(gumbel(Math.fround(x))))).toEqual([true, true]);
    expect([Math.fround(2 ** -24) > 0, Math.fround(1 - 2 ** -24) < 1]).toEqual([true, true]);
  });

  it("fills evenly: every sixteenth as often, no draw like the one before it", () => {
    const count = 160_000;
    const values = Rng.fromSeed(6).fillUniform(count);
    const counts = Array<number>(16).fill(0);
    for (const x of values) counts[Math.floor(16 * x)] = (counts[Math.floor(16 * x)] ?? 0) + 1;
    // χ² of 15 degrees of freedom: 37.7 is passed once in a thousand seeds.
    const expected = count / 16;
    expect(counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)).toBeLessThan(37.7);
    let product = 0;
    for (let i = 1; i < count; i++) product += ((values[i] ?? NaN) - 0.5) * ((values[i - 1] ?? NaN) - 0.5);
    expect(Math.abs((12 * product) / count)).toBeLessThan(4 / Math.sqrt(count)); // correlation of neighbours
  });

  it("fills the same from the same stream, other values from another, and the rest of a stream with its rest", () => {
    const fill = (rng: Rng, length = 8): number[] => [...rng.fillUniform(length)];
    expect(fill(Rng.fromSeed(1).fork("step", 3))).toEqual(fill(Rng.fromSeed(1).fork("step", 3)));
    const streams = [
      Rng.fromSeed(1),
      Rng.fromSeed(2),
      Rng.fromSeed(1).fork("step", 3),
      Rng.fromSeed(1).fork("step", 4),
    ];
    expect(new Set(streams.flatMap((rng) => fill(rng))).size).toBe(32);
    const rng = Rng.fromSeed(1);
    expect([...fill(rng, 3), ...fill(rng, 5)]).toEqual(fill(Rng.fromSeed(1)));
    expect(fill(Rng.fromSeed(1), 0)).toEqual([]);
    const [one, other] = [Rng.fromSeed(1).fork("a"), Rng.fromSeed(1).fork("b")].map((fork) => fork.fillUniform(20_000));
    let product = 0;
    one?.forEach((x, i) => (product += (x - 0.5) * ((other?.[i] ?? NaN) - 0.5)));
    expect(Math.abs((12 * product) / 20_000)).toBeLessThan(4 / Math.sqrt(20_000));
  });
});
