/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes. Knows no model.
 *
 * Source: the format section of the safetensors project's README. Four of its dtypes are used here: F32, I32, I64, U8.
 */
import { z } from "zod";

import { badInput, invariant } from "../errors.ts";

const ARRAY_TYPES = { I64: BigInt64Array, F32: Float32Array, I32: Int32Array, U8: Uint8Array } as const;
export type SafetensorsDtype = keyof typeof ARRAY_TYPES;
interface ArrayOf {
  I64: BigInt64Array;
  F32: Float32Array;
  I32: Int32Array;
  U8: Uint8Array;
}

/** A dtype, a shape and as many row-major values as the shape holds. */
export type SafeTensor = {
  [D in SafetensorsDtype]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: ArrayOf[D] };
}[SafetensorsDtype];

export interface Safetensors {
  readonly tensors: Readonly<Record<string, SafeTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

const METADATA = "__metadata__";
/** The format's own limit on the header. */
const MAX_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;

/**
 * Widest dtype first, then by name, so that every tensor is aligned and equal contents give equal bytes.
 * @throws Error (a bug of the caller) if a tensor does not fill its shape or has the format's reserved name.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, SafeTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const order = Object.entries(tensors).sort(
    ([a, { data: x }], [b, { data: y }]) => y.BYTES_PER_ELEMENT - x.BYTES_PER_ELEMENT || (a < b ? -1 : 1),
  );
  const entries: [string, unknown][] = Object.keys(metadata).length === 0 ? [] : [[METADATA, metadata]];
  let end = 0;
  for (const [name, { dtype, shape, data }] of order) {
    invariant(name !== METADATA, `a tensor cannot be named ${METADATA}`);
    invariant(data.length === product(shape), `tensor "${name}" has ${data.length} values for [${shape.join(", ")}]`);
    invariant(data instanceof ARRAY_TYPES[dtype], `tensor "${name}" is not stored as ${dtype}`);
    entries.push([name, { dtype, shape, data_offsets: [end, end + data.byteLength] }]);
    end += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const headerLength = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(8 + headerLength + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(json, 8);
  bytes.fill(0x20, 8 + json.length, 8 + headerLength);
  let offset = 8 + headerLength;
  for (const [, { data }] of order) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return bytes;
}

const entrySchema = z.strictObject({
  dtype: z.enum(["F32", "I32", "I64", "U8"]),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
type Entry = z.infer<typeof entrySchema>;

/**
 * Tensors are copied out of `bytes`. Nothing the file says is trusted: lengths, offsets and shapes are checked before any
 * allocation, and the tensors must tile the data without gaps or overlaps.
 * @param where names the file in errors.
 * @throws bad-input
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): Safetensors {
  const { header, payload } = splitHeader(bytes, where);
  const metadata = parse(z.record(z.string(), z.string()), header[METADATA] ?? {}, `${where}: ${METADATA}`);
  const entries = Object.entries(header)
    .filter(([name]) => name !== METADATA)
    .map(([name, value]) => [name, parse(entrySchema, value, `${where}: tensor "${name}"`)] as const);
  checkTiling(entries, payload.length, where);
  const tensors = entries.map(([name, entry]) => [name, copyTensor(payload, entry)] as const);
  return { tensors: Object.fromEntries(tensors), metadata };
}

function splitHeader(bytes: Uint8Array, where: string): { header: Record<string, unknown>; payload: Uint8Array } {
  const broken = (what: string, got: string, cause?: unknown) =>
    badInput({ what, where, got, todo: "The file is damaged or no safetensors file.", cause });
  if (bytes.length < 8) throw broken("is too short for a safetensors file", `${bytes.length} bytes`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, bytes.length - 8))) {
    throw broken("has a header longer than the file or the format allows", `${length.toString()} bytes`);
  }
  const end = 8 + Number(length);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, end)));
  } catch (cause) {
    throw broken("has a header that is not JSON", `${length.toString()} bytes`, cause);
  }
  return { header: parse(z.record(z.string(), z.unknown()), header, where), payload: bytes.subarray(end) };
}

function checkTiling(entries: readonly (readonly [string, Entry])[], payloadLength: number, where: string): void {
  const broken = (name: string, what: string, expected: string, got: string) =>
    badInput({ what, where: `${where}: tensor "${name}"`, expected, got, todo: "The file is damaged." });
  let end = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of [...entries].sort(([, a], [, b]) => byOffset(a, b))) {
    const size = product(shape) * ARRAY_TYPES[dtype].BYTES_PER_ELEMENT;
    if (offsets[0] !== end) {
      throw broken(name, "overlaps another tensor or leaves a gap", `it to start at ${end}`, String(offsets[0]));
    }
    if (offsets[1] - offsets[0] !== size) {
      throw broken(name, "does not fill its shape", `${size} bytes`, String(offsets[1] - offsets[0]));
    }
    end = offsets[1];
    if (end > payloadLength) throw broken(name, "lies outside the file", `${end} bytes of data`, String(payloadLength));
  }
  if (end !== payloadLength) {
    throw badInput({
      what: "has data that belongs to no tensor",
      where,
      expected: `${end} bytes of data`,
      got: String(payloadLength),
      todo: "The file is damaged.",
    });
  }
}

const byOffset = (a: Entry, b: Entry): number =>
  a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1];

function copyTensor(payload: Uint8Array, { dtype, shape, data_offsets: [begin, end] }: Entry): SafeTensor {
  const buffer = new Uint8Array(payload.subarray(begin, end)).buffer; // a copy, hence aligned
  switch (dtype) {
    case "F32":
      return { dtype, shape, data: new Float32Array(buffer) };
    case "I32":
      return { dtype, shape, data: new Int32Array(buffer) };
    case "I64":
      return { dtype, shape, data: new BigInt64Array(buffer) };
    case "U8":
      return { dtype, shape, data: new Uint8Array(buffer) };
    default:
      return dtype satisfies never;
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw badInput({
    what: `has an unreadable header: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`.replace(/ +/g, " "),
    where,
    expected: "a safetensors file of F32, I32, I64 and U8 tensors",
    cause: result.error,
  });
}

const product = (shape: readonly number[]): number => shape.reduce((size, n) => size * n, 1);
