/** The pool with real processes, which run the transpiled sources. */
import { spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { badInput, TesseraError } from "../../shared/errors.ts";
import { type ProcessPool, scriptBeside, startProcesses, threadShare } from "../../shared/process-pool.ts";
import { transpileRooms } from "../pipelines/transpiled.ts";

/** Tells of each byte, then answers with its process, the word it was started with, and the bytes plus one; or does what it is asked to. */
const SCRIPT = `
  import { setTimeout as delay } from "node:timers/promises";
  import { badInput } from "./shared/errors.js";
  import { answerRequests } from "./shared/process-pool.js";
  answerRequests(async ({ bytes, wait = 0, act }, tell) => {
    for (const byte of bytes ?? []) tell(byte);
    if (act === "bad-input") throw badInput({ what: "no image", where: "a.jpg", got: "text", todo: "Look at it" });
    if (act === "bug") throw new RangeError("off by one");
    if (act === "exit") process.exit(7);
    await delay(wait);
    return { pid: process.pid, word: process.argv[2], bytes: bytes?.map((byte) => byte + 1) };
  });`;

interface Request {
  readonly bytes?: Uint8Array;
  readonly wait?: number;
  readonly act?: "bad-input" | "bug" | "exit";
}
interface Answer {
  readonly pid: number;
  readonly word: string;
  readonly bytes: Uint8Array;
}

let build: string;
beforeAll(() => {
  build = transpileRooms(["shared"]);
  writeFileSync(join(build, "script.js"), SCRIPT);
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

const open: ProcessPool<Request, Answer, number>[] = [];
afterEach(() => Promise.all(open.splice(0).map((pool) => pool.close())));

function start(count: number): ProcessPool<Request, Answer, number> {
  const script = pathToFileURL(join(build, "script.js"));
  const pool = startProcesses<Request, Answer, number>({ script, words: ["word"], count, name: "a process that adds" });
  open.push(pool);
  return pool;
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("questions and answers", () => {
  test("each request gets its own answer, whichever is done first, and all processes work", async () => {
    const pool = start(2);
    const requests = Array.from({ length: 12 }, (_, i) => ({ bytes: Uint8Array.of(i, 2 * i), wait: (i * 7) % 5 }));
    const answers = await Promise.all(requests.map((request) => pool.ask(request)));
    expect(answers.map(({ bytes }) => [...bytes])).toEqual(requests.map((_, i) => [i + 1, 2 * i + 1]));
    expect(answers.every(({ word, bytes }) => word === "word" && bytes instanceof Uint8Array)).toBe(true);
    expect(new Set(answers.map(({ pid }) => pid)).size).toBe(2);
  });

  test("what is told of a request comes in its order and before the answer, to the one who asked", async () => {
    const pool = start(2);
    const told = async (bytes: readonly number[]): Promise<number[]> => {
      const notes: number[] = [];
      await pool.ask({ bytes: Uint8Array.from(bytes), wait: 5 }, (note) => notes.push(note));
      return notes;
    };
    const lists = [[1, 2, 3], [], [9, 8], [7]];
    expect(await Promise.all(lists.map(told))).toEqual(lists);
  });

  test("what the one who asked throws when told is thrown to it, and the pool goes on", async () => {
    const pool = start(1);
    const asked = pool.ask({ bytes: Uint8Array.of(1, 2) }, () => {
      throw new Error("enough");
    });
    await expect(asked).rejects.toThrow("enough");
    expect(await pool.ask({})).toMatchObject({ word: "word" });
  });

  test("errors come back: ours with their code and their sentence, a bug with its stack; and the pool goes on", async () => {
    const pool = start(1);
    const expected = badInput({ what: "no image", where: "a.jpg", got: "text", todo: "Look at it" });
    const error: unknown = await pool.ask({ act: "bad-input" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TesseraError);
    expect(error).toMatchObject({ code: "bad-input", message: expected.message });
    const bug = pool.ask({ act: "bug" });
    await expect(bug).rejects.not.toBeInstanceOf(TesseraError);
    const { message, stack } = (await bug.catch((thrown: unknown) => thrown)) as Error;
    expect([message, stack?.includes("script.js")]).toEqual(["off by one", true]);
    expect(await pool.ask({})).toMatchObject({ word: "word" });
  });
});

test("sources in TypeScript have no script that plain Node can run: asking for processes is a failure that says what to do", () => {
  expect(scriptBeside("file:///a/b/pool.js", "work")).toEqual(new URL("file:///a/b/work.js"));
  const script = scriptBeside("file:///a/b/pool.ts", "work");
  expect(script).toBeUndefined();
  expect(() => startProcesses({ script, words: [], count: 1, name: "a process that adds" })).toThrow(
    expect.objectContaining({ code: "failure", message: expect.stringMatching(/a process that adds.*Build/) as string }), // prettier-ignore
  );
});

test.each([
  [5, 2, 2],
  [1, 3, 1],
  [8, 8, 1],
])("of %d threads, each of %d processes has %d", (threads, processes, share) => {
  expect(threadShare(threads, processes)).toBe(share);
});

describe("ends", () => {
  test.each([
    ["is killed", "SIGKILL", (pool: ReturnType<typeof start>, pid: number) => void process.kill(pid, "SIGKILL")],
    ["exits", "exit code 7", (pool: ReturnType<typeof start>) => void pool.ask({ act: "exit" }).catch(() => undefined)],
  ])("a process that %s fails every request, open or to come", async (_how, got, end) => {
    const pool = start(2);
    const { pid } = await pool.ask({});
    const waiting = [pool.ask({ wait: 60_000 }), pool.ask({ wait: 60_000 })];
    end(pool, pid);
    for (const request of waiting) {
      await expect(request).rejects.toMatchObject({ code: "failure" });
      await expect(request).rejects.toThrow(got);
    }
    await expect(pool.ask({})).rejects.toThrow("a process that adds ended before its work did");
  });

  test("closing ends processes at work, and what they were asked fails", async () => {
    const pool = start(2);
    const answers = await Promise.all([pool.ask({ wait: 20 }), pool.ask({ wait: 20 })]);
    const waiting = pool.ask({ wait: 60_000 });
    waiting.catch(() => undefined);
    await pool.close();
    await expect(waiting).rejects.toMatchObject({ code: "failure" });
    expect(answers.map(({ pid }) => isAlive(pid))).toEqual([false, false]);
  });

  test("Ctrl-C is left to the one that started them, even while they are starting", async () => {
    writeFileSync(
      join(build, "interrupted.js"),
      `import { startProcesses } from "./shared/process-pool.js";
       process.on("SIGINT", () => process.stdout.write("interrupted "));
       const script = new URL("./script.js", import.meta.url);
       const pool = startProcesses({ script, words: ["answered"], count: 1, name: "a process" });
       process.kill(0, "SIGINT"); // the whole group, as a terminal does
       process.stdout.write((await pool.ask({ wait: 20 })).word);
       await pool.close();`,
    );
    const parent = spawn(process.execPath, [join(build, "interrupted.js")], {
      detached: true, // a group without the tests
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    parent.stdout.on("data", (data: Buffer) => (said += data.toString()));
    const code = await new Promise((resolve) => parent.on("close", resolve));
    expect([code, said]).toEqual([0, "interrupted answered"]);
  });

  test("processes go when the one that started them is gone", async () => {
    writeFileSync(
      join(build, "parent.js"),
      `import { startProcesses } from "./shared/process-pool.js";
       const script = new URL("./script.js", import.meta.url);
       const pool = startProcesses({ script, words: [], count: 1, name: "a process" });
       process.stdout.write(String((await pool.ask({})).pid));
       await pool.ask({ wait: 60_000 });`,
    );
    const parent = spawn(process.execPath, [join(build, "parent.js")], { stdio: ["ignore", "pipe", "inherit"] });
    const pid = await new Promise<number>((resolve) => parent.stdout.on("data", (data) => resolve(Number(data))));
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    while (isAlive(pid)) await delay(10); // or the test times out
  });
});
