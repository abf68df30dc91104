/** `tessera guidance-curve`: shares by arithmetic, with priors that repeat training images; the command over a tiny network; what it refuses. */
import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { guidanceCurve } from "../../pipelines/guidance-curve.ts";
import { createTokenWriter, openTokens, type TokenSet } from "../../shared/token-file/index.ts";
import type { TokenGrid } from "../../shared/tokens.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import type { Prior, SampleRequest } from "../../stage2-prior/index.ts";
import { drawFolder, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { untrained } from "../stage2-prior/tiny-artifact.ts";
import { tinyPrior } from "../stage2-prior/tiny-config.ts";

const temporary = useTemporaryDirectory();
const CLASSES = ["east", "west"];
const [K, L] = [8, 16];
let [tokenizer, training, conditional] = ["", "", ""];

async function publishTiny(classes: readonly string[], name: string): Promise<string> {
  const directory = temporary(name);
  const { fingerprint } = (await openTokens(training)).header;
  const config = tinyPrior({ codebookSize: K, layers: 1, classes: classes.length, objective: "masked" });
  await publishPrior({ ...untrained(config), fingerprint, classes }, { directory });
  return directory;
}

beforeAll(async () => {
  const images = await drawFolder(temporary("images"), CLASSES, 6);
  tokenizer = await publishUntrained(tinyConfig({}), temporary("tokenizer"));
  training = temporary("training");
  const words = ["tokenize", "--tokenizer", tokenizer, "--source", images, "--out", training, "--threads", 1];
  expect(await tessera(...words)).toMatchObject({ code: 0 });
  conditional = await publishTiny(CLASSES, "conditional");
});

/** Tokens of one image, code after code; label −1 for none. */
type Row = readonly [label: number, codes: (position: number) => number];

async function writeSet(name: string, rows: readonly Row[]): Promise<TokenSet> {
  const directory = temporary(name);
  const { header } = await openTokens(training);
  const writer = await createTokenWriter({ directory, header });
  for (const [i, [label, codes]] of rows.entries()) {
    const tokens = Int32Array.from({ length: L }, (_, position) => codes(position));
    await writer.append({ key: `${name} ${i}`, tokens, ...(label >= 0 && { label }) });
  }
  await writer.finish();
  return openTokens(directory);
}

const flat = (code: number) => (): number => code;
const split = (code: number, other: number) => (position: number) => (position < L / 4 ? other : code);

describe("a prior that repeats training images, near to itself by tokens", () => {
  let drawn = 0;

  /** Of the class asked for above scale 1, else of the other one. */
  async function curve(options: { scales: readonly number[]; count: number; heldOut?: readonly Row[] }) {
    const rows: Row[] = [[0, flat(0)], [0, flat(1)], [0, flat(2)], [1, flat(3)], [1, flat(4)], [-1, flat(5)]]; // prettier-ignore
    const set = await writeSet("training set", rows);
    const asked: SampleRequest[] = [];
    const sample = (request: SampleRequest): Promise<TokenGrid> => {
      asked.push(request);
      drawn++;
      const label = CLASSES.indexOf(request.className ?? "");
      const wanted = (request.guidance?.scale ?? NaN) > 1 ? label : 1 - label;
      const tokens = Int32Array.from({ length: request.count * L }, () => (wanted === 0 ? 1 : 4));
      return Promise.resolve({ tokens, shape: [request.count, 4, 4] });
    };
    const spec = {
      ...{ objective: "masked", codebookSize: K, grid: [4, 4], classes: CLASSES, maskSchedule: "cosine" },
      fingerprint: set.header.fingerprint,
    } as const;
    const prior = { directory: "somewhere", name: "parrot", spec, sample } as unknown as Prior;
    const { scales, count, heldOut } = options;
    const result = await guidanceCurve({
      ...{ prior, training: set, scales, count, references: 100, seed: 0, schedule: "linear" },
      ...{ directory: temporary("parrot"), decoding: { topK: 3 } },
      heldOut: heldOut && (await writeSet("held-out set", heldOut)),
      tokenizer: await loadTokenizer(tokenizer, { threads: 1 }),
      ...{ reporter: silentReporter, signal: new AbortController().signal },
    });
    return { ...result, asked };
  }

  test("has a share of 0 at 1 and below, of 1 above, as it was made to", async () => {
    const { points, chance, heldOut, sheet, asked } = await curve({ scales: [0, 1, 2], count: 7 });
    expect(points).toEqual([
      { scale: 0, share: 0, shares: { east: 0, west: 0 } },
      { scale: 1, share: 0, shares: { east: 0, west: 0 } },
      { scale: 2, share: 1, shares: { east: 1, west: 1 } },
    ]);
    expect([chance, heldOut]).toEqual([0.5, NaN]);
    expect(existsSync(sheet)).toBe(true);
    expect(asked.map(({ count, className }) => [count, className])).toEqual([0, 1, 2].flatMap(() => [[4, "east"], [3, "west"]])); // prettier-ignore
    for (const request of asked) {
      expect(request).toMatchObject({ topK: 3, guidance: { schedule: "linear" } });
      const same = asked.filter(({ className }) => className === request.className);
      expect(same.every(({ rng }) => rng.fork("x").uniform() === request.rng.fork("x").uniform())).toBe(true);
    }
  });

  test("real images count by class, all alike, and those without a class neither ask nor answer", async () => {
    const heldOut: Row[] = [
      ...[0, 1, 2].map((code): Row => [0, split(code, 3)]),
      [0, split(3, 0)], // looks like the other class
      [1, split(4, 0)],
      [-1, flat(0)],
    ];
    expect((await curve({ scales: [2], count: 2, heldOut })).heldOut).toBeCloseTo((3 / 4 + 1) / 2, 12);
    const unlabelled: Row[] = [[0, split(5, 0)], [1, flat(3)]]; // prettier-ignore
    expect((await curve({ scales: [2], count: 2, heldOut: unlabelled })).heldOut).toBe(1);
  });

  test("refuses what does not fit the prior before anything is drawn", async () => {
    const before = drawn;
    await expect(curve({ scales: [2], count: 1 })).rejects.toMatchObject({ exitCode: 2 });
    await expect(curve({ scales: [2, -1], count: 2 })).rejects.toMatchObject({ exitCode: 2 });
    expect(drawn).toBe(before);
  });
});

const curveOf = (prior: string, ...words: readonly (string | number)[]): Promise<Outcome> =>
  tessera("guidance-curve", "--tokenizer", tokenizer, "--prior", prior, "--tokens", training, "--threads", 1, "--count", 6, "--out", temporary("out"), ...words); // prettier-ignore

describe("the command", () => {
  test("prints a row a scale, the same from the same seed", async () => {
    const { code, stdout, stderr } = await curveOf(conditional, "--scales", "1, 4", "--held-out", training);
    expect(code, stderr).toBe(0);
    for (const part of ["of the class asked for", "east", "west", "By chance", "50.0 %", "real held-out images"]) {
      expect(stdout).toContain(part);
    }
    const jsons = [3, 3, 4].map((seed) => curveOf(conditional, "--scales", "2", "--seed", seed, "--json"));
    const [first, second] = (await Promise.all(jsons)).map(({ json }) => json?.["points"]);
    expect(first).toEqual(second);
    const [point] = first as { share: number; shares: Record<string, number> }[];
    expect(point?.share).toBeCloseTo(((point?.shares["east"] ?? NaN) + (point?.shares["west"] ?? NaN)) / 2, 12);
  });

  test("with the prior in int8 says so", async () => {
    const { code, json, stderr } = await curveOf(conditional, "--scales", "2", "--dtype", "int8", "--json");
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ dtype: "int8" });
  });

  test("refuses what has no classes, other classes, and lists that are none", async () => {
    const [without, other] = [await publishTiny([], "without"), await publishTiny(["west", "east"], "other")];
    expect(await curveOf(without)).toMatchObject({ code: 2 });
    expect(await curveOf(other)).toMatchObject({ code: 4 });
    expect(await curveOf(conditional, "--scales", "1,two")).toMatchObject({ code: 2 });
    expect(await curveOf(conditional, "--scales", "-1")).toMatchObject({ code: 2 });
    expect(await curveOf(conditional, "--count", 1)).toMatchObject({ code: 2 });
    expect(await curveOf(conditional, "--steps", 17)).toMatchObject({ code: 2 });
  });
});
