/**
 * A checkpoint: the whole training state and the step it belongs to, in one safetensors file that is replaced atomically, so that
 * the last good one survives a crash or a full disk. Knows no model; randomness needs no saving (shared/rng.ts).
 */
import { readFile } from "node:fs/promises";

import { z } from "zod";

import { errorNumber, explainDiskError, type Disk } from "../disk.ts";
import type { Arrays, ArraySpec, NumericArray, Signature } from "../engine/engine.ts";
import { badInput, invariant, mismatch, TesseraError } from "../errors.ts";
import { canonicalJson, sha256Hex, type JsonObject } from "../fingerprint.ts";
import { writeFileAtomically } from "../publish.ts";
import { decodeSafetensors, encodeSafetensors, type Safetensors, type SafeTensor } from "./safetensors.ts";

export interface Checkpoint {
  /** Steps taken so far. */
  readonly step: number;
  readonly state: Arrays;
  /** Shape and dtype of every entry of `state`. */
  readonly spec: Signature;
  /** sha256 of the configuration the run was started with: another one must not resume it. */
  readonly configFingerprint?: string;
  /** Anything the run wants back: configuration, metrics so far. */
  readonly metadata?: JsonObject;
}

const FORMAT_VERSION = 1;

const headerSchema = z.strictObject({
  format: z.literal("tessera-checkpoint"),
  formatVersion: z.literal(String(FORMAT_VERSION)),
  step: z.string().regex(/^\d+$/),
  configFingerprint: z.string(),
  metadata: z.string(),
  sha256: z.string(),
});

/**
 * Replaces the file at `path`; until the new one is on the medium the old one stays.
 * @throws failure on a full or read-only disk.
 */
export async function saveCheckpoint(
  path: string,
  checkpoint: Checkpoint,
  options: { disk?: Disk } = {},
): Promise<void> {
  const { step, state, spec, configFingerprint = "", metadata = {} } = checkpoint;
  invariant(Number.isSafeInteger(step) && step >= 0, `a checkpoint's step must be a count, got ${step}`);
  const tensors = toTensors({ spec, values: state });
  const header = {
    format: "tessera-checkpoint",
    formatVersion: String(FORMAT_VERSION),
    step: String(step),
    configFingerprint,
    metadata: canonicalJson(metadata),
  };
  const sha256 = digest(header, tensors);
  await writeFileAtomically(path, encodeSafetensors(tensors, { ...header, sha256 }), options.disk);
}

/**
 * @throws bad-input if there is no such file; mismatch if it is damaged, of a newer format, or (given `configFingerprint`) of
 * another configuration.
 */
export async function loadCheckpoint(
  path: string,
  options: { configFingerprint?: string } = {},
): Promise<Required<Checkpoint>> {
  const bytes = await readCheckpoint(path);
  const { tensors, metadata } = decodeOrMismatch(bytes, path);
  if (metadata["format"] === "tessera-checkpoint" && Number(metadata["formatVersion"]) > FORMAT_VERSION) {
    throw mismatch({
      what: "was written by a newer version of Tessera",
      where: path,
      expected: `checkpoint format ${FORMAT_VERSION}`,
      got: metadata["formatVersion"] ?? "none",
      todo: "Update Tessera.",
    });
  }
  const header = headerSchema.safeParse(metadata);
  if (!header.success) throw damaged(path, header.error);
  const { sha256, ...rest } = header.data;
  const got = digest(rest, tensors);
  if (got !== sha256) throw damaged(path, undefined, { expected: `sha256 ${sha256}`, got });
  const wanted = options.configFingerprint;
  if (wanted !== undefined && wanted !== rest.configFingerprint) {
    throw mismatch({
      what: "belongs to a run with another configuration",
      where: path,
      expected: `configuration ${wanted}`,
      got: rest.configFingerprint === "" ? "none" : rest.configFingerprint,
      todo: "Resume with the configuration it was started with, or start a new run.",
    });
  }
  const { values, spec } = fromTensors(tensors, path);
  return {
    step: Number(rest.step),
    state: values,
    spec,
    configFingerprint: rest.configFingerprint,
    metadata: z.record(z.string(), z.json()).parse(JSON.parse(rest.metadata)),
  };
}

/** Named arrays and their shapes and dtypes: what a training state is, or a model's weights. */
export interface NamedArrays {
  readonly spec: Signature;
  readonly values: Arrays;
}

/** A safetensors file of `state`, without step or digest: the `model.safetensors` of an artefact. */
export function encodeState(state: NamedArrays): Uint8Array {
  return encodeSafetensors(toTensors(state));
}

/** @param where names the file in errors. @throws bad-input if it is no safetensors file; mismatch if it holds I64 tensors. */
export function decodeState(bytes: Uint8Array, where: string): NamedArrays {
  return fromTensors(decodeSafetensors(bytes, where).tensors, where);
}

/** Over everything the file says: header fields, each tensor's name, dtype and shape, and the data in order of the names. */
function digest(header: Record<string, string>, tensors: Safetensors["tensors"]): string {
  const entries = Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  const shapes = entries.map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const data = entries.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return sha256Hex(canonicalJson({ header, tensors: shapes }), ...data);
}

async function readCheckpoint(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errorNumber(error) !== "ENOENT") throw explainDiskError(error, path);
    throw badInput({ what: "there is no such checkpoint", where: path, todo: "Start without --resume.", cause: error });
  }
}

function decodeOrMismatch(bytes: Uint8Array, path: string): Safetensors {
  try {
    return decodeSafetensors(bytes, path);
  } catch (error) {
    throw error instanceof TesseraError ? damaged(path, error) : error;
  }
}

function damaged(path: string, cause: unknown, contrast: { expected?: string; got?: string } = {}): TesseraError {
  return mismatch({
    what: "is damaged or no checkpoint of Tessera",
    where: path,
    ...contrast,
    todo: "Use an earlier checkpoint, or start again.",
    cause,
  });
}

function toTensors({ spec, values }: NamedArrays): Record<string, SafeTensor> {
  const names = Object.keys(values);
  invariant(
    names.length === Object.keys(spec).length && names.every((name) => Object.hasOwn(spec, name)),
    "a state and its spec must have the same names",
  );
  return Object.fromEntries(names.map((name) => [name, toTensor(name, values[name], spec[name])]));
}

function fromTensors(tensors: Safetensors["tensors"], where: string): NamedArrays {
  const entries = Object.entries(tensors).map(([name, tensor]) => [name, fromTensor(tensor, where)] as const);
  return {
    spec: Object.fromEntries(entries.map(([name, { spec }]) => [name, spec])),
    values: Object.fromEntries(entries.map(([name, { values }]) => [name, values])),
  };
}

function toTensor(name: string, values: NumericArray | undefined, spec: ArraySpec | undefined): SafeTensor {
  const shape = spec?.shape ?? [];
  if (values instanceof Float32Array && spec?.dtype === "float32") return { dtype: "F32", shape, data: values };
  if (values instanceof Int32Array && spec?.dtype === "int32") return { dtype: "I32", shape, data: values };
  if (values instanceof Uint8Array && spec?.dtype === "uint8") return { dtype: "U8", shape, data: values };
  throw new Error(
    `Internal invariant broken: state "${name}" is not the ${spec?.dtype ?? "unknown"} array of its spec`,
  );
}

function fromTensor(tensor: SafeTensor, path: string): { values: NumericArray; spec: ArraySpec } {
  const { shape } = tensor;
  switch (tensor.dtype) {
    case "F32":
      return { values: tensor.data, spec: { shape, dtype: "float32" } };
    case "I32":
      return { values: tensor.data, spec: { shape, dtype: "int32" } };
    case "U8":
      return { values: tensor.data, spec: { shape, dtype: "uint8" } };
    case "I64":
      throw damaged(path, undefined, { expected: "F32, I32 or U8", got: "I64" });
    default:
      return tensor satisfies never;
  }
}
