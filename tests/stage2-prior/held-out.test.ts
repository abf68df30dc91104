/** What evaluation asks of a prior, and the arithmetic on what it answers; published graphs against training's own figure. */
import { describe, expect, test } from "vitest";
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import { Rng } from "../../shared/rng.ts";
import { createTokenWriter, openTokens, type TokenSet } from "../../shared/token-file/index.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import {
  heldOutBatches,
  measureBitsPerToken,
  type HeldOutBatch,
  type HeldOutShape,
  type HeldOutTokens,
  type IdsToLogits,
} from "../../stage2-prior/held-out.ts";
import { objectives } from "../../stage2-prior/objectives/index.ts";
import { loadPrior } from "../../stage2-prior/prior.ts";
import { LEARNT_OBJECTIVES, type LearntObjective } from "../../stage2-prior/signature.ts";
import { trainPrior } from "../../stage2-prior/train.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { tinyPrior } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const [K, L, COUNT] = [7, 16, 5];

const shapeOf = (objective: LearntObjective, changes: Partial<HeldOutShape> = {}): HeldOutShape => ({
  ...{ objective, codebookSize: K, grid: [4, 4], classes: 3, maskSchedule: "cosine" },
  ...changes,
});

/** Every image differs from all others at position 0. */
function images(count = COUNT): HeldOutTokens {
  const rng = Rng.fromSeed(7);
  const tokens = Int32Array.from({ length: count * L }, (_, i) => (i % L === 0 ? i / L : rng.integer(K)));
  return {
    tokens: { tokens, shape: [count, 4, 4] },
    labels: Int32Array.from({ length: count }, (_, i) => (i % 4) - 1),
  };
}

/** Rows that count, as "image: class, ids, counted"; of a pass each, in the order of images. */
function rowsOf(batches: Iterable<HeldOutBatch>): string[] {
  const rows: string[] = [];
  for (const { ids, targets, counted, classes } of batches) {
    classes.forEach((classId, row) => {
      const own = <T extends Int32Array | Float32Array>(array: T): T => array.subarray(row * L, (row + 1) * L) as T;
      if (own(counted).some((weight) => weight > 0))
        rows.push([own(targets).join(), classId, own(ids).join(), own(counted).join()].join(" | "));
    });
  }
  return rows.sort();
}

describe.each(LEARNT_OBJECTIVES)("batches of %s", (objective) => {
  test.each([1, 2, 3, 5, 8])("of %d ask the same of every image, once a pass", (batchSize) => {
    const one = rowsOf(heldOutBatches(images(), shapeOf(objective), 1));
    expect(one).toHaveLength(COUNT * objectives[objective].evaluationPasses);
    expect(rowsOf(heldOutBatches(images(), shapeOf(objective), batchSize))).toEqual(one);
    for (const { ids, counted, classes } of heldOutBatches(images(), shapeOf(objective), batchSize))
      expect([ids.length, counted.length, classes.length]).toEqual([batchSize * L, batchSize * L, batchSize]);
  });

  test("the class is the label, C where there is none; an unconditional prior looks at no label", () => {
    const classesOf = (changes: Partial<HeldOutShape>): number[] =>
      [...heldOutBatches(images(4), shapeOf(objective, changes), 4)].flatMap(({ targets, classes }) =>
        [...classes].map((id, row) => 10 * (targets[row * L] ?? NaN) + id),
      );
    expect(new Set(classesOf({}))).toEqual(new Set([3, 10, 21, 32]));
    expect(new Set(classesOf({ classes: 0 }))).toEqual(new Set([0, 10, 20, 30]));
    const labelled = { ...images(2), labels: Int32Array.of(0, 3) };
    expect(() => [...heldOutBatches(labelled, shapeOf(objective), 2)]).toThrow(/class at position 1/);
  });
});

/** The bits that `network` costs on five images. */
const bits = (network: IdsToLogits, objective: LearntObjective, data = images()): Promise<number> =>
  measureBitsPerToken(network, data, shapeOf(objective));
const uniform: IdsToLogits = (ids) => Promise.resolve(new Float32Array(ids.length * K).fill(3.25));

describe.each(LEARNT_OBJECTIVES)("bits a token, %s", (objective) => {
  test("equal logits cost log2 K", async () => {
    expect(await bits(uniform, objective)).toBeCloseTo(Math.log2(K), 10);
  });

  test("one law at every position costs the mean of its code lengths", async () => {
    const { tokens } = images().tokens;
    const alike = { tokens: { tokens: tokens.map(() => 2), shape: [COUNT, 4, 4] }, labels: images().labels } as const;
    const row = [0, 1, 4, -3, 0.5, 90, -90];
    const network: IdsToLogits = (ids) => Promise.resolve(Float32Array.from({ length: ids.length * K }, (_, i) => row[i % K] ?? NaN)); // prettier-ignore
    const expected = Math.log2(row.reduce((sum, logit) => sum + Math.exp(logit - 90), 0)) + (90 - 4) / Math.LN2;
    expect(await bits(network, objective, alike)).toBeCloseTo(expected, 6);
  });

  test("says how much is done, up to 1", async () => {
    const shares: number[] = [];
    await measureBitsPerToken(uniform, images(), shapeOf(objective), { onProgress: (share) => shares.push(share) });
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
  });
});

test("large codebooks are measured fewer images at a time", async () => {
  const codebookSize = 2 ** 17;
  const asked: number[] = [];
  const network: IdsToLogits = (ids, classIds) => {
    asked.push(classIds.length);
    return Promise.resolve(new Float32Array(ids.length * codebookSize));
  };
  expect(await measureBitsPerToken(network, images(3), shapeOf("causal", { codebookSize }))).toBeCloseTo(17, 10);
  expect(asked).toEqual([2, 2]);
});

describe("refused", () => {
  test("a logit that is not finite (5), even where it is not the target's", async () => {
    for (const wrong of [NaN, Infinity, -Infinity]) {
      const network: IdsToLogits = (ids) => Promise.resolve(new Float32Array(ids.length * K).fill(0).fill(wrong, 41, 42)); // prettier-ignore
      await expect(bits(network, "causal"), String(wrong)).rejects.toMatchObject({ exitCode: 5 });
    }
  });

  test("no image (3), a token that is no code (3), another grid (4)", async () => {
    await expect(bits(uniform, "causal", images(0))).rejects.toMatchObject({ exitCode: 3 });
    for (const objective of LEARNT_OBJECTIVES)
      for (const wrong of [-1, K]) {
        const data = images();
        data.tokens.tokens[3] = wrong;
        await expect(bits(uniform, objective, data)).rejects.toMatchObject({ exitCode: 3 });
      }
    const { tokens, labels } = images();
    const turned = { tokens: { tokens: tokens.tokens, shape: [COUNT, 2, 8] as const }, labels };
    await expect(bits(uniform, "causal", turned)).rejects.toMatchObject({ exitCode: 4 });
  });

  test("stops with the signal's reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const onProgress = (): void => {
      controller.abort(reason);
    };
    const measuring = measureBitsPerToken(uniform, images(), shapeOf("diffusion"), { signal: controller.signal, onProgress }); // prettier-ignore
    await expect(measuring).rejects.toBe(reason);
  });
});

async function writeTokens(count: number, seed: number): Promise<TokenSet> {
  const directory = temporary("tokens");
  const classes = ["x", "y", "z"];
  const header = { fingerprint: "a".repeat(64), preprocessing: {}, grid: [4, 4] as [number, number], codebookSize: K, classes }; // prettier-ignore
  const writer = await createTokenWriter({ directory, header });
  for (let i = 0; i < count; i++) {
    const rng = Rng.fromSeed(seed).fork(i);
    const tokens = Int32Array.from({ length: L }, () => rng.integer(1 + rng.integer(K)));
    await writer.append({ key: `k${i}`, label: (i % 4) - 1, tokens });
  }
  await writer.finish();
  return openTokens(directory);
}

test.each(LEARNT_OBJECTIVES.flatMap((objective) => [0, 3].map((classes) => ({ objective, classes }))))(
  "the published graph's figure is the one that training measured: $objective, $classes classes",
  async ({ objective, classes }) => {
    const config = tinyPrior({ objective, classes, steps: 25, batchSize: 3, weightEmaDecay: 0.5 });
    const [training, heldOut] = [await writeTokens(9, 0), await writeTokens(5, 1)];
    const engine = createOnnxEngine({ threads: 1 });
    const run = await trainPrior({ config, training, heldOut, engine, seed: 4, reporter: silentReporter });
    if (run.interrupted) throw new Error("The run should have finished.");
    const directory = temporary("prior");
    await publishPrior(run, { directory });
    const prior = await loadPrior(directory, { threads: 1 });
    const { grid: tokens, labels } = await heldOut.load();
    const figure = await prior.bitsPerToken({ tokens, labels });
    expect(Math.abs(figure - run.bitsPerToken)).toBeLessThan(1e-4);
    if (classes > 0) {
      const other = await prior.bitsPerToken({ tokens, labels: labels.map((label) => (label + 1) % 3) });
      expect(Math.abs(other - figure)).toBeGreaterThan(1e-4);
    }
    await prior.dispose();
  },
);
