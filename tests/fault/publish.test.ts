import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";
import { describe, expect, test } from "vitest";

import { createProvenance, openArtifact, publishArtifact } from "../../shared/artifact.ts";
import type { Disk } from "../../shared/disk.ts";
import { Rng } from "../../shared/rng.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { createFaultyDisk } from "./faulty-disk.ts";

const fresh = useTemporaryDirectory();

function publish(directory: string, text: string, more: { disk?: Disk; overwrite?: boolean } = {}): Promise<unknown> {
  const files = { "a.bin": new Uint8Array(1000).fill(text.length), "b.txt": text };
  return publishArtifact({ directory, kind: "tokenizer", files, config: { text }, ...more });
}

async function readVerified(directory: string): Promise<string> {
  const artifact = await openArtifact(directory);
  await artifact.verify();
  return Buffer.from(await artifact.read("b.txt")).toString();
}

describe.each([
  ["ENOSPC", false],
  ["ENOSPC", true],
  ["EROFS", true],
  ["EACCES", true],
  ["EIO", false],
])("a disk that fails with %s (for good: %s)", (code, stays) => {
  test("at any operation leaves no artefact and no temporary file", async () => {
    const parent = fresh();
    mkdirSync(parent);
    const directory = join(parent, "name");
    for (let at = 0; ; at++) {
      const disk = createFaultyDisk({ at, code, stays });
      const error: unknown = await publish(directory, "new", { disk }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (!disk.failed()) break;
      expect(error, `operation ${at}`).toMatchObject({
        exitCode: 1,
        message: expect.stringContaining(code) as unknown,
      });
      expect(readdirSync(parent), `operation ${at}`).toEqual([]);
    }
    expect(await readVerified(directory)).toBe("new");
  });

  test("at any operation of a replacement leaves the earlier artefact untouched", async () => {
    const parent = fresh();
    const directory = join(parent, "name");
    await publish(directory, "old");
    for (let at = 0, done = false; !done; at++) {
      const disk = createFaultyDisk({ at, code, stays });
      await publish(directory, "new", { disk, overwrite: true }).catch(() => undefined);
      done = !disk.failed();
      expect(await readVerified(directory), `operation ${at}`).toBe(done ? "new" : "old");
      expect(readdirSync(parent), `operation ${at}`).toEqual(["name"]);
    }
  });
});

test("the sentence for a full disk and for a read-only folder says what to do", async () => {
  for (const [code, words] of [
    ["ENOSPC", /disk is full.*Free some space/],
    ["EROFS", /read-only.*another output folder/],
  ] as const) {
    const disk = createFaultyDisk({ at: 1, code });
    await expect(publish(join(fresh(), "name"), "x", { disk })).rejects.toThrow(words);
  }
});

test("a folder that is really read-only is a failure", async (context) => {
  if (process.getuid?.() === 0) context.skip("the superuser may write anywhere");
  const parent = fresh();
  mkdirSync(parent);
  chmodSync(parent, 0o555);
  await expect(publish(join(parent, "name"), "x")).rejects.toMatchObject({ exitCode: 1 });
  expect(readdirSync(parent)).toEqual([]);
});

test("what dead processes left is removed, what live ones are writing is not", async () => {
  const parent = fresh();
  const dead = await pidOfDeadProcess();
  const alive = process.ppid;
  for (const name of [
    `.name.tmp-${dead}-0-0`,
    `.name.tmp-${alive}-0-0`,
    `.name.old-${dead}-0-1`,
    `.other.tmp-${dead}-0-0`,
  ]) {
    mkdirSync(join(parent, name), { recursive: true });
    writeFileSync(join(parent, name, "half"), "x");
  }
  const directory = join(parent, "name");
  await expect(publish(directory, "new")).rejects.toMatchObject({ exitCode: 2 }); // the replaced one came back
  expect(readFileSync(join(directory, "half"), "utf8")).toBe("x");
  await publish(directory, "new", { overwrite: true });
  expect(readdirSync(parent).sort()).toEqual([`.name.tmp-${alive}-0-0`, `.other.tmp-${dead}-0-0`, "name"].sort());
});

describe("kill -9 while publishing", () => {
  const script = buildChild();

  test("at every single operation: afterwards a complete artefact or none, and the next publication succeeds", async () => {
    for (const overwrite of [false, true]) {
      for (let at = 0, finished = false; !finished; at++) {
        const parent = fresh();
        const directory = join(parent, "name");
        if (overwrite) await publish(directory, "old");
        finished = (await run([script, directory, String(at), String(overwrite)])) === "finished";
        const after = existsSync(directory) ? await readVerified(directory) : undefined;
        expect(finished ? ["new"] : [undefined, "old", "new"], `operation ${at}`).toContain(after);
        if (!overwrite) expect(after, `operation ${at}`).not.toBe("old");
        await publish(directory, "next", { overwrite: true });
        expect(await readVerified(directory)).toBe("next");
        expect(readdirSync(parent), `operation ${at}`).toEqual(["name"]);
      }
    }
  }, 60_000);

  test("at random moments of a run of publications", async () => {
    const rng = Rng.fromSeed(1);
    for (let round = 0; round < 4; round++) {
      const parent = fresh();
      await run([script, join(parent, "name"), "forever", "true"], 150 + rng.integer(150));
      const visible = existsSync(parent) ? readdirSync(parent).filter((name) => !name.startsWith(".")) : [];
      for (const name of visible) expect(await readVerified(join(parent, name))).toBe("new");
      await publish(join(parent, "name"), "next", { overwrite: true });
      expect(readdirSync(parent)).toEqual(["name"]);
    }
  }, 60_000);
});

/** Emits the few modules as JavaScript, with a script that publishes and kills itself at the given operation. */
function buildChild(): string {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const directory = fresh("child");
  for (const file of ["artifact", "disk", "errors", "fingerprint", "publish", "../tests/fault/faulty-disk"]) {
    const source = readFileSync(join(root, "shared", `${file}.ts`), "utf8");
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
    });
    const target = join(directory, "shared", `${file}.js`);
    mkdirSync(join(target, ".."), { recursive: true });
    writeFileSync(target, outputText.replaceAll(/(from "\.[^"]*)\.ts"/g, '$1.js"'));
  }
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
  const script = join(directory, "child.js");
  writeFileSync(
    script,
    `import { publishArtifact } from "./shared/artifact.js";
     import { createFaultyDisk } from "./tests/fault/faulty-disk.js";
     const [directory, at, overwrite] = process.argv.slice(2);
     const instead = () => process.kill(process.pid, "SIGKILL");
     const disk = createFaultyDisk({ at: at === "forever" ? Infinity : Number(at), code: "EIO", instead });
     const files = { "a.bin": new Uint8Array(1000), "b.txt": "new" };
     const provenance = ${JSON.stringify(createProvenance())};
     do {
       await publishArtifact({
         directory, kind: "tokenizer", files, config: {}, provenance, overwrite: overwrite === "true", disk,
       });
     } while (at === "forever");
     process.stdout.write("finished");`,
  );
  return script;
}

/** Runs Node until it ends or, after `milliseconds`, is killed; what it printed. */
async function run(args: readonly string[], milliseconds?: number): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const timer = milliseconds === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), milliseconds);
  const signal = await new Promise<string | null>((end) => child.on("close", (_code, by) => end(by)));
  clearTimeout(timer);
  expect(output === "finished" || signal === "SIGKILL", `child ended by ${signal ?? "itself"}`).toBe(true);
  return output;
}

async function pidOfDeadProcess(): Promise<number> {
  const child = spawn(process.execPath, ["-e", ""]);
  await new Promise((end) => child.on("exit", end));
  return child.pid ?? 0;
}
