/** The cache's bookkeeping, on sessions that compute nothing; the real graphs against the training code are in train.test.ts. */
import { describe, expect, test } from "vitest";
import type { ValueInfo } from "../../shared/onnx/model.ts";
import type { OnnxSession, TensorValue } from "../../shared/onnx/session.ts";
import { UNKNOWN } from "../../shared/tokens.ts";
import { createCausalNetwork, createMaskedNetwork, createRasterNetwork } from "../../stage2-prior/networks.ts";

const K = 5;
const [HEADS, HEAD_DIMENSION] = [2, 3];
const ROW = HEADS * HEAD_DIMENSION;

type Feeds = Readonly<Record<string, TensorValue>>;
interface Call {
  readonly feeds: Feeds;
}

const numbersOf = (feeds: Feeds, name: string): number[] => [...(feeds[name]?.data ?? [])].map(Number);

/** A session that notes its feeds (copied: the cache goes on changing) and answers with `answer`. */
function fake(inputs: readonly ValueInfo[], answer: (feeds: Feeds) => Feeds, calls: Call[]): OnnxSession {
  return {
    inputs,
    outputs: [],
    run: (feeds) => {
      const copies = Object.entries(feeds).map(([key, feed]) => [key, { ...feed, data: feed.data.slice() }] as const);
      calls.push({ feeds: Object.fromEntries(copies) });
      return Promise.resolve({ ...answer(feeds) });
    },
    dispose: () => Promise.resolve(),
  };
}

const input = (name: string, type: ValueInfo["type"], shape: ValueInfo["shape"]): ValueInfo => ({ name, type, shape });

describe("masked", () => {
  const inputs = [input("tokens", "int64", ["N", 3]), input("class", "int64", ["N"])];
  const logits = Float32Array.from({ length: 2 * 3 * K }, (_, i) => i);
  const answer = (): Feeds => ({ logits: { type: "float32", shape: [2, 3, K], data: logits } });
  const options = { codebookSize: K, classIds: Int32Array.of(1, 4) };

  test("feeds ids, with K for what is unknown, and the classes; gives the logits", async () => {
    const calls: Call[] = [];
    const network = createMaskedNetwork(fake(inputs, answer, calls), options);
    expect(await network(Int32Array.of(0, UNKNOWN, 4, UNKNOWN, UNKNOWN, 2))).toEqual(logits);
    expect(calls[0]?.feeds).toEqual({
      tokens: { type: "int64", shape: [2, 3], data: BigInt64Array.of(0n, 5n, 4n, 5n, 5n, 2n) },
      class: { type: "int64", shape: [2], data: BigInt64Array.of(1n, 4n) },
    });
  });

  test("feeds no class to a graph that asks for none", async () => {
    const calls: Call[] = [];
    await createMaskedNetwork(fake(inputs.slice(0, 1), answer, calls), options)(new Int32Array(6));
    expect(Object.keys(calls[0]?.feeds ?? {})).toEqual(["tokens"]);
  });

  test("refuses an id outside the codebook before the graph sees it", async () => {
    const calls: Call[] = [];
    const network = createMaskedNetwork(fake(inputs, answer, calls), options);
    await expect(network(Int32Array.of(0, 0, K, 0, 0, 0))).rejects.toMatchObject({ code: "bad-input" });
    expect(calls).toEqual([]);
  });
});

describe("raster", () => {
  const LENGTH = 4;
  const inputs = [input("tokens", "int64", ["N", LENGTH]), input("class", "int64", ["N"])];
  const answer =
    (length = LENGTH) =>
    (): Feeds => {
      const data = Float32Array.from({ length: 2 * length * K }, (_, i) => i); // image n, position t, code k: 20n + 5t + k
      return { logits: { type: "float32", shape: [2, length, K], data } };
    };
  const create = (calls: Call[], length = LENGTH) =>
    createRasterNetwork(fake(inputs, answer(length), calls), {
      codebookSize: K,
      length: LENGTH,
      classIds: Int32Array.of(1, 4),
    });

  test("feeds the tokens so far, K from the position asked on, and gives the logits of that position", async () => {
    const calls: Call[] = [];
    const network = create(calls);
    const rows = (position: number): number[] => [0, 1].flatMap((n) => [0, 1, 2, 3, 4].map((k) => 20 * n + 5 * position + k)); // prettier-ignore
    expect([...(await network(Int32Array.of(UNKNOWN, UNKNOWN)))]).toEqual(rows(0));
    expect([...(await network(Int32Array.of(1, 2)))]).toEqual(rows(1));
    expect([...(await network(Int32Array.of(3, 0, 4, 4)))]).toEqual(rows(3));
    expect(calls.map(({ feeds }) => numbersOf(feeds, "tokens"))).toEqual([
      [5, 5, 5, 5, 5, 5, 5, 5],
      [1, 5, 5, 5, 2, 5, 5, 5],
      [1, 3, 0, 5, 2, 4, 4, 5],
    ]);
    expect(numbersOf(calls[0]?.feeds ?? {}, "class")).toEqual([1, 4]);
  });

  test("known tokens may come all at once", async () => {
    const calls: Call[] = [];
    await create(calls)(Int32Array.of(UNKNOWN, 1, 2, UNKNOWN, 3, 4));
    expect(numbersOf(calls[0]?.feeds ?? {}, "tokens")).toEqual([1, 2, 5, 5, 3, 4, 5, 5]);
  });

  test("a graph of another grid is a mismatch, not a slice of the wrong position", async () => {
    await expect(create([], LENGTH + 1)(Int32Array.of(UNKNOWN, UNKNOWN))).rejects.toMatchObject({ code: "mismatch" });
  });
});

describe("causal", () => {
  const LENGTH = 150;
  const COUNT = 2;
  const rows = ["N", HEADS, "R", HEAD_DIMENSION] as const;
  const CACHES = [0, 1].flatMap((layer) => [`keys_${layer}`, `values_${layer}`]);
  const inputs = [
    input("tokens", "int64", ["N", "T"]),
    input("class", "int64", ["N"]),
    input("past_length", "int64", [1]),
    ...CACHES.map((name) => input(`past_${name}`, "float32", rows)),
  ];

  /** [N, H, T, Dh]: rows of positions from `start` on, no two numbers alike. */
  const rowsFrom = (start: number, steps: number, cache: number): Float32Array =>
    Float32Array.from({ length: COUNT * ROW * steps }, (_, i) => {
      const [head, at, d] = [Math.floor(i / (steps * HEAD_DIMENSION)), Math.floor(i / HEAD_DIMENSION) % steps, i % HEAD_DIMENSION]; // prettier-ignore
      return start + at + 1000 * head + d / 8 + cache / 64;
    });

  /** Logits of position t, image n: 10·t + n + k/8. */
  const answer = (feeds: Feeds): Feeds => {
    const [past = 0] = numbersOf(feeds, "past_length");
    const [, steps = 0] = feeds["tokens"]?.shape ?? [];
    const logits = Float32Array.from({ length: COUNT * steps * K }, (_, i) => {
      const [image, at] = [Math.floor(i / (steps * K)), Math.floor(i / K) % steps];
      return 10 * (past + at) + image + (i % K) / 8;
    });
    const shape = [COUNT, HEADS, steps, HEAD_DIMENSION];
    return {
      logits: { type: "float32", shape: [COUNT, steps, K], data: logits },
      ...Object.fromEntries(
        CACHES.map((name, i) => [`present_${name}`, { type: "float32", shape, data: rowsFrom(past, steps, i) }]),
      ),
    };
  };
  function setUp() {
    const calls: Call[] = [];
    const session = fake(inputs, answer, calls);
    const create = () =>
      createCausalNetwork(session, { codebookSize: K, length: LENGTH, classIds: Int32Array.of(3, 3) });
    return { calls, create };
  }

  test.each([
    { pieces: Array<number>(LENGTH).fill(1) },
    { pieces: [3, 1, 146] },
    { pieces: [63, 1, 1, 63, 1, 21] },
    { pieces: [LENGTH] },
  ])("each call is fed all rows that earlier ones returned, in pieces of $pieces", async ({ pieces }) => {
    const { calls, create } = setUp();
    const network = create();
    for (const steps of pieces) await network(new Int32Array(COUNT * steps));
    let past = 0;
    for (const [at, { feeds }] of calls.entries()) {
      expect(numbersOf(feeds, "past_length")).toEqual([past]);
      for (const [i, name] of CACHES.entries()) {
        const { shape = [], data = [] } = feeds[`past_${name}`] ?? {};
        const room = shape[2] ?? 0;
        expect(shape).toEqual([COUNT, HEADS, room, HEAD_DIMENSION]);
        expect(room).toBeGreaterThanOrEqual(Math.max(1, past));
        expect(room).toBeLessThanOrEqual(Math.min(LENGTH, past + 64));
        const held = [...data].filter((_, k) => Math.floor(k / HEAD_DIMENSION) % room < past);
        expect(held).toEqual([...rowsFrom(0, past, i)]);
        expect([...data].map(Number).every(Number.isFinite)).toBe(true);
      }
      past += pieces[at] ?? NaN;
    }
    expect(past).toBe(LENGTH);
  });

  test("a position beyond the grid is refused, not written over another head's rows", async () => {
    const network = setUp().create();
    await network(new Int32Array(COUNT * LENGTH));
    await expect(network(new Int32Array(COUNT))).rejects.toThrow(/150 positions/);
  });

  test("gives the logits of each image's last position", async () => {
    const { create } = setUp();
    const network = create();
    const of = (position: number): number[] =>
      [0, 1].flatMap((image) => [0, 1, 2, 3, 4].map((k) => 10 * position + image + k / 8));
    expect([...(await network(new Int32Array(COUNT * 4)))]).toEqual(of(3));
    expect([...(await network(new Int32Array(COUNT)))]).toEqual(of(4));
  });

  test("the start is K, and ids keep their rows", async () => {
    const { calls, create } = setUp();
    await create()(Int32Array.of(UNKNOWN, 1, 2, UNKNOWN, 3, 4));
    expect(calls[0]?.feeds["tokens"]).toEqual({
      type: "int64",
      shape: [2, 3],
      data: BigInt64Array.of(5n, 1n, 2n, 5n, 3n, 4n),
    });
    expect(calls[0]?.feeds["class"]?.data).toEqual(BigInt64Array.of(3n, 3n));
  });

  test("two networks of one prior do not share a cache", async () => {
    const { calls, create } = setUp();
    const [first, second] = [create(), create()];
    await first(new Int32Array(COUNT));
    await second(new Int32Array(COUNT));
    expect(calls.map(({ feeds }) => numbersOf(feeds, "past_length"))).toEqual([[0], [0]]);
  });
});
