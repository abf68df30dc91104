/**
 * Digests: of bytes, of files, of JSON in a canonical form, and the fingerprint that ties tokens and priors to their tokenizer.
 * Knows no artefact layout.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = Readonly<Record<string, JsonValue>>;

/** sha256 as 64 hex digits over the parts, one after another. */
export function sha256Hex(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** sha256 and size of a file of any length, read in pieces. */
export async function sha256File(path: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest("hex"), bytes };
}

/**
 * JSON without white space and with sorted keys, so that equal values have equal text. Entries that are `undefined` are left
 * out, as `JSON.stringify` does. @throws TypeError on NaN and infinities, which JSON would silently turn into null.
 */
export function canonicalJson(value: JsonValue): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === "number" && !Number.isFinite(part)) throw new TypeError(`${part} has no place in JSON.`);
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/**
 * Who made these tokens: sha256 (hex) over the encoder graph's bytes followed by the preprocessing record in canonical JSON.
 * Whatever changes a token changes one of the two.
 */
export function fingerprintTokenizer(encoderGraphBytes: Uint8Array, preprocessing: JsonValue): string {
  return sha256Hex(encoderGraphBytes, canonicalJson(preprocessing));
}
