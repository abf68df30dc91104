import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { TesseraError } from "../../../shared/errors.ts";
import type { OnnxModel, OnnxType } from "../../../shared/onnx/model.ts";
import { availableProviders, createSession } from "../../../shared/onnx/session.ts";
import type { OnnxSession, TensorValue } from "../../../shared/onnx/session.ts";
import { encodeModel } from "../../../shared/onnx/write.ts";
import { CACHE, LINEAR } from "./models.ts";

const floats = (shape: readonly number[], ...values: readonly number[]): TensorValue => ({
  type: "float32",
  shape,
  data: Float32Array.from(values),
});

describe("a linear layer", () => {
  let session: OnnxSession;
  beforeAll(async () => {
    session = await createSession(encodeModel(LINEAR), { threads: 1 });
  });
  afterAll(() => session.dispose());

  test("tells its signature", () => {
    expect(session.inputs).toEqual(LINEAR.inputs);
    expect(session.outputs).toEqual(LINEAR.outputs);
    expect("endProfiling" in session).toBe(false);
  });

  test.each([
    [
      [1, 0, 0],
      [1.5, 1.5],
    ],
    [
      [1, 1, 1, 0, 0, 2],
      [9.5, 11.5, 10.5, 11.5],
    ],
    [[], []],
  ])("computes x·w + b for %j, whatever the batch", async (x, y) => {
    const { y: result } = await session.run({ x: floats([x.length / 3, 3], ...x) });
    expect(result).toEqual(floats([y.length / 2, 2], ...y));
  });

  test("reads a view where it lies and leaves it as it was", async () => {
    const data = Float32Array.of(9, 9, 1, 0, 0, 9);
    const { y } = await session.run({ x: { type: "float32", shape: [1, 3], data: data.subarray(2, 5) } });
    expect(y?.data).toEqual(Float32Array.of(1.5, 1.5));
    expect(data).toEqual(Float32Array.of(9, 9, 1, 0, 0, 9));
  });

  test.each<[string, Record<string, TensorValue>, RegExp]>([
    ["a missing feed", {}, /feed "x": a feed is missing/],
    ["an inherited feed", Object.create({ x: floats([1, 3], 1, 2, 3) }) as Record<string, TensorValue>, /missing/],
    ["an unknown feed", { x: floats([1, 3], 1, 2, 3), z: floats([1], 1) }, /feed "z".*expected x/],
    ["another type", { x: { type: "int32", shape: [1, 3], data: new Int32Array(3) } }, /expected float32.*got int32/],
    ["another array", { x: { type: "float32", shape: [1, 3], data: new Int32Array(3) } }, /got float32 as Int32Array/],
    ["another rank", { x: floats([3], 1, 2, 3) }, /expected \[N, 3\], got \[3\]/],
    ["another size", { x: floats([1, 4], 1, 2, 3, 4) }, /expected \[N, 3\], got \[1, 4\]/],
    ["a negative size", { x: floats([-1, 3], 1, 2, 3) }, /got \[-1, 3\]/],
    ["another length", { x: floats([2, 3], 1, 2, 3) }, /expected 6 elements.*got 3/],
  ])("refuses %s", async (_, feeds, message) => {
    await expect(session.run(feeds)).rejects.toThrow(message);
    await expect(session.run(feeds)).rejects.toMatchObject({ code: "mismatch" });
  });

  test("refuses an unknown fetch", async () => {
    await expect(session.run({ x: floats([1, 3], 1, 2, 3) }, ["q"])).rejects.toThrow(/fetch "q".*expected y/);
  });
});

test("an empty cache is a legal input and grows by one", async () => {
  const session = await createSession(encodeModel(CACHE));
  let past = floats([1, 0, 2]);
  for (const [step, row] of [
    [1, 2],
    [3, 4],
    [5, 6],
  ].entries()) {
    const { all } = await session.run({ past, new: floats([1, 1, 2], ...row) });
    expect(all?.shape).toEqual([1, step + 1, 2]);
    past = all ?? past;
  }
  expect(past.data).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
  const nobody = await session.run({ past: floats([0, 3, 2]), new: floats([0, 1, 2]) });
  expect(nobody.all).toEqual(floats([0, 4, 2]));
  const unequal = session.run({ past: floats([2, 0, 2]), new: floats([1, 1, 2], 1, 2) });
  await expect(unequal).rejects.toThrow(/feed "new": dimension N differs between feeds \(expected 2, got 1\)/);
  await session.dispose();
});

const VALUES: readonly TensorValue[] = [
  { type: "float32", shape: [2], data: Float32Array.of(0.5, -1) },
  { type: "int32", shape: [2], data: Int32Array.of(2 ** 31 - 1, -1) },
  { type: "int64", shape: [2], data: BigInt64Array.of(2n ** 62n, -1n) },
  { type: "uint8", shape: [2], data: Uint8Array.of(255, 0) },
  { type: "int8", shape: [2], data: Int8Array.of(-128, 127) },
  { type: "bool", shape: [2], data: Uint8Array.of(1, 0) },
];

/** y = x. */
const identity = (type: OnnxType): OnnxModel => ({
  ...CACHE,
  inputs: [{ name: "x", type, shape: [2] }],
  outputs: [{ name: "y", type, shape: [2] }],
  nodes: [{ op: "Identity", name: "i", inputs: ["x"], outputs: ["y"] }],
});

test.each(VALUES)("$type goes in and comes out in a fresh array", async (value) => {
  const session = await createSession(encodeModel(identity(value.type)));
  const { y } = await session.run({ x: value });
  expect(y).toEqual(value);
  expect(y?.data.buffer).not.toBe(value.data.buffer);
  await session.dispose();
});

test("only the fetched outputs are returned", async () => {
  const both: OnnxModel = {
    ...identity("float32"),
    outputs: ["y", "z"].map((name) => ({ name, type: "float32", shape: [2] })),
    nodes: ["y", "z"].map((name) => ({ op: name === "y" ? "Neg" : "Abs", name, inputs: ["x"], outputs: [name] })),
  };
  const session = await createSession(encodeModel(both), { optimization: "disabled" });
  expect(await session.run({ x: floats([2], 1, -2) }, ["z"])).toEqual({ z: floats([2], 1, 2) });
  expect(Object.keys(await session.run({ x: floats([2], 1, -2) }))).toEqual(["y", "z"]);
  await session.dispose();
});

test("the runtime's own errors become ours and keep their cause", async () => {
  const gather: OnnxModel = {
    ...identity("float32"),
    inputs: [{ name: "i", type: "int64", shape: ["N"] }],
    outputs: [{ name: "y", type: "float32", shape: ["N"] }],
    initializers: [{ name: "table", type: "float32", shape: [2], data: new Uint8Array(8) }],
    nodes: [{ op: "Gather", name: "g", inputs: ["table", "i"], outputs: ["y"] }],
  };
  const session = await createSession(encodeModel(gather));
  const run = session.run({ i: { type: "int64", shape: [1], data: BigInt64Array.of(2n) } });
  await expect(run).rejects.toThrow(TesseraError);
  await expect(run).rejects.toMatchObject({ code: "failure", cause: expect.any(Error) as Error });
  await session.dispose();
  await session.dispose();
  await expect(session.run({})).rejects.toThrow(/disposed/);
  await expect(createSession(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: "failure" });
  await expect(createSession(encodeModel({ ...LINEAR, nodes: [] }))).rejects.toThrow(/could not load the model/);
});

test("the CPU is always there, and a provider that is not is an error", async () => {
  const found = await availableProviders();
  expect(found[0]).toBe("cpu");
  for (const provider of ["webgpu", "cuda"] as const) {
    const session = createSession(encodeModel(LINEAR), { provider });
    if (found.includes(provider)) await (await session).dispose();
    else await expect(session).rejects.toThrow(new RegExp(`provider "${provider}"`));
  }
});

test("a profile is written where asked", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tessera-profile-"));
  try {
    const session = await createSession(encodeModel(LINEAR), { profilePrefix: join(folder, "linear") });
    await session.run({ x: floats([1, 3], 1, 2, 3) });
    session.endProfiling?.();
    await session.dispose();
    expect((await readdir(folder)).map((name) => name.replace(/_.*/, ""))).toEqual(["linear"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
