/** What every prior must do, learnt or counted: sample grids of codes, keep what is known, refuse what does not fit. Knows no artefact. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { UNKNOWN } from "../../shared/tokens.ts";
import type { MeasureOptions } from "../../stage2-prior/held-out.ts";
import type { Prior, SampleRequest } from "../../stage2-prior/prior.ts";
import type { PriorSpec } from "../../stage2-prior/signature.ts";

/** How a test opens a prior of 4×4 tokens of 7 codes. */
interface PriorOpener {
  readonly name: string;
  readonly open: () => Promise<Prior>;
}

export interface PriorLeaf extends PriorOpener {
  /** As it must come out; with classes "x", "y" and "z", or none. */
  readonly spec: PriorSpec;
  /** Whether it is decoded in raster order, and knows neither sampler nor steps. */
  readonly raster: boolean;
}

const L = 16;

type Sample = (request?: Partial<SampleRequest>) => Promise<Int32Array>;

function usePrior(open: () => Promise<Prior>): { prior: () => Prior; sample: Sample } {
  let opened: Prior | undefined;
  const prior = (): Prior => {
    if (opened === undefined) throw new Error("The prior is opened before the first test.");
    return opened;
  };
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened?.dispose());
  return {
    prior,
    sample: async (request = {}) => (await prior().sample({ count: 5, rng: Rng.fromSeed(3), ...request })).tokens,
  };
}

export function describePrior({ name, open, spec, raster }: PriorLeaf): void {
  describe(`a ${name} prior`, () => {
    const { prior, sample } = usePrior(open);

    test("says what it is", () => {
      expect(prior().spec).toEqual(spec);
      expect(prior().name).not.toBe("");
      expect(prior().directory).not.toBe("");
    });

    test("samples grids of codes", async () => {
      const { tokens, shape } = await prior().sample({ count: 5, rng: Rng.fromSeed(3) });
      expect(shape).toEqual([5, 4, 4]);
      expect(tokens).toHaveLength(5 * L);
      expect(tokens.every((token) => token >= 0 && token < 7)).toBe(true);
      expect(new Set(tokens).size).toBeGreaterThan(1);
    });

    test("measures bits a token: the same again, more of some images than of others, to the end", async () => {
      const measure = async (seed: number, options: MeasureOptions = {}): Promise<number> => {
        const rng = Rng.fromSeed(seed);
        const tokens = Int32Array.from({ length: 6 * L }, () => rng.integer(7));
        const labels = new Int32Array(6).fill(UNKNOWN);
        return prior().bitsPerToken({ tokens: { tokens, shape: [6, 4, 4] }, labels }, options);
      };
      const shares: number[] = [];
      const bits = await measure(1, { onProgress: (share) => shares.push(share) });
      expect(bits).toBeGreaterThan(0);
      expect(bits).toBeLessThan(100);
      expect(await measure(1)).toBe(bits);
      if (spec.objective === "uniform") expect(bits).toBeCloseTo(Math.log2(7), 12);
      else expect(await measure(2)).not.toBe(bits);
      expect(shares.at(-1)).toBe(1);
      await expect(measure(1, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
    });

    test.each([
      { wrong: "no image", tokens: [], shape: [0, 4, 4], exitCode: 3 },
      { wrong: "another grid", tokens: Array<number>(8).fill(0), shape: [1, 2, 4], exitCode: 4 },
      { wrong: "no code", tokens: Array<number>(L).fill(7), shape: [1, 4, 4], exitCode: 3 },
      { wrong: "an unknown token", tokens: Array<number>(L).fill(UNKNOWN), shape: [1, 4, 4], exitCode: 3 },
    ] as const)("to measure $wrong is an error ($exitCode)", async ({ tokens, shape, exitCode }) => {
      const data = {
        tokens: { tokens: Int32Array.from(tokens), shape },
        labels: new Int32Array(shape[0]).fill(UNKNOWN),
      };
      await expect(prior().bitsPerToken(data)).rejects.toMatchObject({ exitCode });
    });

    test("the same seed gives the same images, another seed others", async () => {
      expect(await sample()).toEqual(await sample());
      expect(await sample({ rng: Rng.fromSeed(4) })).not.toEqual(await sample());
    });

    test.each([1, 2, 3, 4, 100])("image i is the same in batches of %d", async (batchSize) => {
      expect(await sample({ batchSize })).toEqual(await sample());
    });

    test("image i does not depend on how many are asked for", async () => {
      expect(await sample({ count: 2 })).toEqual((await sample()).subarray(0, 2 * L));
    });

    test.each([0, -1, 1.5, NaN])("a count or batch of %d is a usage error (2)", async (wrong) => {
      await expect(sample({ count: wrong })).rejects.toMatchObject({ exitCode: 2 });
      await expect(sample({ batchSize: wrong })).rejects.toMatchObject({ exitCode: 2 });
    });

    test("throws what is thrown when it reports", async () => {
      const onProgress = (): void => {
        throw new Error("enough");
      };
      await expect(sample({ onProgress })).rejects.toThrow("enough");
      expect(await sample()).toHaveLength(5 * L);
    });

    test("one of two samples may be aborted", async () => {
      const controller = new AbortController();
      const stopped = sample({ rng: Rng.fromSeed(4), signal: controller.signal, onProgress: () => controller.abort(new Error("enough")) }); // prettier-ignore
      const whole = sample();
      await expect(stopped).rejects.toThrow("enough");
      expect(await whole).toEqual(await sample());
    });

    test("reports every token once, over all batches", async () => {
      const reports: number[] = [];
      await sample({ batchSize: 2, onProgress: (newTokens) => reports.push(newTokens) });
      expect(reports.every((newTokens) => newTokens >= 0)).toBe(true);
      expect(reports.reduce((sum, newTokens) => sum + newTokens, 0)).toBe(5 * L);
    });

    test("image i is the same wherever the numbering begins", async () => {
      expect(await sample({ count: 3, firstIndex: 2 })).toEqual((await sample()).subarray(2 * L));
    });

    test("keeps every known token, wherever it stands, in every batch", async () => {
      const known = { tokens: new Int32Array(5 * L).fill(UNKNOWN), shape: [5, 4, 4] } as const;
      for (let i = 0; i < 5 * L; i += 3) known.tokens[i] = i % 7;
      const reports: number[] = [];
      const tokens = await sample({ known, batchSize: 2, onProgress: (newTokens) => reports.push(newTokens) });
      expect(tokens.every((token) => token >= 0 && token < 7)).toBe(true);
      expect(tokens.filter((_, i) => i % 3 === 0)).toEqual(known.tokens.filter((_, i) => i % 3 === 0));
      expect(tokens).not.toEqual(await sample());
      expect(reports.reduce((sum, newTokens) => sum + newTokens, 0)).toBe(5 * L);
      const complete = { tokens, shape: known.shape };
      expect(await sample({ known: complete })).toEqual(tokens);
    });

    test("known tokens of another shape (2) or codebook (3) are refused", async () => {
      const known = (value: number, count: number) =>
        ({ tokens: new Int32Array(count * L).fill(value), shape: [count, 4, 4] }) as const;
      await expect(sample({ known: known(UNKNOWN, 4) })).rejects.toMatchObject({ exitCode: 2 });
      await expect(sample({ known: known(7, 5) })).rejects.toMatchObject({ exitCode: 3 });
    });

    test("top-k and top-p take away: with one code left they are temperature 0", async () => {
      const surest = await sample({ temperature: 0 });
      expect(await sample({ topK: 1 })).toEqual(surest);
      expect(await sample({ topP: 1e-6 })).toEqual(surest);
      expect(await sample({ topK: 2, temperature: 10 })).not.toEqual(surest);
    });

    test.each([{ topK: 0 }, { topP: 0 }, { topP: 1.5 }])("refuses %j (2)", async (wrong) => {
      await expect(sample(wrong)).rejects.toMatchObject({ exitCode: 2 });
    });

    test("steps show the images of one batch being made, and end in those that sample gives", async () => {
      const shown: Int32Array[] = [];
      const steps = prior().steps({ count: 5, rng: Rng.fromSeed(3) });
      for (;;) {
        const next = await steps.next();
        if (next.done === true) {
          expect(next.value).toEqual({ tokens: await sample(), shape: [5, 4, 4] });
          break;
        }
        expect(next.value.step).toBe(shown.push(Int32Array.from(next.value.grid.tokens)));
      }
      const open = shown.map((tokens) => tokens.filter((token) => token === UNKNOWN).length);
      expect(open).toEqual([...open].sort((a, b) => b - a));
      expect(open.length).toBeGreaterThan(1);
      expect(open.at(-1)).toBe(0);
    });

    test("steps refuse what sample refuses, on the first of them", async () => {
      await expect(
        prior()
          .steps({ count: 0, rng: Rng.fromSeed(3) })
          .next(),
      ).rejects.toMatchObject({ exitCode: 2 });
    });

    test("stops with the signal's reason", async () => {
      const controller = new AbortController();
      const reason = new Error("enough");
      const onProgress = (): void => {
        controller.abort(reason);
      };
      await expect(sample({ batchSize: 2, signal: controller.signal, onProgress })).rejects.toBe(reason);
    });

    test.each<Partial<SampleRequest>>([
      { sampler: "maskgit" },
      { steps: 3 },
      { sampler: "maskgit", choiceTemperature: 1 },
    ])(raster ? "has no use for %j (2)" : "has a use for %j", async (asked) => {
      if (!raster) expect(await sample(asked)).toHaveLength(5 * L);
      else {
        const message = expect.stringMatching(new RegExp(`${spec.objective}.*raster`)) as string;
        await expect(sample(asked)).rejects.toMatchObject({ exitCode: 2, message });
      }
    });
  });
  if (spec.classes.length > 0) describeConditional({ name, open });
  else describeUnconditional({ name, open });
}

/** @param leaf of the classes "x", "y" and "z" */
function describeConditional({ name, open }: PriorOpener): void {
  describe(`a ${name} prior of classes`, () => {
    const { sample } = usePrior(open);

    test("a class is another condition than no class and than another class", async () => {
      const made = await Promise.all([undefined, "x", "y"].map((className) => sample({ className })));
      expect(new Set(made.map((tokens) => tokens.join())).size).toBe(3);
    });

    test("a class that does not exist is a usage error (2) that lists those that do", async () => {
      await expect(sample({ className: "w" })).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(/"w".*x, y, z/) as string,
      });
    });

    test("guidance: scale 1 is no guidance, scale 0 no class, more of it something else", async () => {
      const guided = (scale: number) => sample({ className: "x", guidance: { scale, schedule: "constant" } });
      expect(await guided(1)).toEqual(await sample({ className: "x" }));
      expect(await guided(0)).toEqual(await sample());
      expect(await guided(5)).not.toEqual(await sample({ className: "x" }));
    });

    test.each([1, 2, 100])("guided, image i is the same in batches of %d", async (batchSize) => {
      const guidance = { scale: 3, schedule: "cosine" } as const;
      expect(await sample({ className: "y", guidance, batchSize })).toEqual(await sample({ className: "y", guidance }));
    });

    test("guidance without a class, or of a scale or schedule that is none, is a usage error (2)", async () => {
      const guidance = { scale: 2, schedule: "constant" } as const;
      const wrong: Partial<SampleRequest>[] = [
        { guidance },
        { className: "x", guidance: { ...guidance, scale: NaN } },
        { className: "x", guidance: { ...guidance, schedule: "steep" as "linear" } },
      ];
      for (const request of wrong) await expect(sample(request)).rejects.toMatchObject({ exitCode: 2 });
    });
  });
}

/** @param leaf without classes */
export function describeUnconditional({ name, open }: PriorOpener): void {
  describe(`a ${name} prior without classes`, () => {
    const { prior, sample } = usePrior(open);
    const refused = (pattern: RegExp) => ({ exitCode: 2, message: expect.stringMatching(pattern) as string });

    test("samples without a class and knows none (2)", async () => {
      expect(prior().spec.classes).toEqual([]);
      expect((await sample()).every((token) => token >= 0 && token < 7)).toBe(true);
      await expect(sample({ className: "x" })).rejects.toMatchObject(refused(/unconditional/));
      const guidance = { scale: 2, schedule: "constant" } as const;
      await expect(sample({ guidance })).rejects.toMatchObject(refused(/guidance.*unconditional/));
    });
  });
}
