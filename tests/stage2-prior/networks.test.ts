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
  readonly session: string;
  readonly feeds: Feeds;
}

const numbersOf = (feeds: Feeds, name: string): number[] => [...(feeds[name]?.data ?? [])].map(Number);

/** A session that notes its feeds (copied: the cache goes on changing) and answers with `answer`. */
function fake(name: string, inputs: readonly ValueInfo[], answer: (feeds: Feeds) => Feeds, calls: Call[]): OnnxSession {
  return {
    inputs,
    outputs: [],
    run: (feeds) => {
      const copies = Object.entries(feeds).map(([key, feed]) => [key, { ...feed, data: feed.data.slice() }] as const);
      calls.push({ session: name, feeds: Object.fromEntries(copies) });
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
    const network = createMaskedNetwork(fake("only", inputs, answer, calls), options);
    expect(await network(Int32Array.of(0, UNKNOWN, 4, UNKNOWN, UNKNOWN, 2))).toEqual(logits);
    expect(calls[0]?.feeds).toEqual({
      tokens: { type: "int64", shape: [2, 3], data: BigInt64Array.of(0n, 5n, 4n, 5n, 5n, 2n) },
      class: { type: "int64", shape: [2], data: BigInt64Array.of(1n, 4n) },
    });
  });

  test("feeds no class to a graph that asks for none", async () => {
    const calls: Call[] = [];
    await createMaskedNetwork(fake("only", inputs.slice(0, 1), answer, calls), options)(new Int32Array(6));
    expect(Object.keys(calls[0]?.feeds ?? {})).toEqual(["tokens"]);
  });

  test("refuses an id outside the codebook before the graph sees it", async () => {
    const calls: Call[] = [];
    const network = createMaskedNetwork(fake("only", inputs, answer, calls), options);
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
    createRasterNetwork(fake("only", inputs, answer(length), calls), {
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
  const LENGTH = 6;
  const COUNT = 2;
  const rows = ["P", "N", HEADS, HEAD_DIMENSION] as const;
  const inputs = [
    input("tokens", "int64", ["N", "T"]),
    input("class", "int64", ["N"]),
    ...[0, 1].flatMap((layer) => [
      input(`past_keys_${layer}`, "float32", rows),
      input(`past_values_${layer}`, "float32", rows),
    ]),
  ];

  /** New row of position t, image n: 100·t + 10·n + where it belongs; logits of position t, image n: 10·t + n + k/8. */
  const answer = (feeds: Feeds): Feeds => {
    const [past = 0] = feeds["past_keys_0"]?.shape ?? [];
    const [, steps = 0] = feeds["tokens"]?.shape ?? [];
    const made = (offset: number): TensorValue => ({
      type: "float32",
      shape: [steps, COUNT, HEADS, HEAD_DIMENSION],
      data: Float32Array.from(
        { length: steps * COUNT * ROW },
        (_, i) => 100 * (past + Math.floor(i / (COUNT * ROW))) + 10 * (Math.floor(i / ROW) % COUNT) + offset,
      ),
    });
    const logits = Float32Array.from({ length: COUNT * steps * K }, (_, i) => {
      const [image, at] = [Math.floor(i / (steps * K)), Math.floor(i / K) % steps];
      return 10 * (past + at) + image + (i % K) / 8;
    });
    return {
      logits: { type: "float32", shape: [COUNT, steps, K], data: logits },
      ...Object.fromEntries(
        [0, 1].flatMap((layer) => [
          [`present_keys_${layer}`, made(2 * layer)],
          [`present_values_${layer}`, made(2 * layer + 1)],
        ]),
      ),
    };
  };
  function setUp() {
    const calls: Call[] = [];
    const sessions = { growing: fake("growing", inputs, answer, calls), empty: fake("empty", inputs, answer, calls) };
    const create = () =>
      createCausalNetwork(sessions, { codebookSize: K, length: LENGTH, classIds: Int32Array.of(3, 3) });
    return { calls, create };
  }

  test("the first call goes to the session for the empty cache, all others to the growing one", async () => {
    const { calls, create } = setUp();
    const network = create();
    for (let i = 0; i < 3; i++) await network(new Int32Array(COUNT));
    expect(calls.map(({ session }) => session)).toEqual(["empty", "growing", "growing"]);
  });

  test.each([{ pieces: [1, 1, 1, 1, 1, 1] }, { pieces: [3, 1, 2] }, { pieces: [1, 4, 1] }])(
    "each call is fed all rows that earlier ones returned, in pieces of $pieces",
    async ({ pieces }) => {
      const { calls, create } = setUp();
      const network = create();
      for (const steps of pieces) await network(new Int32Array(COUNT * steps));
      let past = 0;
      for (const [at, { feeds }] of calls.entries()) {
        for (const [offset, name] of ["past_keys_0", "past_values_0", "past_keys_1", "past_values_1"].entries()) {
          expect(feeds[name]?.shape).toEqual([past, COUNT, HEADS, HEAD_DIMENSION]);
          const expected = Array.from({ length: past * COUNT * ROW }, (_, i) => 100 * Math.floor(i / (COUNT * ROW)) + 10 * (Math.floor(i / ROW) % COUNT) + offset); // prettier-ignore
          expect(numbersOf(feeds, name)).toEqual(expected);
        }
        past += pieces[at] ?? NaN;
      }
      expect(past).toBe(LENGTH);
    },
  );

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
    expect(calls.map(({ session }) => session)).toEqual(["empty", "empty"]);
  });
});
