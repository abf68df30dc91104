/** Guided network functions: the formula, its schedules, and what is left alone. */
import { describe, expect, test } from "vitest";
import { Rng } from "../../../shared/rng.ts";
import { UNKNOWN } from "../../../shared/tokens.ts";
import { MASK_SCHEDULES } from "../../../stage2-prior/mask-schedule.ts";
import { sampleCausal } from "../../../stage2-prior/sample/causal.ts";
import {
  GUIDANCE_SCHEDULES,
  guided,
  guidedTogether,
  knownFraction,
  positionFraction,
  type Guidance,
  type Network,
} from "../../../stage2-prior/sample/guidance.ts";
import { sampleMaskgit } from "../../../stage2-prior/sample/maskgit.ts";
import { causalNetwork, maskedNetwork, type FakeWorld } from "../../contracts/sampler.ts";

const SHAPE = { count: 2, length: 5 };
const K = 3;
const row = (offset: number): Float32Array =>
  Float32Array.from({ length: 2 * 5 * K }, (_, i) => Math.sin(i * 1.3 + offset));
const [c, u] = [row(0), row(7)];
const answering =
  (logits: Float32Array): Network =>
  () =>
    Promise.resolve(logits.slice());

const mixed = (scales: readonly number[]): Float32Array =>
  c.map((logit, i) => {
    const s = scales[Math.floor(i / (5 * K))] ?? NaN;
    return s === 1 ? logit : (u[i] ?? NaN) + s * (logit - (u[i] ?? NaN));
  });

/** Image 0 with nothing known, image 1 with two of five: r = 0 and 2/4. */
const tokens = Int32Array.of(...Array<number>(5).fill(UNKNOWN), 1, UNKNOWN, 2, UNKNOWN, UNKNOWN);

describe("masked", () => {
  const options = (guidance: Guidance) => ({ ...guidance, progress: knownFraction(SHAPE) });
  const networks = (guidance: Guidance): [string, Network][] => [
    ["apart", guided(answering(c), answering(u), options(guidance))],
    ["together", guidedTogether(answering(Float32Array.of(...c, ...u)), options(guidance))],
  ];

  test.each<[Guidance["schedule"], number[]]>([
    ["constant", [4, 4]],
    ["linear", [1, 2.5]],
    ["cosine", [1, 2.5]],
  ])("u + s·(c − u) under the %s schedule", async (schedule, scales) => {
    for (const [how, network] of networks({ scale: 4, schedule })) {
      const got = await network(tokens);
      mixed(scales).forEach((logit, i) => {
        expect(got[i], how).toBeCloseTo(logit, 5);
      });
    }
  });

  test("scale 0 is the unconditional network, scale 1 the conditional one, bit for bit", async () => {
    for (const [, network] of networks({ scale: 0, schedule: "constant" })) expect(await network(tokens)).toEqual(u);
    const conditional = answering(c);
    for (const schedule of ["constant", "linear", "cosine"] as const) {
      expect(guided(conditional, answering(u), options({ scale: 1, schedule }))).toBe(conditional);
      for (const [, network] of networks({ scale: 1, schedule })) expect(await network(tokens)).toEqual(c);
    }
  });

  test("where the schedule says 1, the conditional logits are untouched", async () => {
    for (const [, network] of networks({ scale: 7, schedule: "cosine" })) {
      expect((await network(tokens)).subarray(0, 5 * K)).toEqual(c.subarray(0, 5 * K));
    }
  });

  test("together asks once, for the same tokens twice", async () => {
    const asked: number[][] = [];
    const network = guidedTogether(
      (twice) => {
        asked.push([...twice]);
        return Promise.resolve(Float32Array.of(...c, ...u));
      },
      options({ scale: 2, schedule: "constant" }),
    );
    await network(tokens);
    expect(asked).toEqual([[...tokens, ...tokens]]);
  });

  test("logits of different shapes are a mismatch", async () => {
    const guidance = options({ scale: 2, schedule: "constant" });
    const apart = guided(answering(c), answering(u.subarray(1)), guidance)(tokens);
    const together = guidedTogether(answering(c.subarray(1)), guidance)(tokens);
    for (const wrong of [apart, together]) await expect(wrong).rejects.toMatchObject({ code: "mismatch" });
  });

  test.each([
    [-1, "constant"],
    [NaN, "constant"],
    [Infinity, "linear"],
    [2, "square"],
    [2, "toString"],
  ])("refuses scale %d with schedule %s", (scale, schedule) => {
    const guidance = options({ scale, schedule: schedule as Guidance["schedule"] });
    expect(() => guided(answering(c), answering(u), guidance)).toThrow(expect.objectContaining({ code: "usage" }));
    expect(() => guidedTogether(answering(c), guidance)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("schedules", () => {
  test.each(["linear", "cosine"] as const)("%s rises from 0 to 1", (name) => {
    const weights = Array.from({ length: 11 }, (_, i) => GUIDANCE_SCHEDULES[name](i / 10));
    expect(weights[0]).toBe(0);
    expect(weights[10]).toBeCloseTo(1, 12);
    expect(weights.every((weight, i) => i === 0 || weight > (weights[i - 1] ?? Infinity))).toBe(true);
  });

  test("masked progress counts what is known of each image, and ends at its last open position", () => {
    expect([...knownFraction(SHAPE)(tokens)]).toEqual([0, 0.5]);
    const nearlyDone = Int32Array.of(0, 0, UNKNOWN, 0, 0, 1, 1, 1, 1, 1);
    expect([...knownFraction(SHAPE)(nearlyDone)]).toEqual([1, 1]);
    expect([...knownFraction({ count: 1, length: 1 })(Int32Array.of(UNKNOWN))]).toEqual([1]);
  });

  test("causal progress counts positions over the calls, however many a call brings", () => {
    const progress = positionFraction(SHAPE);
    const at = (widths: readonly number[]) => widths.map((width) => [...progress(new Int32Array(2 * width))]);
    expect(at([1, 2, 1, 1])).toEqual([
      [0, 0],
      [0.5, 0.5],
      [0.75, 0.75],
      [1, 1],
    ]);
  });
});

describe("in a sampler", () => {
  const base = { codebookSize: K, grid: [3, 4], count: 2, rng: Rng.fromSeed(5) } as const;
  const shape = { count: 2, length: 12 };
  const classWorld: FakeWorld = (grid, position) => [0, 1, 2].map((k) => 2 * Math.sin(k * 3 + position + grid.reduce((a, b) => a + b, 0))); // prettier-ignore
  const nullWorld: FakeWorld = (grid, position) => [0, 1, 2].map((k) => Math.cos(k * 5 + position * 2 + (grid[0] ?? 0))); // prettier-ignore
  const guidance = { scale: 3, schedule: "linear" } as const;
  /** Rows 0 … N−1 of the class, the rest of none, as a prior's one graph would answer. */
  const halves = (network: (world: FakeWorld) => Network): Network => {
    const [conditional, unconditional] = [network(classWorld), network(nullWorld)];
    return async (twice) => {
      const half = twice.length / 2;
      const parts = [await conditional(twice.slice(0, half)), await unconditional(twice.slice(half))];
      return Float32Array.from(parts.flatMap((part) => [...part]));
    };
  };

  test("maskgit draws the same from the pair and from the doubled batch", async () => {
    const network = (world: FakeWorld): Network => maskedNetwork(world, base);
    const options = { ...guidance, progress: knownFraction(shape) };
    const sample = (tokensToLogits: Network) =>
      sampleMaskgit({ ...base, steps: 4, schedule: MASK_SCHEDULES.cosine, tokensToLogits });
    const apart = await sample(guided(network(classWorld), network(nullWorld), options));
    expect(await sample(guidedTogether(halves(network), options))).toEqual(apart);
    expect(await sample(network(classWorld))).not.toEqual(apart);
  });

  test("causal draws the same from the pair and from the doubled batch, caches and all", async () => {
    const network = (world: FakeWorld): Network => causalNetwork(world, base);
    const options = () => ({ ...guidance, progress: positionFraction(shape) });
    const apart = await sampleCausal({
      ...base,
      tokensToLogits: guided(network(classWorld), network(nullWorld), options()),
    });
    expect(await sampleCausal({ ...base, tokensToLogits: guidedTogether(halves(network), options()) })).toEqual(apart);
    expect(await sampleCausal({ ...base, tokensToLogits: network(classWorld) })).not.toEqual(apart);
  });
});
