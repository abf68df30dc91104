/** Tokenizing in one process and in several: the same files, and nothing left behind when it goes wrong. Processes run the transpiled sources. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tokenizeImages, type TokenizeOptions } from "../../pipelines/tokenize.ts";
import { usualProcesses } from "../../pipelines/tokenizing/token-processes.ts";
import { TesseraError } from "../../shared/errors.ts";
import { openTokens } from "../../shared/token-file/index.ts";
import { createReporter, silentReporter } from "../../shared/train/reporter.ts";
import {
  decodeImage,
  type ImageRecord,
  iterateRecords,
  loadTokenizer,
  type Tokenizer,
} from "../../stage1-tokenizer/index.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { BAD_INPUT, noise, plain, pngOfSize } from "../stage1-tokenizer/images/fixtures.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";
import { transpileRooms } from "./transpiled.ts";

const fresh = useTemporaryDirectory();
let build: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  build = transpileRooms(["shared", "stage1-tokenizer", "pipelines"]);
  tokenizer = await loadTokenizer(await publishUntrained(tinyConfig({}), fresh("tokenizer")), { threads: 1 });
}, 60_000);
afterAll(async () => {
  await tokenizer.dispose();
  rmSync(build, { recursive: true, force: true });
});

const scriptAt = (path: string): URL => pathToFileURL(join(build, path));

/** Into `directory`, by default with two processes. */
function tokenize(directory: string, options: Pick<TokenizeOptions, "records"> & Partial<TokenizeOptions>) {
  return tokenizeImages({
    ...{ tokenizer, threads: 2, processes: 2, script: scriptAt("pipelines/tokenizing/token-process.js") },
    ...{ classes: ["even"], from: "made up", directory, reporter: silentReporter },
    ...options,
  });
}

/** As a caller that leaves the number of processes open. */
const tokenizeUsually = (directory: string, options: Pick<TokenizeOptions, "records" | "script">) =>
  tokenizeImages({
    ...{ tokenizer, threads: 2, classes: ["even"], from: "made up", directory, reporter: silentReporter },
    ...options,
  });

/** A script that answers batches as `answer`, a function in JavaScript, says. */
function scriptOf(answer: string): URL {
  const name = `${basename(fresh("script"))}.js`;
  writeFileSync(
    join(build, name),
    `import { answerRequests } from "./shared/process-pool.js";
     answerRequests(async (images) => (${answer})(images));`,
  );
  return scriptAt(name);
}

/** Record i is a picture of its own; every kind of content comes up, and every kind of failure. */
async function mixedRecords(count: number): Promise<ImageRecord[]> {
  const pixels = (i: number): Uint8Array => noise(9, 10).map((value) => value ^ (i * 37));
  const raw = (i: number) => ({ pixels: pixels(i), height: 9, width: 10, channels: 3 }) as const;
  const svg = (i: number): Uint8Array =>
    Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="${i % 9}" fill="red"/></svg>`);
  const huge = pngOfSize(10_001, 10_000);
  const jpeg = await plain([200, 90, 10], 20, 30).jpeg().toBuffer();
  const contents: ((i: number) => ReturnType<ImageRecord["read"]>)[] = [
    (i) => Promise.resolve(raw(i)),
    (i) => Promise.resolve(svg(i)),
    () => Promise.resolve(jpeg),
    () => Promise.resolve(new Uint8Array(0)),
    (i) => Promise.resolve(raw(i + 1)),
    () => Promise.resolve(jpeg.subarray(0, 200)),
    () => Promise.reject(new Error("EIO: the disk is tired")),
    () => Promise.resolve(huge),
    (i) => Promise.resolve({ ...raw(i), height: 8 }),
  ];
  return Array.from({ length: count }, (_, i) => {
    const read = () => contents[i % contents.length]?.(i) ?? Promise.reject(new Error("no content"));
    return { key: `image ${i}`, family: `${i}`, ...(i % 2 === 0 ? { label: 0 } : {}), read };
  });
}

/** Everything in a token set but its manifest, which holds the time it was made. What libvips says of an image depends on others beside it. */
const filesOf = (directory: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(directory)
      .filter((name) => name !== "manifest.json")
      .map((name) => [name, readFileSync(join(directory, name), "latin1").replaceAll(/decoded: .*/g, "decoded")]),
  );

/** Neither the set nor a part of it. */
const leftOf = (directory: string): string[] =>
  readdirSync(dirname(directory)).filter((name) => name.includes(basename(directory)));

describe("several processes", () => {
  test("write the files that one writes, byte for byte, whatever the batch: images in order, failures in order", async () => {
    const records = await mixedRecords(100);
    const directories: string[] = [];
    for (const [processes, batchSize] of [
      [1, 16],
      [1, 5],
      [2, 4],
    ] as const) {
      const directory = fresh("tokens");
      const { failures } = await tokenize(directory, { records: iterateRecords(records), processes, batchSize });
      expect(failures).toBe(records.length - 45);
      directories.push(directory);
    }
    const [one, ...others] = directories.map(filesOf);
    expect(Object.keys(one ?? {})).toEqual(["00000.tok.msgpack", "failures.jsonl", "index.json"]);
    for (const other of others) expect(other).toEqual(one);
    const { failures } = await openTokens(directories[0] ?? "");
    const isBad = (_: unknown, i: number): boolean => [3, 5, 6, 7, 8].includes(i % 9);
    expect(failures.map(({ key }) => key)).toEqual(records.filter(isBad).map(({ key }) => key));
    expect(failures[2]?.reason).toBe("image 6: image cannot be read: EIO: the disk is tired.");
  });

  test("the tokens are the tokenizer's, with keys and labels", async () => {
    const records = (await mixedRecords(60)).filter((_, i) => i % 9 < 3);
    const directory = fresh("tokens");
    await tokenize(directory, { records: iterateRecords(records), batchSize: 3 });
    const { keys, labels, grid } = await (await openTokens(directory)).load();
    expect(keys).toEqual(records.map(({ key }) => key));
    expect([...labels]).toEqual(records.map(({ label }) => label ?? -1));
    const expected: number[] = [];
    for (const record of records) {
      const pixels = await decodeImage(await record.read(), tokenizer.preprocessing, record.key);
      expected.push(...(await tokenizer.encode(pixels)).tokens);
    }
    expect([...grid.tokens]).toEqual(expected);
  });

  test("share the threads; no image at all is bad input there too", async () => {
    const script = scriptOf(`(images) => images.map(({ key }) => ({ key, reason: process.argv[3] }))`);
    const warnings: string[] = [];
    const reporter = createReporter({ stream: { write: (line) => warnings.push(line) } });
    const records = iterateRecords(await mixedRecords(3));
    const options = { records, script, reporter, threads: 5, processes: 2 };
    await expect(tokenize(fresh("tokens"), options)).rejects.toMatchObject(BAD_INPUT);
    expect(warnings.filter((line) => line.includes('{"threads":2,"dtype":"float32"}'))).toHaveLength(3);
    expect([1, 5, 200].map((threads) => usualProcesses(threads))).toEqual([1, 5, 16]);
  });

  test("are not started for a few images", async () => {
    const script = scriptOf("() => process.exit(9)");
    const [some, more] = [await mixedRecords(255), await mixedRecords(256)];
    const { index } = await tokenizeUsually(fresh("tokens"), { records: iterateRecords(some), script });
    expect(index.count).toBeGreaterThan(100);
    const tooMany = tokenizeUsually(fresh("tokens"), { records: iterateRecords(more), script });
    await expect(tooMany).rejects.toThrow("exit code 9");
  });
});

describe("when it goes wrong", () => {
  test("a process that dies is a failure that says so, and nothing is published", async () => {
    const death = `(images) => images.some(({ key }) => key === "image 40")
      ? process.kill(process.pid, "SIGKILL")
      : images.map(({ key }) => ({ key, tokens: new Int32Array(16) }))`;
    const directory = fresh("tokens");
    const run = tokenize(directory, { records: iterateRecords(await mixedRecords(200)), script: scriptOf(death) });
    await expect(run).rejects.toThrow(/tokens ended .*SIGKILL/);
    await expect(run).rejects.toMatchObject({ exitCode: 1 });
    expect(leftOf(directory)).toEqual([]);
  });

  test("a tokenizer that a process cannot load is the error it would be here", async () => {
    const directory = fresh("tokens");
    const records = iterateRecords(await mixedRecords(2));
    const elsewhere = { ...tokenizer, directory: fresh("no tokenizer") };
    await expect(tokenize(directory, { tokenizer: elsewhere, records })).rejects.toMatchObject(BAD_INPUT);
    expect(leftOf(directory)).toEqual([]);
  });

  test("an endless source is read a bounded number of records ahead; interrupted, nothing is published", async () => {
    let [given, closed] = [0, false];
    async function* endless(): AsyncGenerator<ImageRecord> {
      const records = await mixedRecords(3); // good ones
      try {
        for (;;) {
          const record = records[given % 3];
          if (record !== undefined) yield { ...record, key: `image ${given++}` };
        }
      } finally {
        closed = true;
      }
    }
    const interrupt = new AbortController();
    const progress = (done: number): void => {
      expect(given).toBeLessThanOrEqual(Math.max(256, done + 2 * 2 * 8)); // two batches a process
      if (done > 1000) interrupt.abort(new TesseraError("interrupted", { what: "stopped by SIGINT" }));
    };
    const directory = fresh("tokens");
    const run = tokenize(directory, {
      ...{ records: endless(), batchSize: 8, signal: interrupt.signal },
      reporter: { ...silentReporter, progress },
    });
    await expect(run).rejects.toMatchObject({ exitCode: 130 });
    expect([closed, leftOf(directory)]).toEqual([true, []]);
  });

  test("Ctrl-C at a terminal reaches all processes: exit 130, no noise, nothing left", async () => {
    const directory = fresh("tokens");
    const words = ["--tokenizer", tokenizer.directory, "--source", "emoji", "--out", directory, "--processes", "2"];
    const child = spawn(process.execPath, [join(build, "pipelines/cli.js"), "tokenize", ...words], {
      detached: true, // a group of its own, as a terminal makes one
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = { out: "", err: "" };
    child.stdout.on("data", (data: Buffer) => (text.out += data.toString()));
    child.stderr.on("data", (data: Buffer) => (text.err += data.toString()));
    const code = new Promise<number | null>((resolve) => child.on("close", resolve));
    const shards = (): string[] => leftOf(directory).flatMap((name) => readdirSync(join(dirname(directory), name)));
    while (!shards().some((name) => name.endsWith(".tok.msgpack"))) await delay(20); // or the test times out
    process.kill(-(child.pid ?? 0), "SIGINT");
    expect(await code).toBe(130);
    expect(text.out).toBe("");
    const lines = text.err.trimEnd().split("\n");
    expect(lines.filter((line) => !line.startsWith("tokenize "))).toEqual([
      "warning: Stopping after the running step; once more to stop at once.",
      "tessera: stopped by SIGINT.",
    ]);
    expect(leftOf(directory)).toEqual([]);
  });
});
