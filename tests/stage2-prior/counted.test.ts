/** Counted priors: in memory and published they are one prior; and the files that hold no counts. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openArtifact, publishArtifact, type JsonValue } from "../../shared/artifact.ts";
import { Rng } from "../../shared/rng.ts";
import { createTokenWriter, openTokens, type TokenSet } from "../../shared/token-file/index.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import { decodeSafetensors, encodeSafetensors, type SafeTensor } from "../../shared/train/safetensors.ts";
import { countedThings, countPrior, publishCountingPrior, trainCountingPrior } from "../../stage2-prior/counted.ts";
import { createCountedPrior, loadPrior } from "../../stage2-prior/prior.ts";
import { COUNTING_OBJECTIVES, type CountingObjective } from "../../stage2-prior/signature.ts";
import { noise, planted } from "../contracts/baseline.ts";
import { describePrior } from "../contracts/prior.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { FINGERPRINT } from "./tiny-artifact.ts";

const temporary = useTemporaryDirectory();
const K = 7;
const tokenizer = { codebookSize: K, fingerprint: FINGERPRINT };
const { grid: training } = planted([30, 4, 4], K);
const { grid: heldOut } = planted([5, 4, 4], K, 9);

const countTiny = (objective: CountingObjective) => countPrior({ objective, training, heldOut, tokenizer });
async function publishTiny(objective: CountingObjective): Promise<string> {
  const directory = temporary(objective);
  await publishCountingPrior(countTiny(objective), { directory, provenance: { from: { tokens: "set" } } });
  return directory;
}

async function writeTokens(grid: TokenGrid, changes: { fingerprint?: string } = {}): Promise<TokenSet> {
  const directory = temporary("tokens");
  const header = {
    fingerprint: FINGERPRINT,
    preprocessing: {},
    grid: [4, 4],
    codebookSize: K,
    classes: ["x"],
  } as const;
  const writer = await createTokenWriter({ directory, header: { ...header, ...changes } });
  for (let i = 0; i < grid.shape[0]; i++)
    await writer.append({ key: `k${i}`, tokens: grid.tokens.subarray(i * 16, (i + 1) * 16), label: 0 });
  await writer.finish();
  return openTokens(directory);
}

describe.each(COUNTING_OBJECTIVES)("%s", (objective) => {
  const spec = { ...tokenizer, objective, grid: [4, 4], classes: [], maskSchedule: "cosine" } as const;
  const leaf = { spec, raster: true };
  describePrior({ ...leaf, name: `published ${objective}`, open: async () => loadPrior(await publishTiny(objective)) });

  test("in int8 it is refused (2): it has no products", async () => {
    const directory = await publishTiny(objective);
    await expect(loadPrior(directory, { dtype: "int8" })).rejects.toMatchObject({ exitCode: 2 });
    await (await loadPrior(directory, { dtype: "float32" })).dispose();
  });

  test("is sampled where it was opened, whatever processes are asked for", async () => {
    const prior = await loadPrior(await publishTiny(objective), { processes: 2 }); // sources could start none
    expect((await prior.sample({ count: 2, rng: Rng.fromSeed(2) })).shape).toEqual([2, 4, 4]);
  });

  test("in memory and published it samples the same tokens, also behind a known beginning", async () => {
    const known = { tokens: new Int32Array(3 * 16).fill(UNKNOWN), shape: [3, 4, 4] } as const;
    for (let image = 0; image < 3; image++) known.tokens.set([1, 2, 3, 4, 5, 6], image * 16);
    const request = { count: 3, rng: Rng.fromSeed(2), temperature: 0.8, topP: 0.9 };
    const inMemory = createCountedPrior(countTiny(objective));
    const published = await loadPrior(await publishTiny(objective));
    expect(published.spec).toEqual(inMemory.spec);
    expect(await published.sample(request)).toEqual(await inMemory.sample(request));
    expect(await published.sample({ ...request, known })).toEqual(await inMemory.sample({ ...request, known }));
  });

  test("says what it is, what it counted and what was measured; every digest is right", async () => {
    const directory = await publishTiny(objective);
    const artifact = await openArtifact(directory, { kind: "prior" });
    await artifact.verify();
    const { bitsPerToken, counting } = countTiny(objective);
    const { manifest } = artifact;
    expect(Object.keys(manifest.files).sort()).toEqual(["README.md", "config.json", "counts.safetensors"]);
    const config = { objective, codebookSize: K, grid: [4, 4], classes: [], maskSchedule: "cosine", measure: "exact" };
    expect(manifest).toMatchObject({ fingerprint: FINGERPRINT, config });
    expect(manifest.provenance).toMatchObject({ metrics: { bitsPerToken }, from: { tokens: "set" } });
    expect(JSON.parse(readFileSync(join(directory, "config.json"), "utf8"))).toEqual(config);
    const card = readFileSync(join(directory, "README.md"), "utf8");
    for (const part of [objective, `(${countedThings(counting)} counts)`, bitsPerToken.toFixed(3), "4×4"])
      expect(card).toContain(part);
    const { tensors } = decodeSafetensors(await artifact.read("counts.safetensors"), "counts");
    expect(Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data]))).toEqual(
      counting.counts(),
    );
  });

  test("is written again byte for byte, and replaces a folder only when asked (2)", async () => {
    const [one, two] = [await publishTiny(objective), await publishTiny(objective)];
    for (const file of ["counts.safetensors", "config.json", "README.md"])
      expect(readFileSync(join(one, file)).equals(readFileSync(join(two, file))), file).toBe(true);
    const counted = countTiny(objective);
    await expect(publishCountingPrior(counted, { directory: one })).rejects.toMatchObject({ exitCode: 2 });
    await publishCountingPrior(counted, { directory: one, overwrite: true });
  });

  test("without its counts (3), or with one changed byte in them (4), it is refused", async () => {
    const directory = await publishTiny(objective);
    const path = join(directory, "counts.safetensors");
    const bytes = readFileSync(path);
    for (const at of [0, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(path, changed);
      await expect(loadPrior(directory)).rejects.toMatchObject({ exitCode: 4 });
    }
    rmSync(path);
    await expect(loadPrior(directory)).rejects.toMatchObject({ exitCode: 3 });
  });

  test("of token sets it is what it is of their tokens", async () => {
    const [set, held] = [await writeTokens(training), await writeTokens(heldOut)];
    const counted = await trainCountingPrior({ objective, training: set, heldOut: held });
    const expected = countTiny(objective);
    expect(counted.spec).toEqual(expected.spec);
    expect(counted.bitsPerToken).toBe(expected.bitsPerToken);
    expect(counted.counting.counts()).toEqual(expected.counting.counts());
  });
});

test("counts a thing once: none, K codes, or the triples that occur", () => {
  const grid = { tokens: Int32Array.of(0, 0, 0, 0, 0, 0), shape: [1, 1, 6] } as const;
  const things = COUNTING_OBJECTIVES.map((objective) =>
    countedThings(countPrior({ objective, training: grid, heldOut: grid, tokenizer }).counting),
  );
  expect(things).toEqual([0, K, 2]);
});

test("without a held-out set the last twentieth is measured on and not counted", async () => {
  const { grid } = planted([40, 4, 4], K, 3);
  const part = (from: number, to: number): TokenGrid => ({
    tokens: grid.tokens.slice(from * 16, to * 16),
    shape: [to - from, 4, 4],
  });
  const counted = await trainCountingPrior({ objective: "unigram", training: await writeTokens(grid) });
  const split = { training: part(0, 38), heldOut: part(38, 40) };
  const expected = countPrior({ objective: "unigram", ...split, tokenizer });
  expect(counted.bitsPerToken).toBe(expected.bitsPerToken);
  expect(counted.counting.counts()).toEqual(expected.counting.counts());
});

test("held-out tokens of another tokenizer (4) and an empty set (3) are refused", async () => {
  const set = await writeTokens(training);
  const other = await writeTokens(heldOut, { fingerprint: "b".repeat(64) });
  const empty = await writeTokens(noise([0, 4, 4], K));
  const train = (sets: { training: TokenSet; heldOut?: TokenSet }) =>
    trainCountingPrior({ objective: "markov2d", ...sets });
  await expect(train({ training: set, heldOut: other })).rejects.toMatchObject({ exitCode: 4 });
  await expect(train({ training: empty })).rejects.toMatchObject({ exitCode: 3 });
  await expect(train({ training: set, heldOut: empty })).rejects.toMatchObject({ exitCode: 3 });
});

describe("an artefact of anybody's making", () => {
  const count = (...values: number[]): SafeTensor => ({
    dtype: "I32",
    shape: [values.length],
    data: Int32Array.from(values),
  });
  async function publishCounts(
    tensors: Readonly<Record<string, SafeTensor>> | Uint8Array,
    changes: Readonly<Record<string, JsonValue>> = {},
  ): Promise<string> {
    const directory = temporary("by-hand");
    const config = { objective: "unigram", codebookSize: 3, grid: [2, 2], classes: [], ...changes };
    const bytes = tensors instanceof Uint8Array ? tensors : encodeSafetensors(tensors);
    const files = { "counts.safetensors": bytes };
    await publishArtifact({ directory, kind: "prior", config, fingerprint: FINGERPRINT, files });
    return directory;
  }

  test("with counts and a manifest is a prior", async () => {
    const prior = await loadPrior(await publishCounts({ count: count(0, 9, 1) }));
    const { tokens } = await prior.sample({ count: 2, rng: Rng.fromSeed(1), temperature: 0 });
    expect([...tokens]).toEqual(Array<number>(8).fill(1));
  });

  const float: SafeTensor = { dtype: "F32", shape: [3], data: Float32Array.of(1, 2, 3) };
  const table: SafeTensor = { dtype: "I32", shape: [1, 3], data: Int32Array.of(1, 2, 3) };
  test.each<[string, Parameters<typeof publishCounts>]>([
    ["bytes that are no safetensors", [Uint8Array.of(1, 2, 3)]],
    ["numbers that are no counts", [{ count: float }]],
    ["counts that are no vector", [{ count: table }]],
    ["counts of another K", [{ count: count(1, 2) }]],
    ["a negative count", [{ count: count(1, -2, 3) }]],
    ["no counts", [{}]],
    ["counts of another prior", [{ count: count(1, 2, 3) }, { objective: "markov2d" }]],
    ["counts for what counts nothing", [{ count: count(1, 2, 3) }, { objective: "uniform" }]],
    ["classes, which counts do not know", [{ count: count(1, 2, 3) }, { classes: ["x"] }]],
  ])("with %s is bad input (3) that names it", async (_what, parts) => {
    const directory = await publishCounts(...parts);
    await expect(loadPrior(directory)).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringContaining(directory) as string,
    });
  });

  test("with a graph where counts should be, or counts where a graph should be, is bad input (3)", async () => {
    await expect(loadPrior(await publishCounts({ count: count(1, 2, 3) }, { objective: "causal" }))).rejects.toMatchObject({ exitCode: 3 }); // prettier-ignore
    const directory = temporary("graph");
    const config = { objective: "unigram", codebookSize: 3, grid: [2, 2], classes: [] };
    await publishArtifact({ directory, kind: "prior", config, fingerprint: FINGERPRINT, files: { "prior.onnx": "" } });
    await expect(loadPrior(directory)).rejects.toMatchObject({ exitCode: 3 });
  });
});
