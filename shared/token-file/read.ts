/**
 * Reads a token set with bounded memory and believes nothing it says: sizes, digests, crc32, footers, ids and keys are checked.
 * Knows no tokenizer and no model.
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";

import { openArtifact, type Artifact, type Manifest } from "../artifact.ts";
import { errorNumber } from "../disk.ts";
import { badInput, mismatch, TesseraError } from "../errors.ts";
import { canonicalJson, sha256File } from "../fingerprint.ts";
import { checkFingerprint, type TokenGrid } from "../tokens.ts";
import {
  decodeEntry,
  decodeHeader,
  FAILURES_FILE,
  INDEX_FILE,
  parseIndex,
  type Footer,
  type ShardEntry,
  type TokenFailure,
  type TokenHeader,
  type TokenIndex,
  type TokenRecord,
} from "./format.ts";
import { KeySet } from "../key-set.ts";
import { ObjectReader } from "./msgpack.ts";

export interface TokenSet {
  readonly directory: string;
  readonly header: TokenHeader;
  /** Number of images. */
  readonly count: number;
  readonly manifest: Manifest;
  /** The images that could not be tokenized. */
  readonly failures: readonly TokenFailure[];
  /**
   * One record after another in the order written, one in memory at a time. Each is checked before it is given; what is wrong
   * with a shard as a whole is thrown at its end.
   * @throws bad-input if a shard is cut off or a record cannot be; mismatch if a digest or crc32 is wrong.
   */
  records(): AsyncGenerator<TokenRecord, void, undefined>;
  /** Everything at once: 4·h·w bytes an image. `labels` holds −1 where there is none. @throws as `records`. */
  load(): Promise<{ grid: TokenGrid; keys: string[]; labels: Int32Array }>;
}

/**
 * @param options.fingerprint of the tokenizer the tokens must come from
 * @throws bad-input if it is missing or a shard is missing or cut off; mismatch if it is no token set, of another tokenizer, or
 * changed since it was published.
 */
export async function openTokens(directory: string, options: { fingerprint?: string } = {}): Promise<TokenSet> {
  const artifact = await openArtifact(directory, { kind: "tokens" });
  const where = join(directory, INDEX_FILE);
  const index = parseIndex(parseJson(await artifact.read(INDEX_FILE), where), where);
  const { header, count } = index;
  checkFingerprint(header.fingerprint, artifact.manifest.fingerprint ?? "none", directory);
  if (options.fingerprint !== undefined) checkFingerprint(options.fingerprint, header.fingerprint, directory);
  checkIndex(index, artifact);
  for (const shard of index.shards) await checkSize(join(directory, shard.file), shard.bytes);
  const failures = parseFailures(await artifact.read(FAILURES_FILE));
  const records = () => readRecords(directory, index);
  return {
    directory,
    header,
    count,
    manifest: artifact.manifest,
    failures,
    records,
    load: () => loadRecords(records(), index),
  };
}

async function* readRecords(directory: string, index: TokenIndex): AsyncGenerator<TokenRecord, void, undefined> {
  const keys = new KeySet();
  for (const shard of index.shards) {
    const path = join(directory, shard.file);
    for await (const record of readShard(path, shard, index.header)) {
      if (!keys.add(record.key)) throw badInput({ what: `the key "${record.key}" occurs twice`, where: path });
      yield record;
    }
  }
}

async function loadRecords(
  records: AsyncIterable<TokenRecord>,
  { count, header }: TokenIndex,
): Promise<{ grid: TokenGrid; keys: string[]; labels: Int32Array }> {
  const [height, width] = header.grid;
  const tokens = new Int32Array(count * height * width);
  const labels = new Int32Array(count);
  const keys: string[] = [];
  for await (const record of records) {
    tokens.set(record.tokens, keys.length * height * width);
    labels[keys.length] = record.label;
    keys.push(record.key);
  }
  return { grid: { tokens, shape: [count, height, width] }, keys, labels };
}

/** The records of one shard, checked against its entry in the index. */
async function* readShard(
  path: string,
  entry: ShardEntry,
  header: TokenHeader,
): AsyncGenerator<TokenRecord, void, undefined> {
  await checkSize(path, entry.bytes);
  const reader = await ObjectReader.open(path);
  try {
    yield* readObjects(reader, path, { entry, header });
  } catch (error) {
    // A damaged file is called that, whatever the damage happens to look like.
    if (error instanceof TesseraError) await checkWholeFile(path, entry, error);
    throw error;
  } finally {
    await reader.close();
  }
}

async function* readObjects(
  reader: ObjectReader,
  path: string,
  { entry, header }: { entry: ShardEntry; header: TokenHeader },
): AsyncGenerator<TokenRecord, void, undefined> {
  const first = await reader.next();
  if (first.status !== "object") throw unreadable(path);
  checkSameHeader(header, decodeHeader(first.bytes, path), path);
  const hash = createHash("sha256").update(first.bytes);
  const offsets: number[] = [];
  let footer: Footer | undefined;
  for (let frame = await reader.next(); frame.status !== "end"; frame = await reader.next()) {
    const where = `${path} at byte ${frame.offset}`;
    if (frame.status !== "object" || footer !== undefined) throw unreadable(where);
    const decoded = decodeEntry(frame.bytes, header, where);
    if ("offsets" in decoded) {
      footer = decoded;
      checkFooter(footer, { offsets, count: offsets.length, sha256: hash.copy().digest("hex") }, path);
    }
    hash.update(frame.bytes);
    if ("offsets" in decoded) continue;
    offsets.push(frame.offset);
    yield decoded;
  }
  if (footer === undefined) throw unreadable(`${path}, at its end`);
  if (hash.digest("hex") !== entry.sha256) await checkWholeFile(path, entry);
  if (footer.count !== entry.count) {
    const contrast = { expected: `${entry.count} records`, got: String(footer.count) };
    throw mismatch({ what: "holds another number of records than the index says", where: path, ...contrast });
  }
}

/** @throws mismatch if the footer does not describe what stands before it. */
export function checkFooter(footer: Footer, found: Footer, path: string): void {
  const describe = ({ count, sha256 }: Footer) => `${count} records with sha256 ${sha256}`;
  if (canonicalJson(footer) === canonicalJson(found)) return;
  throw mismatch({
    what: "has a footer that does not fit its records",
    where: path,
    expected: describe(footer),
    got: describe(found),
  });
}

/** @throws mismatch naming both fingerprints, or the headers. */
export function checkSameHeader(expected: TokenHeader, got: TokenHeader, where: string): void {
  checkFingerprint(expected.fingerprint, got.fingerprint, where);
  const [a, b] = [expected, got].map((header) => canonicalJson({ ...header }));
  if (a === b) return;
  const shorten = (text: string | undefined) => (text ?? "").slice(0, 300);
  throw mismatch({
    what: "has another header than the rest of the set",
    where,
    expected: shorten(a),
    got: shorten(b),
    todo: "Grid, codebook, preprocessing and classes must be the same in all shards of a set.",
  });
}

async function checkWholeFile(path: string, entry: ShardEntry, cause?: unknown): Promise<void> {
  const { sha256, bytes } = await sha256File(path);
  if (sha256 === entry.sha256) return;
  throw mismatch({
    what: "token file was changed or damaged after it was written",
    where: path,
    expected: `sha256 ${entry.sha256}, ${entry.bytes} bytes`,
    got: `sha256 ${sha256}, ${bytes} bytes`,
    todo: "Restore it from a copy, or tokenize again.",
    cause,
  });
}

async function checkSize(path: string, expected: number): Promise<void> {
  const contrast = (got: string) => ({ where: path, expected: `${expected} bytes`, got });
  let size: number;
  try {
    size = (await stat(path)).size;
  } catch (cause) {
    throw badInput({ what: "token file cannot be read", ...contrast(errorNumber(cause) ?? "an error"), cause });
  }
  if (size < expected) {
    throw badInput({
      what: "token file is cut off",
      ...contrast(String(size)),
      todo: "Restore it from a copy, or recover its whole records.",
    });
  }
  if (size > expected) throw mismatch({ what: "token file has grown since it was written", ...contrast(String(size)) });
}

/** The index must describe the manifest's files, and say no more records than the bytes can hold. */
function checkIndex({ shards, count, header }: TokenIndex, { manifest, directory }: Artifact): void {
  const where = join(directory, INDEX_FILE);
  for (const { file, bytes, sha256 } of shards) {
    const listed = manifest.files[file];
    if (listed?.bytes === bytes && listed.sha256 === sha256) continue;
    throw mismatch({ what: `index and manifest disagree about ${file}`, where, todo: "Make the set again." });
  }
  const total = shards.reduce((sum, shard) => ({ count: sum.count + shard.count, bytes: sum.bytes + shard.bytes }), {
    count: 0,
    bytes: 0,
  });
  if (total.count !== count || count * 2 * header.grid[0] * header.grid[1] > total.bytes) {
    const contrast = { expected: `${count} records`, got: `${total.count} in ${total.bytes} bytes` };
    throw badInput({ what: "the index does not add up", where, ...contrast, todo: "Make the set again." });
  }
}

function unreadable(where: string): TesseraError {
  return badInput({ what: "token file cannot be read here", where, todo: "It is damaged, or no token file." });
}

function parseJson(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw badInput({ what: "is not valid JSON", where, cause });
  }
}

/** Whole lines of `failures.jsonl`; a last line that was cut off, or is no failure, is left out. */
export function parseFailures(bytes: Uint8Array): TokenFailure[] {
  const failures: TokenFailure[] = [];
  for (const line of Buffer.from(bytes).toString().split("\n").slice(0, -1)) {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      continue;
    }
    if (typeof value !== "object" || value === null || !("key" in value) || !("reason" in value)) continue;
    if (typeof value.key === "string" && typeof value.reason === "string") {
      failures.push({ key: value.key, reason: value.reason });
    }
  }
  return failures;
}
