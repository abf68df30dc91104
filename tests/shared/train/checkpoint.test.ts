import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { describe, expect, test } from "vitest";

import {
  decodeState,
  encodeState,
  loadCheckpoint,
  saveCheckpoint,
  type Checkpoint,
} from "../../../shared/train/checkpoint.ts";
import { encodeSafetensors } from "../../../shared/train/safetensors.ts";
import { createFaultyDisk } from "../../fault/faulty-disk.ts";
import { useTemporaryDirectory } from "../temporary-directory.ts";

const fresh = useTemporaryDirectory();
const newPath = (): string => join(fresh(), "last.safetensors");

const checkpoint = (step: number): Required<Checkpoint> => ({
  step,
  state: { w: Float32Array.of(0.1, -0, Number.MIN_VALUE), step: Int32Array.of(step), mask: Uint8Array.of(1, 0) },
  spec: {
    w: { shape: [3, 1], dtype: "float32" },
    step: { shape: [], dtype: "int32" },
    mask: { shape: [2], dtype: "uint8" },
  },
  configFingerprint: "c".repeat(64),
  metadata: { config: { width: 8 }, best: 1.5 },
});

describe("a checkpoint", () => {
  test("comes back byte for byte, and replaces the one before", async () => {
    const path = newPath();
    await saveCheckpoint(path, checkpoint(1));
    await saveCheckpoint(path, checkpoint(2));
    const back = await loadCheckpoint(path, { configFingerprint: "c".repeat(64) });
    expect(back).toEqual(checkpoint(2));
    expect(Object.is(back.state["w"]?.[1], -0)).toBe(true);
    expect(readdirSync(dirname(path))).toEqual(["last.safetensors"]);
  });

  test("any flipped bit is a mismatch, any cut too", async () => {
    const path = newPath();
    await saveCheckpoint(path, checkpoint(3));
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at++) {
      const bad = Uint8Array.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      writeFileSync(path, bad);
      await expect(loadCheckpoint(path), `byte ${at}`).rejects.toMatchObject({ exitCode: 4 });
      writeFileSync(path, good.subarray(0, at));
      await expect(loadCheckpoint(path), `cut at ${at}`).rejects.toMatchObject({ exitCode: 4 });
    }
  });

  test("a missing file, another configuration, other tensors and a newer format are refused", async () => {
    const path = newPath();
    await expect(loadCheckpoint(path)).rejects.toMatchObject({ exitCode: 3 });
    await saveCheckpoint(path, checkpoint(1));
    await expect(loadCheckpoint(path, { configFingerprint: "d" })).rejects.toMatchObject({ exitCode: 4 });
    writeFileSync(path, encodeSafetensors({}, { format: "tessera-checkpoint", formatVersion: "2" }));
    await expect(loadCheckpoint(path)).rejects.toThrow(/newer/);
    writeFileSync(path, encodeSafetensors({ a: { dtype: "U8", shape: [1], data: Uint8Array.of(1) } }));
    await expect(loadCheckpoint(path)).rejects.toMatchObject({ exitCode: 4 });
  });

  test("on a disk that is full at any operation the last good one stays whole", async () => {
    const path = newPath();
    await saveCheckpoint(path, checkpoint(1));
    for (let at = 0, done = false; !done; at++) {
      const disk = createFaultyDisk({ at, code: "ENOSPC", stays: true });
      const saving = saveCheckpoint(path, checkpoint(2), { disk });
      await saving.catch((error: unknown) => expect(error).toMatchObject({ exitCode: 1 }));
      done = !disk.failed();
      // Once renamed the new file is in place, though its name may not survive a power cut: also a good one.
      expect([1, 2]).toContain((await loadCheckpoint(path)).step);
      expect(readdirSync(dirname(path))).toEqual(["last.safetensors"]);
    }
    expect((await loadCheckpoint(path)).step).toBe(2);
  });
});

test("a state alone comes back, and must fit its spec", () => {
  const { spec, state: values } = checkpoint(1);
  expect(decodeState(encodeState({ spec, values }), "test")).toEqual({ spec, values });
  expect(() => encodeState({ spec, values: { ...values, more: Float32Array.of(1) } })).toThrow(/same names/);
  expect(() => encodeState({ spec, values: { ...values, w: Int32Array.of(1, 2, 3) } })).toThrow(/"w"/);
  expect(() => encodeState({ spec, values: { ...values, w: Float32Array.of(1) } })).toThrow(/"w"/);
});
