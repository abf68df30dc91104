/**
 * The executable as a process: what `--help` loads, its exit codes and its signals. The sources are transpiled file by file into a
 * temporary folder, without type checking, and run by plain Node.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { transpileRooms } from "./transpiled.ts";

let build: string;
beforeAll(() => {
  build = transpileRooms(["shared", "pipelines"]);
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

const cli = () => join(build, "pipelines/cli.js");

/** Every script that V8 compiled in a run, modules and CommonJS alike, from its own coverage report. */
function scriptsLoadedBy(...words: string[]): { status: number | null; scripts: string[] } {
  const reports = mkdtempSync(join(build, "coverage-"));
  const { status } = spawnSync(process.execPath, [cli(), ...words], {
    env: { ...process.env, NODE_V8_COVERAGE: reports },
  });
  const scripts = readdirSync(reports).flatMap((file) => {
    const report = JSON.parse(readFileSync(join(reports, file), "utf8")) as { result: { url: string }[] };
    return report.result.map(({ url }) => url);
  });
  return { status, scripts };
}

describe("what is loaded", () => {
  const heavy = /node_modules\/(@tensorflow|onnxruntime|sharp|@img|msgpackr)/;

  test.each([["--help"], ["--version"], ["no-such-command"]])("%s loads no runtime and no command", (word) => {
    const { scripts } = scriptsLoadedBy(word);
    expect(scripts.some((url) => url.endsWith("/pipelines/main.js"))).toBe(true);
    expect(scripts.filter((url) => heavy.test(url) || url.includes("/pipelines/commands/"))).toEqual([]);
  });

  test("doctor --help loads doctor alone; the same evidence shows a runtime where one is loaded", () => {
    const { status, scripts } = scriptsLoadedBy("doctor", "--help");
    expect(status).toBe(0);
    expect(scripts.filter((url) => url.includes("/pipelines/commands/")).map((url) => url.split("/").at(-1))).toEqual([
      "doctor.js",
    ]);
    expect(scripts.filter((url) => heavy.test(url))).toEqual([]);
    expect(scriptsLoadedBy("doctor").scripts.some((url) => heavy.test(url))).toBe(true);
  });
});

describe("how it ends", () => {
  test("words that make no sense: exit 2, nothing on stdout", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli(), "doctor", "--jso"], { encoding: "utf8" });
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("did you mean --json?");
  });

  /** A command that waits for the signal and then either returns or never does. */
  const waiting = (after: string) => `
    import { installInterrupts } from "./shared/train/interrupts.js";
    import { main } from "./pipelines/main.js";
    const command = {
      meta: { name: "wait", summary: "", examples: [] },
      args: (await import("zod")).z.strictObject({}),
      run: async (_options, { signal }) => {
        const alive = setInterval(() => undefined, 1000);
        const asked = new Promise((resolve) => signal.addEventListener("abort", resolve));
        process.stdout.write("ready\\n");
        await asked;
        ${after}
        clearInterval(alive);
        return { json: {}, text: "checkpointed" };
      },
    };
    const io = { stdout: process.stdout, stderr: process.stderr, env: {}, installInterrupts };
    process.exitCode = await main(["wait"], io, [{ name: "wait", summary: "", load: async () => ({ command }) }]);`;

  /** Sends `signal` whenever the process writes a line of its own accord. */
  async function runWith(script: string, signal: NodeJS.Signals): Promise<{ code: number | null; out: string }> {
    const file = join(build, `wait-${signal}-${script.length}.js`);
    writeFileSync(file, script);
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "ignore"] });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (text.includes("ready")) child.kill(signal);
    });
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { code, out };
  }

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s lets the command finish, then exits %i", async (signal, code) => {
    expect(await runWith(waiting(""), signal)).toEqual({ code, out: "ready\ncheckpointed\n" });
  });

  test("the second Ctrl-C ends a command that does not", async () => {
    const forever = `await new Promise((resolve) => setTimeout(resolve, 150));
      process.stdout.write("ready again\\n");
      await new Promise(() => undefined);`;
    expect(await runWith(waiting(forever), "SIGINT")).toEqual({ code: 130, out: "ready\nready again\n" });
  });
});
