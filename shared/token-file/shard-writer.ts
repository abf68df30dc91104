/**
 * Writes one shard through a small buffer while counting and hashing. Knows no other shard.
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";

import type { Disk, DiskFile } from "../disk.ts";
import { encodeFooter, encodeHeader, type ShardEntry, type TokenHeader } from "./format.ts";

const BUFFER_BYTES = 2 ** 18;

/** One shard: header, records, footer. Holds at most `BUFFER_BYTES` and one record, and 8 bytes a record for the offsets. */
export class ShardWriter {
  readonly #file: DiskFile;
  readonly #name: string;
  readonly #hash = createHash("sha256");
  readonly #offsets: number[] = [];
  #buffered: Uint8Array[] = [];
  #bufferedBytes = 0;
  #bytes = 0;
  #closed = false;

  private constructor(file: DiskFile, name: string) {
    this.#file = file;
    this.#name = name;
  }

  static async create(disk: Disk, path: string, header: TokenHeader): Promise<ShardWriter> {
    const shard = new ShardWriter(await disk.open(path, "wx"), basename(path));
    await shard.#write(encodeHeader(header));
    return shard;
  }

  get count(): number {
    return this.#offsets.length;
  }

  /** @param record as `encodeRecord` gives it */
  async append(record: Uint8Array): Promise<void> {
    this.#offsets.push(this.#bytes);
    await this.#write(record);
  }

  /** Writes the footer and waits until the shard is on the medium. */
  async finish(): Promise<ShardEntry> {
    const sha256 = this.#hash.copy().digest("hex");
    await this.#write(encodeFooter({ offsets: this.#offsets, count: this.count, sha256 }));
    await this.flush();
    await this.#file.sync();
    await this.close();
    return { file: this.#name, bytes: this.#bytes, count: this.count, sha256: this.#hash.digest("hex") };
  }

  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.#buffered);
    this.#buffered = [];
    this.#bufferedBytes = 0;
    if (bytes.length > 0) await this.#file.write(bytes);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    this.#buffered.push(bytes);
    this.#bufferedBytes += bytes.length;
    if (this.#bufferedBytes >= BUFFER_BYTES) await this.flush();
  }
}
