import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { createTokenWriter, openTokens, type TokenHeader, type TokenSet } from "../../shared/token-file/index.ts";
import {
  checkSameTokens,
  createTokenBatches,
  loadTokenData,
  takeRows,
  type TokenData,
} from "../../stage2-prior/token-data.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";

const temporary = useTemporaryDirectory();

const HEADER: TokenHeader = {
  fingerprint: "a".repeat(64),
  preprocessing: {},
  grid: [2, 3],
  codebookSize: 9,
  classes: ["cat", "dog"],
};

/** Image i: the tokens i, i+1, …; every third without a label. */
async function write(count: number, changes: Partial<TokenHeader> = {}): Promise<TokenSet> {
  const directory = temporary("tokens");
  const header = { ...HEADER, ...changes };
  const writer = await createTokenWriter({ directory, header });
  for (let i = 0; i < count; i++) {
    const tokens = Int32Array.from({ length: header.grid[0] * header.grid[1] }, (_, at) => (i + at) % 9);
    await writer.append({ key: `k${i}`, tokens, ...(i % 3 === 2 ? {} : { label: i % 3 }) });
  }
  await writer.finish();
  return openTokens(directory);
}

/** `count` images without a file. */
const rows = (count: number): TokenData => ({
  tokens: Int32Array.from({ length: count * 2 }, (_, i) => i),
  labels: Int32Array.from({ length: count }, (_, i) => 100 + i),
  keys: Array.from({ length: count }, (_, i) => `k${i}`),
  length: 2,
});

test("loading gives tokens, labels, keys and L in the order written", async () => {
  expect(await loadTokenData(await write(4))).toEqual({
    tokens: Int32Array.of(0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 7, 3, 4, 5, 6, 7, 8),
    labels: Int32Array.of(0, 1, -1, 0),
    keys: ["k0", "k1", "k2", "k3"],
    length: 6,
  });
});

test("a set without an image is bad input that names it", async () => {
  const empty = await write(0);
  await expect(loadTokenData(empty)).rejects.toMatchObject({
    code: "bad-input",
    message: expect.stringContaining(empty.directory) as string,
  });
});

describe("rows", () => {
  test("stand where they were asked for, also twice, with their labels and keys; the data stays as it was", () => {
    const data = rows(4);
    const taken = takeRows(data, [3, 0, 3]);
    expect(taken).toEqual({
      tokens: Int32Array.of(6, 7, 0, 1, 6, 7),
      labels: Int32Array.of(103, 100, 103),
      keys: ["k3", "k0", "k3"],
    });
    taken.tokens.fill(-5);
    expect(data).toEqual(rows(4));
  });
});

describe("batches", () => {
  test("hold every image once an epoch, whatever the batch size, across the ends of epochs", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 12 }), fc.nat(), (count, size, seed) => {
        const batch = createTokenBatches(rows(count), size, Rng.fromSeed(seed));
        const steps = Math.ceil((3 * count) / size);
        const keys = Array.from({ length: steps }, (_, step) => batch(step).keys).flat();
        expect(keys).toHaveLength(steps * size);
        for (let epoch = 0; epoch < 3; epoch++)
          expect(keys.slice(epoch * count, (epoch + 1) * count).sort()).toEqual([...rows(count).keys].sort());
      }),
    );
  });

  test("are a function of the step: asked for in any order they are the same", () => {
    const batch = createTokenBatches(rows(5), 3, Rng.fromSeed(2));
    const ascending = [0, 1, 2, 3, 4].map(batch);
    expect([4, 3, 2, 1, 0].map(batch).reverse()).toEqual(ascending);
  });
});

describe("sets that one prior learns and is measured on", () => {
  test("may differ in their images", async () => {
    const [training, heldOut] = [await write(2), await write(3)];
    expect(() => {
      checkSameTokens(training, heldOut);
    }).not.toThrow();
  });

  test.each([
    ["tokenizer", { fingerprint: "b".repeat(64) }],
    ["grid", { grid: [3, 2] }],
    ["codebook", { codebookSize: 10 }],
    ["number of classes", { classes: ["cat", "dog", "eel"] }],
    ["class names", { classes: ["cat", "eel"] }],
    ["order of classes", { classes: ["dog", "cat"] }],
  ] as const)("must not differ in %s (4)", async (_what, changes) => {
    const [training, heldOut] = [await write(2), await write(2, changes)];
    expect(() => {
      checkSameTokens(training, heldOut);
    }).toThrow(
      expect.objectContaining({ exitCode: 4, message: expect.stringContaining(heldOut.directory) as string }) as Error,
    );
  });
});
