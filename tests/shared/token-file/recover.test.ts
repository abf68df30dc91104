import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { describe, expect, test } from "vitest";

import {
  createTokenWriter,
  findPartials,
  openTokens,
  recoverShard,
  recoverTokens,
} from "../../../shared/token-file/index.ts";
import { ObjectReader } from "../../../shared/token-file/msgpack.ts";
import { createFaultyDisk } from "../../fault/faulty-disk.ts";
import { useTemporaryDirectory } from "../temporary-directory.ts";
import { failure, header, records, writeSmallSet } from "./small-set.ts";

const fresh = useTemporaryDirectory();

async function objectEnds(path: string): Promise<number[]> {
  const reader = await ObjectReader.open(path);
  const ends: number[] = [];
  for (let frame = await reader.next(); frame.status === "object"; frame = await reader.next()) {
    ends.push(frame.offset + frame.bytes.length);
  }
  await reader.close();
  return ends;
}

/** A partial directory as a killed process leaves it, with `edit` done to its files. */
async function leavePartial(edit: (partial: string) => void, recordsPerShard = 3): Promise<string> {
  const directory = join(fresh(), "set");
  const writer = await createTokenWriter({ directory, header, recordsPerShard });
  for (const record of records) await writer.append(record);
  await writer.fail(failure);
  await writer.abort({ keep: true });
  const [partial] = await findPartials(directory);
  if (partial === undefined) throw new Error("nothing was kept");
  edit(partial);
  return partial;
}

describe("a shard", () => {
  test("cut at any byte gives exactly the records that are whole", async () => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory, { recordsPerShard: 5 });
    const path = join(directory, "00000.tok.msgpack");
    const good = readFileSync(path);
    const ends = await objectEnds(path);
    for (let at = 0; at <= good.length; at++) {
      writeFileSync(path, good.subarray(0, at));
      const whole = ends.filter((end) => end <= at).length;
      if (whole === 0) {
        await expect(recoverShard(path), `cut at ${at}`).rejects.toMatchObject({ exitCode: 3 });
        continue;
      }
      const found = await recoverShard(path);
      expect(found.records, `cut at ${at}`).toEqual(records.slice(0, Math.min(whole - 1, 5)));
      expect(found.complete).toBe(at === good.length);
      expect(found.lost.map(({ offset }) => offset)).toEqual(ends.includes(at) ? [] : [ends[whole - 1]]);
    }
  });

  test("with any byte flipped gives no record that was not written", async () => {
    const directory = join(fresh(), "set");
    await writeSmallSet(directory, { recordsPerShard: 5 });
    const path = join(directory, "00000.tok.msgpack");
    const good = readFileSync(path);
    const [headerEnd = 0] = await objectEnds(path);
    for (let at = headerEnd; at < good.length; at++) {
      const bad = Uint8Array.from(good);
      bad[at] = (bad[at] ?? 0) ^ 0x41;
      writeFileSync(path, bad);
      const found = await recoverShard(path);
      expect(found.complete, `byte ${at}`).toBe(false);
      expect(found.lost.length).toBeGreaterThan(0);
      for (const record of found.records) expect(records).toContainEqual(record);
    }
  });
});

describe("an interrupted run", () => {
  const cutLast = (partial: string): void => {
    const path = join(partial, "00001.tok.msgpack");
    writeFileSync(path, readFileSync(path).subarray(0, -5));
  };

  test("is resumed: whole records are kept, what is missing is added", async () => {
    const partial = await leavePartial(cutLast);
    const { writer, recovered, lost } = await recoverTokens(partial, { header });
    expect(recovered).toBe(4);
    expect(lost).toMatchObject([{ file: "00001.tok.msgpack" }]);
    expect(records.map(({ key }) => writer.has(key))).toEqual([true, true, true, true, false]);
    expect(writer.has(failure.key)).toBe(true);
    for (const record of records) if (!writer.has(record.key)) await writer.append(record);
    await writer.finish();
    const set = await openTokens(join(dirname(partial), "set"));
    expect((await set.load()).keys).toEqual(records.map(({ key }) => key));
    expect(set.failures).toEqual([failure]);
    expect(readdirSync(dirname(partial))).toEqual(["set"]);
  });

  test("left by another process is found; a new run refuses to start over it unless told to", async () => {
    const partial = await leavePartial(cutLast);
    const foreign = join(dirname(partial), ".set.partial-4194399-0");
    renameSync(partial, foreign);
    const directory = join(dirname(partial), "set");
    expect(await findPartials(directory)).toEqual([foreign]);
    await expect(createTokenWriter({ directory, header })).rejects.toThrow(/interrupted run/);
    const { writer } = await recoverTokens(foreign);
    await expect(recoverTokens(partial)).rejects.toMatchObject({ exitCode: 2 });
    await writer.abort({ keep: true });
    await writeSmallSet(directory, { discardPartial: true });
    expect(readdirSync(dirname(directory))).toEqual(["set"]);
  });

  test("that failed while publishing is finished by recovering it", async () => {
    const directory = join(fresh(), "set");
    for (let at = 3, done = false; !done; at++) {
      const disk = createFaultyDisk({ at, code: "ENOSPC" });
      const writer = await createTokenWriter({ directory, header, recordsPerShard: 3, disk });
      let kept = 0;
      try {
        for (const record of records) await writer.append(record).then(() => kept++);
        await writer.finish();
        done = true;
      } catch (error) {
        expect(error, `operation ${at}`).toMatchObject({ exitCode: 1 });
        expect(existsSync(directory)).toBe(false);
        await writer.abort({ keep: true });
        const [partial = ""] = await findPartials(directory);
        const again = await recoverTokens(partial, { header });
        // A finished shard is safe; the buffer of an unfinished one is not.
        expect(again.recovered).toBeGreaterThanOrEqual(Math.floor(kept / 3) * 3);
        for (const record of records) if (!again.writer.has(record.key)) await again.writer.append(record);
        await again.writer.finish();
        expect((await (await openTokens(directory)).load()).keys).toEqual(records.map(({ key }) => key));
        await (await createTokenWriter({ directory, header, overwrite: true })).abort();
        renameSync(directory, `${directory}-${at}`);
      }
    }
    expect(await openTokens(directory)).toMatchObject({ count: 5 });
  });

  test("of another tokenizer, without shards, or not a partial is refused", async () => {
    const partial = await leavePartial(cutLast);
    const other = { ...header, fingerprint: "e".repeat(64) };
    await expect(recoverTokens(partial, { header: other })).rejects.toMatchObject({ exitCode: 4 });
    await expect(recoverTokens(partial, { header: { ...header, grid: [3, 2] } })).rejects.toMatchObject({
      exitCode: 4,
    });
    await expect(recoverTokens(dirname(partial))).rejects.toMatchObject({ exitCode: 2 });
    const empty = join(dirname(partial), ".other.partial-4194399-0");
    mkdirSync(empty);
    await expect(recoverTokens(empty)).rejects.toMatchObject({ exitCode: 3 });
    const { writer, recovered } = await recoverTokens(empty, { header });
    expect(recovered).toBe(0);
    await writer.abort();
  });
});
