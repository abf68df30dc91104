/**
 * Writes a token set while it streams in: bounded memory, one shard after another in a partial directory beside the target, which
 * becomes the artefact when it is finished. Knows no image and no tokenizer.
 */
import { join } from "node:path";

import { createManifest, encodeManifest, MANIFEST_FILE, type FileDigest, type Provenance } from "../artifact.ts";
import { explainDiskError, realDisk, writeSynced, type Disk, type DiskFile } from "../disk.ts";
import { badInput, usageError } from "../errors.ts";
import { sha256File, sha256Hex } from "../fingerprint.ts";
import { commitDirectory, prepareTarget } from "../publish.ts";
import {
  checkKey,
  encodeRecord,
  FAILURES_FILE,
  INDEX_FILE,
  parseHeader,
  shardName,
  TOKEN_FORMAT_VERSION,
  type ShardEntry,
  type TokenFailure,
  type TokenHeader,
  type TokenIndex,
} from "./format.ts";
import { KeySet } from "../key-set.ts";
import { findPartials, markActive, markEnded, partialPath } from "./partial.ts";
import { ShardWriter } from "./shard-writer.ts";

export interface TokenWriterOptions {
  /** Where the finished set will be. */
  readonly directory: string;
  readonly header: TokenHeader;
  /** 4,096 by default: 8 MB at 32×32. */
  readonly recordsPerShard?: number;
  readonly provenance?: Provenance;
  /** Replaces an existing set when this one is finished. */
  readonly overwrite?: boolean;
  /** Throws away what an interrupted run left, instead of refusing to start. */
  readonly discardPartial?: boolean;
  readonly disk?: Disk;
}

/** Calls may overlap; they take effect in the order in which they were made. Await each to keep memory bounded. */
export interface TokenWriter {
  /** Whether an image or a failure of this key is in the set already (after `recoverTokens`). */
  has(key: string): boolean;
  /**
   * @param record `tokens`: h·w codebook indices in raster order.
   * @throws bad-input on a key that was there before, an id that is no code, a wrong length or label: the writer goes on.
   * failure on a full disk: the writer takes nothing more, `abort` it.
   */
  append(record: { key: string; label?: number; tokens: Int32Array | Uint16Array }): Promise<void>;
  /** Records an image that could not be tokenized in `failures.jsonl`. */
  fail(failure: TokenFailure): Promise<void>;
  /** Publishes the set. @throws usage if the directory exists by now; failure on a full disk. */
  finish(): Promise<TokenIndex>;
  /** Ends without publishing; removes what was written, or keeps it for `recoverTokens`. */
  abort(options?: { keep?: boolean }): Promise<void>;
}

const DEFAULT_RECORDS_PER_SHARD = 4096;

/**
 * @throws usage if the directory exists, or another process is writing it, or an interrupted run left its part and
 * `discardPartial` is not set; bad-input on a header that cannot be; failure on a full or read-only disk.
 */
export async function createTokenWriter(options: TokenWriterOptions): Promise<TokenWriter> {
  const { directory, disk = realDisk } = options;
  const header = parseHeader(options.header, "token header");
  try {
    await prepareTarget(directory, options);
    for (const partial of await findPartials(directory, disk)) {
      if (options.discardPartial !== true) {
        throw usageError({
          what: "an interrupted run left its part",
          where: directory,
          got: partial,
          todo: "Resume it, or remove that folder to start again.",
        });
      }
      await disk.remove(partial);
    }
    const partial = partialPath(directory);
    await disk.makeDirectory(partial);
    return startWriter(partial, { ...options, header });
  } catch (error) {
    throw explainDiskError(error, directory);
  }
}

/** What a recovered set starts with. */
export interface Inheritance {
  readonly shards: ShardEntry[];
  readonly keys: KeySet;
  readonly failures: number;
  readonly nextShard: number;
}

/** A writer that goes on in the existing directory `partial`. */
export function startWriter(
  partial: string,
  options: TokenWriterOptions,
  inheritance: Inheritance = { shards: [], keys: new KeySet(), failures: 0, nextShard: 0 },
): TokenWriter {
  markActive(partial);
  return new StreamingWriter(partial, options, inheritance);
}

class StreamingWriter implements TokenWriter {
  readonly #partial: string;
  readonly #options: TokenWriterOptions;
  readonly #disk: Disk;
  readonly #keys: KeySet;
  readonly #shards: ShardEntry[];
  #failureCount: number;
  #nextShard: number;
  #shard: ShardWriter | undefined;
  #failures: DiskFile | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #state: "open" | "broken" | "closed" = "open";

  constructor(partial: string, options: TokenWriterOptions, inheritance: Inheritance) {
    this.#partial = partial;
    this.#options = options;
    this.#disk = options.disk ?? realDisk;
    this.#keys = inheritance.keys;
    this.#shards = inheritance.shards;
    this.#failureCount = inheritance.failures;
    this.#nextShard = inheritance.nextShard;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  append(record: { key: string; label?: number; tokens: Int32Array | Uint16Array }): Promise<void> {
    return this.#inTurn(async () => {
      const bytes = encodeRecord(record, this.#options.header);
      this.#claim(record.key);
      await this.#writing(async () => {
        this.#shard ??= await this.#openShard();
        await this.#shard.append(bytes);
        if (this.#shard.count >= (this.#options.recordsPerShard ?? DEFAULT_RECORDS_PER_SHARD)) await this.#endShard();
      });
    });
  }

  fail({ key, reason }: TokenFailure): Promise<void> {
    return this.#inTurn(async () => {
      checkKey(key);
      this.#claim(key);
      await this.#writing(async () => {
        this.#failures ??= await this.#disk.open(join(this.#partial, FAILURES_FILE), "a");
        await this.#failures.write(Buffer.from(`${JSON.stringify({ key, reason })}\n`));
        this.#failureCount++;
      });
    });
  }

  finish(): Promise<TokenIndex> {
    return this.#inTurn(() =>
      this.#writing(async () => {
        await this.#endShard();
        this.#failures ??= await this.#disk.open(join(this.#partial, FAILURES_FILE), "a");
        await this.#failures.sync();
        await this.#failures.close();
        this.#failures = undefined;
        const index = await this.#publish();
        this.#end();
        return index;
      }),
    );
  }

  async abort(options: { keep?: boolean } = {}): Promise<void> {
    if (this.#state === "closed") return;
    const broken = this.#state === "broken";
    this.#state = "closed";
    await this.#last.catch(() => undefined);
    try {
      if (options.keep === true && !broken) await this.#shard?.flush();
      await this.#shard?.close();
      await this.#failures?.close();
      if (options.keep !== true) await this.#disk.remove(this.#partial);
    } catch (error) {
      throw explainDiskError(error, this.#partial);
    } finally {
      this.#end();
    }
  }

  async #publish(): Promise<TokenIndex> {
    const { directory, header } = this.#options;
    const count = this.#shards.reduce((sum, shard) => sum + shard.count, 0);
    const index: TokenIndex = {
      formatVersion: TOKEN_FORMAT_VERSION,
      header: parseHeader(header, "token header"),
      count,
      failures: this.#failureCount,
      shards: this.#shards,
    };
    const indexBytes = Buffer.from(`${JSON.stringify(index, null, 2)}\n`);
    await writeSynced(this.#disk, join(this.#partial, INDEX_FILE), indexBytes);
    const files: Record<string, FileDigest> = {
      [INDEX_FILE]: { sha256: sha256Hex(indexBytes), bytes: indexBytes.length },
      [FAILURES_FILE]: await sha256File(join(this.#partial, FAILURES_FILE)),
    };
    for (const { file, sha256, bytes } of this.#shards) files[file] = { sha256, bytes };
    const { provenance, overwrite = false } = this.#options;
    const fields = {
      kind: "tokens" as const,
      config: { count, grid: header.grid, codebookSize: header.codebookSize, classes: header.classes },
      preprocessing: header.preprocessing,
      fingerprint: header.fingerprint,
      ...(provenance === undefined ? {} : { provenance }),
    };
    const manifest = encodeManifest(createManifest(directory, fields, files));
    await this.#disk.syncDirectory(this.#partial);
    await writeSynced(this.#disk, join(this.#partial, MANIFEST_FILE), manifest);
    await this.#disk.syncDirectory(this.#partial);
    await commitDirectory(this.#partial, directory, { disk: this.#disk, overwrite });
    return index;
  }

  /** Runs `task` after all earlier ones. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#last.then(() => {
      if (this.#state === "open") return task();
      throw usageError({
        what: `takes no more records: it ${this.#state === "closed" ? "has ended" : "failed before"}`,
        where: `token writer for ${this.#options.directory}`,
      });
    });
    this.#last = run.catch(() => undefined);
    return run;
  }

  /** A write that fails leaves the file in an unknown state: nothing more is written after it. */
  async #writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      this.#state = "broken";
      throw explainDiskError(error, this.#options.directory);
    }
  }

  #claim(key: string): void {
    if (this.#keys.add(key)) return;
    throw badInput({
      what: `the key "${key}" is there already`,
      where: this.#options.directory,
      todo: "Every image of a set needs a key of its own.",
    });
  }

  async #openShard(): Promise<ShardWriter> {
    const file = shardName(this.#nextShard++);
    return ShardWriter.create(this.#disk, join(this.#partial, file), this.#options.header);
  }

  async #endShard(): Promise<void> {
    if (this.#shard === undefined) return;
    this.#shards.push(await this.#shard.finish());
    this.#shard = undefined;
  }

  #end(): void {
    this.#state = "closed";
    markEnded(this.#partial);
  }
}
