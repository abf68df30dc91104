import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { publishArtifact } from "../../../shared/artifact.ts";
import { createTokenWriter, openTokens, type TokenRecord, type TokenSet } from "../../../shared/token-file/index.ts";
import { encodeFooter, encodeHeader } from "../../../shared/token-file/format.ts";
import { packObject } from "../../../shared/token-file/msgpack.ts";
import { sha256Hex } from "../../../shared/fingerprint.ts";
import { useTemporaryDirectory } from "../temporary-directory.ts";
import { failure, header, records, writeSmallSet } from "./small-set.ts";

const fresh = useTemporaryDirectory();

async function collect(set: TokenSet): Promise<TokenRecord[]> {
  const found: TokenRecord[] = [];
  for await (const record of set.records()) found.push(record);
  return found;
}

const readAll = async (directory: string): Promise<TokenRecord[]> => collect(await openTokens(directory));

describe("a token set", () => {
  test("gives back what was written, record by record and at once", async () => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory);
    const set = await openTokens(directory, { fingerprint: header.fingerprint });
    expect(set.header).toEqual(header);
    expect(set.count).toBe(5);
    expect(set.failures).toEqual([failure]);
    expect(await collect(set)).toEqual(records);
    const { grid, keys, labels } = await set.load();
    expect(grid.shape).toEqual([5, 2, 3]);
    expect([...grid.tokens]).toEqual(records.flatMap(({ tokens }) => [...tokens]));
    expect(keys).toEqual(records.map(({ key }) => key));
    expect([...labels]).toEqual([-1, 0, 1, -1, 0]);
    expect(set.manifest).toMatchObject({ kind: "tokens", fingerprint: header.fingerprint, config: { count: 5 } });
    expect(readdirSync(directory).sort()).toEqual(
      ["00000.tok.msgpack", "00001.tok.msgpack", "failures.jsonl", "index.json", "manifest.json"].sort(),
    );
    expect(readdirSync(dirname(directory))).toEqual(["set"]);
  });

  test("of any records, in any shard size, from overlapping calls", async () => {
    const key = fc
      .string({ unit: "binary", minLength: 1, maxLength: 20 })
      .filter((text) => Buffer.from(text).toString() === text);
    const record = fc.record({
      key,
      label: fc.integer({ min: -1, max: 1 }),
      tokens: fc.uint16Array({ minLength: 6, maxLength: 6, max: 999 }),
    });
    const set = fc.uniqueArray(record, { selector: ({ key: k }) => k, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(set, fc.integer({ min: 1, max: 5 }), async (all, recordsPerShard) => {
        const directory = join(fresh(), "set");
        const writer = await createTokenWriter({ directory, header, recordsPerShard });
        await Promise.all(all.map((one) => writer.append(one)));
        const index = await writer.finish();
        expect(index.shards.map(({ count }) => count).reduce((a, b) => a + b, 0)).toBe(all.length);
        const expected = all.map((one) => ({ ...one, tokens: Int32Array.from(one.tokens) }));
        expect(await readAll(directory)).toEqual(expected);
        rmSync(dirname(directory), { recursive: true });
      }),
      { numRuns: 15 },
    );
  });

  test("of another tokenizer is refused with both fingerprints", async () => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory);
    const other = "e".repeat(64);
    await expect(openTokens(directory, { fingerprint: other })).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(new RegExp(`${other}.*${header.fingerprint}`)) as unknown,
    });
  });

  test("with no records is a set of none", async () => {
    const directory = join(fresh(), "set");
    await (await createTokenWriter({ directory, header })).finish();
    expect((await (await openTokens(directory)).load()).grid.shape).toEqual([0, 2, 3]);
  });
});

describe("the writer", () => {
  const good = { key: "new", label: 1, tokens: new Int32Array(6) };
  test.each([
    ["an id that is no code", { ...good, tokens: Int32Array.of(0, 0, 1000, 0, 0, 0) }],
    ["a negative id", { ...good, tokens: Int32Array.of(0, 0, -1, 0, 0, 0) }],
    ["too few tokens", { ...good, tokens: new Int32Array(5) }],
    ["a label that is no class", { ...good, label: 2 }],
    ["a label that is no integer", { ...good, label: Number.NaN }],
    ["a key that was there before", { ...good, key: "first" }],
    ["an empty key", { ...good, key: "" }],
    ["half a surrogate pair as key", { ...good, key: "\ud800" }],
  ])("refuses %s and goes on", async (_what, bad) => {
    const directory = join(fresh(), "set");
    const writer = await createTokenWriter({ directory, header });
    await writer.append({ key: "first", tokens: new Uint16Array(6) });
    await expect(writer.append(bad)).rejects.toMatchObject({ exitCode: 3 });
    await writer.append(good);
    await writer.finish();
    expect((await readAll(directory)).map(({ key, label }) => [key, label])).toEqual([
      ["first", -1],
      ["new", 1],
    ]);
    await expect(writer.append({ ...good, key: "late" })).rejects.toMatchObject({ exitCode: 2 });
  });

  test.each([
    ["a fingerprint that is none", { fingerprint: "abc" }],
    ["a codebook beyond two bytes", { codebookSize: 65_537 }],
    ["a grid of nothing", { grid: [0, 3] as const }],
    ["NaN codes", { codebookSize: Number.NaN }],
  ])("refuses a header with %s", async (_what, change) => {
    const options = { directory: join(fresh(), "set"), header: { ...header, ...change } };
    await expect(createTokenWriter(options)).rejects.toMatchObject({ exitCode: 3 });
  });

  test("refuses an existing folder and a set that is being written; abort leaves nothing", async () => {
    const directory = join(fresh(), "set");
    const writer = await createTokenWriter({ directory, header });
    await expect(createTokenWriter({ directory, header })).rejects.toMatchObject({ exitCode: 2 });
    await writer.append(good);
    await writer.abort();
    expect(readdirSync(dirname(directory))).toEqual([]);
    mkdirSync(directory);
    await expect(createTokenWriter({ directory, header })).rejects.toMatchObject({ exitCode: 2 });
    await writeSmallSet(directory, { overwrite: true });
    expect(await readAll(directory)).toEqual(records);
  });

  test("a folder that appears meanwhile is not touched, and the records are not lost", async () => {
    const directory = join(fresh(), "set");
    const writer = await createTokenWriter({ directory, header });
    await writer.append(good);
    mkdirSync(directory);
    await expect(writer.finish()).rejects.toMatchObject({ exitCode: 2 });
    expect(readdirSync(directory)).toEqual([]);
    await writer.abort({ keep: true });
    expect(readdirSync(dirname(directory)).length).toBe(2);
  });
});

describe("damage", () => {
  const damage = async (edit: (bytes: Buffer, at: number) => Uint8Array, exitCode: number): Promise<void> => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory);
    for (const file of readdirSync(directory).filter((name) => name.endsWith(".msgpack"))) {
      const path = join(directory, file);
      const good = readFileSync(path);
      for (let at = 0; at < good.length; at++) {
        writeFileSync(path, edit(good, at));
        await expect(readAll(directory), `${file} at ${at}`).rejects.toMatchObject({ exitCode, name: "TesseraError" });
      }
      writeFileSync(path, good);
    }
    expect(await readAll(directory)).toEqual(records);
  };

  test("a shard cut anywhere is called cut off", () => damage((bytes, at) => bytes.subarray(0, at), 3));
  test.each([0x01, 0x80, 0xff])("a shard with any byte flipped by %i is called changed", (mask) =>
    damage((bytes, at) => {
      const bad = Uint8Array.from(bytes);
      bad[at] = (bad[at] ?? 0) ^ mask;
      return bad;
    }, 4),
  );

  test("records before the damage are given, the damaged one is not", async () => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory);
    const path = join(directory, "00000.tok.msgpack");
    const bytes = readFileSync(path);
    const at = bytes.indexOf("b/Ü.png");
    bytes[at] = 0x63;
    writeFileSync(path, bytes);
    const given: string[] = [];
    const reading = (async () => {
      for await (const { key } of (await openTokens(directory)).records()) given.push(key);
    })();
    await expect(reading).rejects.toMatchObject({ exitCode: 4 });
    expect(given).toEqual(["a/1.png"]);
  });

  test.each(["index.json", "failures.jsonl"])("any flipped byte of %s is called changed", async (file) => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory);
    const path = join(directory, file);
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at += 7) {
      const bad = Uint8Array.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      writeFileSync(path, bad);
      await expect(openTokens(directory)).rejects.toMatchObject({ exitCode: 4 });
    }
  });

  test("a missing or longer shard, two exchanged shards", async () => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory);
    const [first, second] = [join(directory, "00000.tok.msgpack"), join(directory, "00001.tok.msgpack")];
    const good = readFileSync(first);
    writeFileSync(first, Buffer.concat([good, good]));
    await expect(openTokens(directory)).rejects.toMatchObject({ exitCode: 4 });
    cpSync(second, first);
    await expect(openTokens(directory)).rejects.toMatchObject({ exitCode: 3 });
    rmSync(first);
    await expect(openTokens(directory)).rejects.toMatchObject({ exitCode: 3 });
    expect(existsSync(second)).toBe(true);
  });
});

describe("a well-digested file with bad contents", () => {
  const crc = (key: string, label: number, tokens: Buffer): number => {
    // The documented definition, bit by bit.
    const head = Buffer.alloc(4);
    head.writeInt32LE(label);
    let value = 0xffffffff;
    for (const byte of Buffer.concat([Buffer.from(key), head, tokens])) {
      value ^= byte;
      for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
    }
    return (value ^ 0xffffffff) >>> 0;
  };
  const record = (key: string, label: number | null, tokens: Buffer): object => ({
    key,
    label,
    tokens,
    crc32: crc(key, label ?? -1, tokens),
  });

  async function publish(objects: readonly (object | Buffer)[], count: number): Promise<string> {
    const directory = join(fresh(), "set");
    const parts = [encodeHeader(header), ...objects.map((one) => (Buffer.isBuffer(one) ? one : packObject(one)))];
    const offsets = parts.slice(0, -1).map((_, i) => Buffer.concat(parts.slice(0, i + 1)).length);
    const body = Buffer.concat(parts);
    const shard = Buffer.concat([body, encodeFooter({ offsets, count, sha256: sha256Hex(body) })]);
    const file = "00000.tok.msgpack";
    const entry = { file, bytes: shard.length, count, sha256: sha256Hex(shard) };
    const index = { formatVersion: 1, header, count, failures: 0, shards: [entry] };
    await publishArtifact({
      directory,
      kind: "tokens",
      fingerprint: header.fingerprint,
      files: { [file]: shard, "index.json": JSON.stringify(index), "failures.jsonl": "" },
      config: {},
    });
    return directory;
  }

  const tokens = Buffer.alloc(12, 1);
  test("another writer's file is read", async () => {
    const directory = await publish([record("ü", 1, tokens), record("b", null, tokens)], 2);
    expect((await readAll(directory)).map(({ key, label }) => [key, label])).toEqual([
      ["ü", 1],
      ["b", -1],
    ]);
  });

  test.each([
    ["an id beyond K", [record("a", 0, Buffer.alloc(12, 0xff))], 1],
    ["a label beyond the classes", [record("a", 2, tokens)], 1],
    ["too many tokens", [record("a", 0, Buffer.alloc(14))], 1],
    ["half a token", [record("a", 0, Buffer.alloc(13))], 1],
    ["a key twice", [record("a", 0, tokens), record("a", 0, tokens)], 2],
    ["an unknown field", [{ ...record("a", 0, tokens), more: 1 }], 1],
    ["something that is no map", [Buffer.from([1])], 1],
    ["an extension type", [Buffer.from("d40001", "hex")], 1],
    ["a lying length", [Buffer.from("c6ffffffff00", "hex")], 1],
    ["deep nesting", [Buffer.alloc(200, 0x91)], 1],
    ["an index that promises too much", [record("a", 0, tokens)], 1000],
  ])("%s is bad input", async (_what, objects, count) => {
    await expect(publish(objects, count).then(readAll)).rejects.toMatchObject({ exitCode: 3 });
  });

  test.each([
    ["a wrong crc32", [{ ...record("a", 0, tokens), crc32: 1 }], 1],
    ["a footer that counts wrongly", [record("a", 0, tokens)], 2],
  ])("%s is a mismatch", async (_what, objects, count) => {
    await expect(publish(objects, count).then(readAll)).rejects.toMatchObject({ exitCode: 4 });
  });
});
