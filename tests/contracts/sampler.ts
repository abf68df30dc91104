/**
 * What every sampler must do, whatever its order of decoding. A leaf says how it decodes a `FakeWorld`; knows no leaf.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import type {
  CausalTokensToLogits,
  SampleOptions,
  SampleProgress,
  SampleSteps,
  TokensToLogits,
} from "../../stage2-prior/sample/sampler.ts";

/** A network's knowledge: logits [K] of `position`, given one image's own tokens [L] (`UNKNOWN` where it may not look). */
export type FakeWorld = (tokens: Int32Array, position: number) => readonly number[];
export type LeafOptions = Omit<SampleOptions<never>, "tokensToLogits">;

export interface SamplerLeaf {
  readonly name: string;
  /** Why the tokens of independent positions need not have the network's distribution, where that is so. */
  readonly biased?: string;
  readonly steps: (world: FakeWorld, options: LeafOptions) => SampleSteps;
  readonly sample: (world: FakeWorld, options: LeafOptions) => Promise<TokenGrid>;
}

/** Runs a sampler to its end and shows every step on the way. */
export async function watch(steps: SampleSteps, onStep: (progress: SampleProgress) => void): Promise<TokenGrid> {
  for (;;) {
    const next = await steps.next();
    if (next.done === true) return next.value;
    onStep(next.value);
  }
}

/** `world` as a masked network. */
export function maskedNetwork(world: FakeWorld, options: Pick<LeafOptions, "grid">): TokensToLogits {
  const length = options.grid[0] * options.grid[1];
  return (tokens) => {
    const rows = Array.from(tokens, (_, cell) => {
      const image = Math.floor(cell / length);
      return world(tokens.slice(image * length, (image + 1) * length), cell % length);
    });
    return Promise.resolve(Float32Array.from(rows.flat())); // [N, L, K]
  };
}

/** `world` as a causal network, its cache the tokens passed so far; refuses to be fed anything but the next tokens. */
export function causalNetwork(world: FakeWorld, options: Pick<LeafOptions, "grid" | "count">): CausalTokensToLogits {
  const length = options.grid[0] * options.grid[1];
  const seen = Array.from({ length: options.count }, () => [] as number[]);
  return (previous) => {
    expect(previous.length % options.count).toBe(0);
    const added = previous.length / options.count;
    const rows = seen.map((inputs, image) => {
      inputs.push(...previous.subarray(image * added, (image + 1) * added));
      expect(inputs.length).toBeLessThanOrEqual(length);
      expect(inputs.map((token) => token === UNKNOWN)).toEqual(inputs.map((_, position) => position === 0));
      const tokens = new Int32Array(length).fill(UNKNOWN);
      tokens.set(inputs.slice(1));
      return world(tokens, inputs.length - 1);
    });
    return Promise.resolve(Float32Array.from(rows.flat())); // [N, K]
  };
}

const K = 7;

/** Logits that hang on everything the image has shown so far. */
const tangled: FakeWorld = (tokens, position) => {
  const hash = tokens.reduce((sum, token, i) => sum + (token + 2) * (i + 3), position * 31);
  return Array.from({ length: K }, (_, k) => 2 * Math.sin(hash * 0.37 + k * 1.7));
};

const FIXED_LOGITS = [1.5, 0, -1, 0.5, -2.5, 1, -0.5];
const fixed: FakeWorld = () => FIXED_LOGITS;

/** Every token follows from any known one of its row: it counts on from there, modulo K. */
const counting =
  (width: number): FakeWorld =>
  (tokens, position) => {
    const row = Math.floor(position / width);
    const anchor = tokens.findIndex((token, i) => token !== UNKNOWN && Math.floor(i / width) === row);
    const expected = anchor === -1 ? -1 : ((tokens[anchor] ?? 0) + position - anchor + K * width) % K;
    return Array.from({ length: K }, (_, k) => (k === expected ? 40 : 0));
  };

const base = { codebookSize: K, grid: [4, 5], count: 3, rng: Rng.fromSeed(11) } as const satisfies LeafOptions;

const image = (grid: TokenGrid, index: number): number[] => {
  const length = grid.shape[1] * grid.shape[2];
  return [...grid.tokens.subarray(index * length, (index + 1) * length)];
};

export function describeSampler({ name, biased, steps, sample }: SamplerLeaf): void {
  describe(`sampler ${name}: what is filled`, () => {
    test("known tokens are kept and every position holds a code", async () => {
      const token = fc.oneof(fc.constant(UNKNOWN), fc.integer({ min: 0, max: K - 1 }));
      const grids = fc.array(token, { minLength: 60, maxLength: 60 });
      const property = fc.asyncProperty(grids, fc.nat(1000), async (known, seed) => {
        const tokens = Int32Array.from(known);
        const options = { ...base, rng: Rng.fromSeed(seed), known: { tokens, shape: [3, 4, 5] } } as const;
        const result = await sample(tangled, options);
        expect(result.shape).toEqual([3, 4, 5]);
        expect([...tokens]).toEqual(known);
        result.tokens.forEach((code, i) => {
          expect(code).toBe(known[i] === UNKNOWN ? Math.min(Math.max(code, 0), K - 1) : known[i]);
        });
      });
      await fc.assert(property, { numRuns: 20 });
    });

    test("each position is filled exactly once, and progress runs to its end", async () => {
      let before = new Int32Array(60).fill(UNKNOWN);
      const fills = new Int32Array(60);
      const progress: SampleProgress[] = [];
      const onStep = (now: SampleProgress): void => {
        progress.push(now);
        now.grid.tokens.forEach((token, i) => {
          if (before[i] === UNKNOWN && token !== UNKNOWN) fills[i] = (fills[i] ?? 0) + 1;
          else expect(token).toBe(before[i]);
        });
        before = Int32Array.from(now.grid.tokens);
      };
      const result = await watch(steps(tangled, base), onStep);
      expect([...result.tokens]).toEqual([...(await sample(tangled, base)).tokens]);
      expect([...fills]).toEqual(Array.from(fills, () => 1));
      expect([...result.tokens]).toEqual([...before]);
      expect(progress.map(({ step }) => step)).toEqual(progress.map((_, i) => i + 1));
      expect(progress.map(({ steps }) => steps)).toEqual(progress.map(() => progress.length));
    });

    test("left between two steps, it has shown everything it fixed, and that can be gone on from", async () => {
      const begun = steps(tangled, base);
      const first = await begun.next();
      if (first.done === true) throw new Error("one step at least");
      const known = { tokens: Int32Array.from(first.value.grid.tokens), shape: first.value.grid.shape };
      await begun.return({ tokens: new Int32Array(0), shape: [0, 0, 0] });
      expect(await begun.next()).toEqual({ done: true, value: undefined });
      expect([...first.value.grid.tokens]).toEqual([...known.tokens]);
      const resumed = await sample(tangled, { ...base, known });
      known.tokens.forEach((token, i) => {
        if (token !== UNKNOWN) expect(resumed.tokens[i]).toBe(token);
      });
    });

    test("grids without an open position come back without a question to the network", async () => {
      const known = { tokens: new Int32Array(60).fill(3), shape: [3, 4, 5] } as const;
      const never: FakeWorld = () => {
        throw new Error("asked");
      };
      expect([...(await sample(never, { ...base, known })).tokens]).toEqual([...known.tokens]);
    });
  });

  describe(`sampler ${name}: randomness`, () => {
    test("one seed gives the same tokens, another seed others", async () => {
      const first = await sample(tangled, base);
      expect([...(await sample(tangled, { ...base, rng: Rng.fromSeed(11) })).tokens]).toEqual([...first.tokens]);
      expect([...(await sample(tangled, { ...base, rng: Rng.fromSeed(12) })).tokens]).not.toEqual([...first.tokens]);
    });

    test("image i does not depend on the batch it is decoded in", async () => {
      const together = await sample(tangled, { ...base, count: 5 });
      for (let i = 0; i < 5; i++) {
        expect(image(await sample(tangled, { ...base, count: 1, firstIndex: i }), 0)).toEqual(image(together, i));
      }
      expect(image(together, 0)).not.toEqual(image(together, 1));
    });

    test("what is known of one image does not change the others", async () => {
      const known = { tokens: new Int32Array(60).fill(UNKNOWN), shape: [3, 4, 5] } as const;
      known.tokens.fill(2, 20, 38);
      const result = await sample(tangled, { ...base, known });
      const free = await sample(tangled, base);
      expect(image(result, 0)).toEqual(image(free, 0));
      expect(image(result, 2)).toEqual(image(free, 2));
    });

    const skipped = biased === undefined ? "" : ` (not so: ${biased})`;
    const marginals = `at temperature %d the tokens have the network's distribution${skipped}`;
    (biased === undefined ? test : test.skip).each([1, 0.5, 2])(marginals, async (temperature) => {
      const options = { ...base, grid: [8, 8], count: 64, temperature } as const;
      const { tokens } = await sample(fixed, options);
      const weights = FIXED_LOGITS.map((logit) => Math.exp(logit / temperature));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const chiSquare = weights.reduce((sum, weight, k) => {
        const expected = (tokens.length * weight) / total;
        return sum + (tokens.filter((token) => token === k).length - expected) ** 2 / expected;
      }, 0);
      expect(chiSquare).toBeLessThan(27.9); // 99.99 % quantile at 6 degrees of freedom
    });

    test("top-k draws only among the k likeliest codes, top-p only from the nucleus", async () => {
      const options = { ...base, grid: [8, 8], count: 8, temperature: 2 } as const;
      const drawn = async (truncation: Partial<LeafOptions>): Promise<number[]> =>
        [...new Set((await sample(fixed, { ...options, ...truncation })).tokens)].sort();
      expect(await drawn({ topK: 3 })).toEqual([0, 3, 5]);
      expect(await drawn({ topP: 0.45 })).toEqual([0, 5]); // 0.27 and 0.21 at temperature 2
      expect(await drawn({ topK: 3, topP: 0.3 })).toEqual([0]);
    });

    test("what cuts nothing off changes no draw", async () => {
      const free = await sample(tangled, base);
      expect([...(await sample(tangled, { ...base, topK: K, topP: 1 })).tokens]).toEqual([...free.tokens]);
    });

    test("temperature 0 takes the most likely code, the lowest of equals", async () => {
      const ties: FakeWorld = (_, position) => Array.from({ length: K }, (__, k) => (k % 3 === position % 3 ? 1 : 0));
      const { tokens } = await sample(ties, { ...base, temperature: 0 });
      expect([...tokens]).toEqual(Array.from(tokens, (_, cell) => (cell % 20) % 3));
    });

    test("structure in the network is found in the tokens", async () => {
      const known = { tokens: new Int32Array(60).fill(UNKNOWN), shape: [3, 4, 5] } as const;
      for (let row = 0; row < 12; row++) known.tokens[row * 5] = (row * 5 + 2) % K;
      const { tokens } = await sample(counting(5), { ...base, known });
      const expected = Array.from(tokens, (_, cell) => ((Math.floor(cell / 5) * 5 + 2) % K) + (cell % 5));
      expect([...tokens]).toEqual(expected.map((token) => token % K));
    });
  });

  describe(`sampler ${name}: stopping and refusing`, () => {
    test("an aborted signal stops before the first step, with its reason", async () => {
      const reason = new Error("enough");
      let asked = 0;
      const counted: FakeWorld = (tokens, position) => {
        asked++;
        return tangled(tokens, position);
      };
      await expect(sample(counted, { ...base, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(asked).toBe(0);
    });

    test("an abort during a step stops before the next", async () => {
      const controller = new AbortController();
      let done = 0;
      const stopped = watch(steps(tangled, { ...base, signal: controller.signal }), () => {
        done++;
        controller.abort();
      });
      await expect(stopped).rejects.toMatchObject({ name: "AbortError" });
      expect(done).toBe(1);
    });

    test.each([NaN, Infinity, -Infinity])(
      "a logit of %d is a numerical error naming image and position",
      async (bad) => {
        const broken: FakeWorld = (_, position) =>
          FIXED_LOGITS.map((logit, k) => (position === 6 && k === 4 ? bad : logit));
        const sampled = sample(broken, { ...base, firstIndex: 40 });
        await expect(sampled).rejects.toMatchObject({ code: "numerical" });
        await expect(sampled).rejects.toThrow(/image 4[0-2], position 6/);
      },
    );

    test("logits of another codebook size are refused", async () => {
      const wide: FakeWorld = () => [...FIXED_LOGITS, 0];
      await expect(sample(wide, base)).rejects.toMatchObject({ code: "mismatch" });
    });

    const known = (tokens: Int32Array, shape: TokenGrid["shape"]) => ({ known: { tokens, shape } });
    test.each<[string, Partial<LeafOptions>, string]>([
      ["no image", { count: 0 }, "usage"],
      ["half an image", { count: 1.5 }, "usage"],
      ["no code", { codebookSize: 0 }, "usage"],
      ["an empty grid", { grid: [0, 5] }, "usage"],
      ["a negative index", { firstIndex: -1 }, "usage"],
      ["a negative temperature", { temperature: -1 }, "usage"],
      ["temperature NaN", { temperature: NaN }, "usage"],
      ["top-k of 0", { topK: 0 }, "usage"],
      ["top-k of 1.5", { topK: 1.5 }, "usage"],
      ["top-p of 0", { topP: 0 }, "usage"],
      ["top-p above 1", { topP: 1.01 }, "usage"],
      ["top-p NaN", { topP: NaN }, "usage"],
      ["known tokens of another shape", known(new Int32Array(60), [3, 5, 4]), "usage"],
      ["known tokens that do not fill their shape", known(new Int32Array(59), [3, 4, 5]), "bad-input"],
      ["a known token K", known(new Int32Array(60).fill(K), [3, 4, 5]), "bad-input"],
    ])("refuses %s", async (_, wrong, code) => {
      await expect(sample(tangled, { ...base, ...wrong })).rejects.toMatchObject({ code });
    });
  });
}
