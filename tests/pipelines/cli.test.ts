/** The command line as a function of its words: what it prints where, and with which code it ends. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { badInput, mismatch, numericalError, TesseraError } from "../../shared/errors.ts";
import type { Interrupts } from "../../shared/train/interrupts.ts";
import { defineCommand, formatTable } from "../../pipelines/command.ts";
import type { CommandListing } from "../../pipelines/command.ts";
import { COMMANDS, main } from "../../pipelines/main.ts";
import { commonOptions, option, seedOption } from "../../pipelines/options.ts";

const toy = defineCommand({
  meta: {
    name: "toy",
    summary: "Repeats what it is told.",
    examples: [["tessera toy a.png --batch-size 2", "Two at a time"]],
    positional: "path",
  },
  args: z.strictObject({
    ...seedOption,
    path: option(z.string().optional(), { describe: "A file" }),
    batchSize: option(z.int().min(1).max(64).default(16), { describe: "Images in a batch", alias: "b" }),
    rate: option(z.number().optional(), { describe: "Learning rate" }),
    objective: option(z.enum(["causal", "masked"]).default("causal"), { describe: "What is learnt" }),
    tags: option(z.array(z.string()).default([]), { describe: "Words" }),
    force: option(z.boolean().default(false), { describe: "Do it anyway" }),
  }),
  run(options, { print, reporter }) {
    print("at work");
    reporter.note("a note");
    reporter.warn("a warning");
    return Promise.resolve({ json: { ...options }, text: "the table" });
  },
});

const listingOf = (name: string, run: (signal: AbortSignal) => unknown): CommandListing => ({
  name,
  summary: `Does ${name}.`,
  load: () =>
    Promise.resolve({
      command: defineCommand({
        meta: { name, summary: "", examples: [] },
        args: z.strictObject({}),
        run: async (_options, { signal }) => {
          await run(signal);
          return { json: {}, text: "" };
        },
      }),
    }),
});

const throwing = (name: string, error: unknown) =>
  listingOf(name, () => {
    throw error;
  });

function interruptsAt(code: "interrupted" | undefined): Interrupts {
  const reason = new TesseraError("interrupted", { what: "stopped by SIGINT" });
  const signal = code === undefined ? new AbortController().signal : AbortSignal.abort(reason);
  return { signal, exitCode: () => (code === undefined ? undefined : reason.exitCode), dispose: () => undefined };
}

async function call(
  words: readonly string[],
  given: { commands?: readonly CommandListing[]; env?: Record<string, string>; interrupted?: boolean } = {},
) {
  const toyListing = { name: "toy", summary: "Repeats.", load: () => Promise.resolve({ command: toy }) };
  const [out, err]: [string[], string[]] = [[], []];
  const code = await main(
    words,
    {
      stdout: { write: (text) => out.push(text) },
      stderr: { write: (text) => err.push(text) },
      env: given.env ?? {},
      installInterrupts: () => interruptsAt(given.interrupted === true ? "interrupted" : undefined),
    },
    given.commands ?? [toyListing],
  );
  return { code, out: out.join(""), err: err.join("") };
}

const json = async (...words: string[]): Promise<unknown> => JSON.parse((await call(["toy", "--json", ...words])).out);

describe("output", () => {
  test("results go to stdout, progress and warnings to stderr", async () => {
    const { code, out, err } = await call(["toy"]);
    expect([code, out, err]).toEqual([0, "at work\nthe table\n", "a note\nwarning: a warning\n"]);
  });

  test("--json: stdout is one line of JSON, everything for people is on stderr", async () => {
    const { code, out, err } = await call(["toy", "--json"]);
    expect(code).toBe(0);
    expect(out.match(/\n/g)).toHaveLength(1);
    expect(JSON.parse(out)).toEqual({ seed: 0, batchSize: 16, objective: "causal", tags: [], force: false });
    expect(err).toBe("at work\na note\nwarning: a warning\nthe table\n");
  });

  test("--quiet leaves results and warnings", async () => {
    const { out, err } = await call(["toy", "-q"]);
    expect([out, err]).toEqual(["at work\nthe table\n", "warning: a warning\n"]);
  });

  test("--version prints one version", async () => {
    const { code, out } = await call(["--version"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });

  test("columns of a table line up and end without blanks", () => {
    expect(
      formatTable([
        ["a", "bbb", ""],
        ["cc", "d"],
      ]),
    ).toBe("a   bbb\ncc  d");
  });
});

describe("options", () => {
  test("long, short, repeated, switched and bare words reach the command typed", async () => {
    expect(
      await json("in.png", "--batch-size", "4", "-s", "9", "--rate=1e-4", "--objective", "masked", "--force"),
    ).toEqual({
      path: "in.png",
      batchSize: 4,
      seed: 9,
      rate: 0.0001,
      objective: "masked",
      tags: [],
      force: true,
    });
    expect(await json("--tags", "a", "--tags", "b", "--rate", "-1", "-b2")).toMatchObject({
      tags: ["a", "b"],
      rate: -1,
      batchSize: 2,
    });
    expect(await json("--tags", "a", "--no-force", "--path", "007")).toMatchObject({
      tags: ["a"],
      force: false,
      path: "007",
    });
  });

  test.each([
    [["--batch-size", "abc"], '--batch-size: expected a finite number, got "abc"'],
    [["--batch-size", "NaN"], '--batch-size: expected a finite number, got "NaN"'],
    [["--batch-size", "0x10"], '--batch-size: expected a finite number, got "0x10"'],
    [["--rate", "Infinity"], '--rate: expected a finite number, got "Infinity"'],
    [["--rate", "1e999"], "--rate: expected a finite number, got Infinity"],
    [["--batch-size"], '--batch-size: expected a finite number, got ""'],
    [["--batch-size", "1.5"], "--batch-size: expected a whole number, got 1.5"],
    [["--batch-size", "0"], "--batch-size: expected a number ≥ 1, got 0"],
    [["--batch-size", "1", "--batch-size", "2"], '--batch-size: expected a finite number, got ["1", "2"]'],
    [["--seed", "-1"], "--seed: expected a number ≥ 0, got -1"],
    [["--objective", "mask"], '--objective: expected causal or masked, got "mask"'],
    [["--force=yes"], '--force: expected true or false, got "yes"'],
    [["--bach-size", "4"], "unknown option --bach-size (did you mean --batch-size?)"],
    [["--batchSize", "4"], "unknown option --batchSize (did you mean --batch-size?)"],
    [["--frobnicate"], "unknown option --frobnicate"],
    [["-x", "1"], "unknown option -x"],
    [["a.png", "b.png"], 'unexpected argument "b.png"'],
  ])("%j is refused with exit 2: %s", async (words, part) => {
    const { code, out, err } = await call(["toy", ...words]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(part);
    expect(err).toContain("tessera toy --help");
  });

  test("several mistakes are told at once", async () => {
    const { err } = await call(["toy", "--rate", "x", "--nope", "--seed", "y"]);
    for (const part of ["--rate", "--nope", "--seed"]) expect(err).toContain(part);
  });

  test("an option without a description is a bug of the command", async () => {
    const bare = defineCommand({
      meta: toy.meta,
      args: z.strictObject({ naked: z.string() }),
      run: () => Promise.resolve({ json: {}, text: "" }),
    });
    const { code, err } = await call(["toy"], {
      commands: [{ name: "toy", summary: "", load: () => Promise.resolve({ command: bare }) }],
    });
    expect([code, err.includes("naked")]).toEqual([1, true]);
  });
});

describe("help", () => {
  test("lists every command without loading one", async () => {
    const load = () => Promise.reject(new Error("loaded"));
    for (const flag of ["--help", "-h"]) {
      const { code, out } = await call([flag], { commands: COMMANDS.map((listing) => ({ ...listing, load })) });
      expect(code).toBe(0);
      for (const { name, summary } of COMMANDS)
        expect(out.replace(/\s+/g, " ")).toContain(`tessera ${name} ${summary}`);
    }
  });

  test("of a command shows options, kinds, choices, defaults, examples and the common options, and runs nothing", async () => {
    const { code, out } = await call(["toy", "--batch-size", "abc", "--help"]);
    expect(code).toBe(0);
    for (const part of [
      "--batch-size",
      "[number] [default: 16]",
      '"causal", "masked"',
      "Two at a time",
      "--json",
      "--quiet",
      "--seed",
    ]) {
      expect(out).toContain(part);
    }
    expect(out).not.toContain("at work");
  });

  test("without a command it goes to stderr with exit 2", async () => {
    const { code, out, err } = await call([]);
    expect([code, out, err.includes("tessera toy")]).toEqual([2, "", true]);
  });

  test.each(COMMANDS.map((listing) => [listing.name, listing] as const))(
    "%s is described as listed, with examples that parse",
    async (name, listing) => {
      const { command } = await listing.load();
      expect(command.meta.name).toBe(name);
      expect(command.meta.examples.length).toBeGreaterThan(0);
      for (const key of Object.keys(commonOptions)) expect(command.args.shape).not.toHaveProperty(key);
      for (const [line] of command.meta.examples) {
        const [program, word, ...words] = line.split(" ");
        expect([program, word]).toEqual(["tessera", name]);
        const idle = { ...command, run: () => Promise.resolve({ json: {}, text: "" }) };
        const { code, err } = await call([name, ...words], {
          commands: [{ ...listing, load: () => Promise.resolve({ command: idle }) }],
        });
        expect([code, err]).toEqual([0, ""]);
      }
    },
  );
});

describe("errors", () => {
  test.each([
    [["toi"], "did you mean toy?"],
    [["something-else"], 'unknown command "something-else"'],
    [["--jsn", "toy"], "unknown option --jsn"],
  ])("%j: exit 2, %s", async (words, part) => {
    const { code, err } = await call(words);
    expect([code, err.includes(part), err.includes("tessera --help")]).toEqual([2, true, true]);
  });

  test.each([
    [3, badInput({ what: "no image can be decoded", where: "photos/" })],
    [4, mismatch({ what: "belongs to another tokenizer" })],
    [5, numericalError({ what: "loss is not finite" })],
  ])("exit %i prints the sentence and no stack", async (exitCode, error) => {
    const { code, out, err } = await call(["x"], { commands: [throwing("x", error)] });
    expect([code, out, err]).toEqual([exitCode, "", `tessera: ${error.message}\n`]);
  });

  test("an unforeseen error is exit 1; TESSERA_DEBUG adds the stack", async () => {
    const commands = [throwing("x", new Error("boom"))];
    const plain = await call(["x"], { commands });
    expect(plain.code).toBe(1);
    expect(plain.err).toContain("unexpected error: boom");
    expect(plain.err).not.toContain("cli.test.ts");
    const debug = await call(["x"], { commands, env: { TESSERA_DEBUG: "1" } });
    expect(debug.code).toBe(1);
    expect(debug.err).toContain("cli.test.ts");
  });

  test("a command that returns after an interruption ends with its code", async () => {
    expect((await call(["toy"], { interrupted: true })).code).toBe(130);
  });

  test("a command that throws the signal's reason ends with its code too", async () => {
    const commands = [listingOf("x", (signal) => signal.throwIfAborted())];
    expect((await call(["x"], { commands, interrupted: true })).code).toBe(130);
    expect((await call(["x"], { commands })).code).toBe(0);
  });
});
