/**
 * Saves what an interrupted write or a damaged medium left: every whole record of a shard, and a partial set that a new writer goes
 * on with. Knows no tokenizer.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

import { MANIFEST_FILE } from "../artifact.ts";
import { explainDiskError, realDisk, writeSynced, type Disk } from "../disk.ts";
import { badInput, TesseraError, usageError } from "../errors.ts";
import { sha256File } from "../fingerprint.ts";
import { prepareTarget, syncTree } from "../publish.ts";
import {
  decodeEntry,
  decodeHeader,
  encodeRecord,
  FAILURES_FILE,
  INDEX_FILE,
  parseHeader,
  SHARD_NAME,
  type ShardEntry,
  type TokenHeader,
  type TokenRecord,
} from "./format.ts";
import { KeySet } from "../key-set.ts";
import { ObjectReader, type Frame } from "./msgpack.ts";
import { checkFooter, checkSameHeader, parseFailures } from "./read.ts";
import { isBeingWritten, partialPath, targetOfPartial } from "./partial.ts";
import { ShardWriter } from "./shard-writer.ts";
import { startWriter, type TokenWriter, type TokenWriterOptions } from "./write.ts";

/** A stretch of a shard that holds no whole record. */
export interface Loss {
  readonly file: string;
  readonly offset: number;
  /** A sentence. */
  readonly reason: string;
}

export interface RecoveredShard {
  readonly header: TokenHeader;
  /** Every record that is whole and whose crc32 is right, in order. */
  readonly records: readonly TokenRecord[];
  /** Nothing was lost and the footer fits. */
  readonly complete: boolean;
  /** Bytes cut in the middle of an object, records that are damaged, a footer that does not fit. */
  readonly lost: readonly Loss[];
}

/**
 * Reads one shard as far as it can be read. A record that is damaged inside is left out; where the next one cannot be found, the
 * rest is lost. A missing footer is no loss.
 * @throws bad-input if not even the header can be read.
 */
export async function recoverShard(path: string): Promise<RecoveredShard> {
  const reader = await openShard(path);
  try {
    const first = await reader.next();
    if (first.status !== "object") {
      throw badInput({ what: "token file has no readable header: nothing can be recovered", where: path });
    }
    return await recoverRecords(reader, path, first.bytes);
  } finally {
    await reader.close();
  }
}

async function recoverRecords(reader: ObjectReader, path: string, first: Uint8Array): Promise<RecoveredShard> {
  const header = decodeHeader(first, path);
  const hash = createHash("sha256").update(first);
  const records: TokenRecord[] = [];
  const offsets: number[] = [];
  const lost: Loss[] = [];
  let complete = false;
  let frame: Frame;
  for (frame = await reader.next(); frame.status === "object"; frame = await reader.next()) {
    const where = `${path} at byte ${frame.offset}`;
    try {
      if (complete) throw badInput({ what: "something stands after the footer", where });
      const decoded = decodeEntry(frame.bytes, header, where);
      if ("offsets" in decoded) {
        checkFooter(decoded, { offsets, count: offsets.length, sha256: hash.copy().digest("hex") }, path);
        complete = true;
      } else {
        records.push(decoded);
        offsets.push(frame.offset);
        hash.update(frame.bytes);
      }
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      lost.push({ file: basename(path), offset: frame.offset, reason: error.message });
    }
  }
  if (frame.status !== "end") {
    const reason = frame.status === "cut" ? "The file ends inside an object." : "What follows is no token record.";
    lost.push({ file: basename(path), offset: frame.offset, reason });
  }
  return { header, records, complete: complete && lost.length === 0, lost };
}

export interface RecoverOptions extends Partial<Omit<TokenWriterOptions, "discardPartial">> {
  /** If given, the recovered part must have this header. Needed when nothing of the part has one. */
  readonly header?: TokenHeader;
}

export interface RecoveredTokens {
  /** Goes on with the set: ask `has(key)`, append what is missing, `finish`. */
  readonly writer: TokenWriter;
  /** Number of records that were saved. */
  readonly recovered: number;
  readonly lost: readonly Loss[];
}

/**
 * Takes over the partial directory (`findPartials`) of a run that ended early: keeps finished shards as they are, rewrites the
 * others with their whole records, keeps the recorded failures.
 * @throws usage if a running process is writing it or it is no partial directory; mismatch if the header is another; bad-input if
 * no header can be found; failure on a full or read-only disk.
 */
export async function recoverTokens(partialDirectory: string, options: RecoverOptions = {}): Promise<RecoveredTokens> {
  const disk = options.disk ?? realDisk;
  const directory = options.directory ?? targetOfPartial(partialDirectory);
  if (directory === undefined || isBeingWritten(partialDirectory) || !(await disk.exists(partialDirectory))) {
    throw usageError({
      what: "is no partial token set, or one that is still being written",
      where: partialDirectory,
      todo: "Give the hidden folder that an interrupted run left beside its target.",
    });
  }
  try {
    const shards = await readShards(partialDirectory, disk);
    const header = options.header ?? shards.find(({ found }) => found !== undefined)?.found?.header;
    if (header === undefined) throw badInput({ what: "holds no readable shard", where: partialDirectory });
    for (const { name, found } of shards) {
      if (found !== undefined) checkSameHeader(header, found.header, join(partialDirectory, name));
    }
    await prepareTarget(directory, { ...options, disk });
    return await takeOver(partialDirectory, shards, { ...options, directory, header: parseHeader(header, directory) });
  } catch (error) {
    throw explainDiskError(error, partialDirectory);
  }
}

interface FoundShard {
  readonly name: string;
  readonly found: Omit<RecoveredShard, "records"> | undefined;
}

/** Records are read again when they are needed, so that only one shard is in memory. */
async function readShards(partial: string, disk: Disk): Promise<FoundShard[]> {
  const names = (await disk.list(partial)).map(({ name }) => name).filter((name) => SHARD_NAME.test(name));
  const shards: FoundShard[] = [];
  for (const name of names.sort((a, b) => shardNumber(a) - shardNumber(b))) {
    try {
      const { header, complete, lost } = await recoverShard(join(partial, name));
      shards.push({ name, found: { header, complete, lost } });
    } catch (error) {
      if (!(error instanceof TesseraError) || error.code !== "bad-input") throw error;
      shards.push({ name, found: undefined });
    }
  }
  return shards;
}

async function takeOver(
  partial: string,
  found: readonly FoundShard[],
  options: TokenWriterOptions,
): Promise<RecoveredTokens> {
  const { header, disk = realDisk } = options;
  const own = partialPath(options.directory);
  if (resolve(partial) !== own) await disk.rename(partial, own);
  for (const leftover of [INDEX_FILE, MANIFEST_FILE, REWRITE]) await disk.remove(join(own, leftover));
  const keys = new KeySet();
  const shards: ShardEntry[] = [];
  const lost: Loss[] = [];
  for (const { name, found: shard } of found) {
    const path = join(own, name);
    if (shard === undefined) {
      lost.push({ file: name, offset: 0, reason: "The shard has no readable header." });
      await disk.remove(path);
      continue;
    }
    lost.push(...shard.lost);
    const records = (await recoverShard(path)).records;
    const fresh = records.filter(({ key }) => keys.add(key));
    if (fresh.length === 0) await disk.remove(path);
    else if (shard.complete && fresh.length === records.length) {
      shards.push({ file: name, count: fresh.length, ...(await sha256File(path)) });
    } else shards.push(await rewriteShard(path, { records: fresh, header, disk }));
  }
  const failures = await rewriteFailures(own, keys, disk);
  await syncTree(own, disk);
  const nextShard = Math.max(-1, ...found.map(({ name }) => shardNumber(name))) + 1;
  return {
    writer: startWriter(own, options, { shards, keys, failures, nextShard }),
    recovered: shards.reduce((sum, { count }) => sum + count, 0),
    lost,
  };
}

const REWRITE = "rewrite";
const shardNumber = (name: string): number => Number(SHARD_NAME.exec(name)?.[1]);

async function rewriteShard(
  path: string,
  { records, header, disk }: { records: readonly TokenRecord[]; header: TokenHeader; disk: Disk },
): Promise<ShardEntry> {
  const temporary = join(path, "..", REWRITE);
  const shard = await ShardWriter.create(disk, temporary, header);
  try {
    for (const record of records) await shard.append(encodeRecord(record, header));
    const entry = await shard.finish();
    await disk.rename(temporary, path);
    return { ...entry, file: basename(path) };
  } finally {
    await shard.close();
  }
}

/** Keeps the whole lines whose keys have no record; returns how many. */
async function rewriteFailures(partial: string, keys: KeySet, disk: Disk): Promise<number> {
  const path = join(partial, FAILURES_FILE);
  if (!(await disk.exists(path))) return 0;
  const failures = parseFailures(await readFile(path)).filter(({ key }) => keys.add(key));
  const text = failures.map((failure) => `${JSON.stringify(failure)}\n`).join("");
  await writeSynced(disk, join(partial, REWRITE), Buffer.from(text));
  await disk.rename(join(partial, REWRITE), path);
  return failures.length;
}

async function openShard(path: string): Promise<ObjectReader> {
  try {
    return await ObjectReader.open(path);
  } catch (cause) {
    throw badInput({ what: "token file cannot be read", where: path, cause });
  }
}
