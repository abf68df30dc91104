/**
 * The command line as a function of its arguments: finds the command, checks its options, runs it, prints, and turns errors into exit
 * codes. The only place that prints errors. Loads a command's module only when that command is called.
 */
import { inspect } from "node:util";
import { closest } from "../shared/config.ts";
import { EXIT_CODES, TesseraError, usageError } from "../shared/errors.ts";
import type { Interrupts } from "../shared/train/interrupts.ts";
import { createReporter } from "../shared/train/reporter.ts";
import type { Command, CommandListing } from "./command.ts";
import { asksForHelp, commandHelp, commonOptions, parseOptions, plainYargs } from "./options.ts";
import { ownVersion } from "./versions.ts";

export const COMMANDS: readonly CommandListing[] = [
  {
    name: "demo",
    summary: "The whole path on the embedded emoji, in about twelve minutes.",
    load: () => import("./commands/demo.ts"),
  },
  {
    name: "train-tokenizer",
    summary: "Train a VQ-VAE on images and publish it.",
    load: () => import("./commands/train-tokenizer.ts"),
  },
  {
    name: "compare-bottlenecks",
    summary: "Train every bottleneck alike; one table, one sheet.",
    load: () => import("./commands/compare-bottlenecks.ts"),
  },
  {
    name: "tokenize",
    summary: "Turn images into token files.",
    load: () => import("./commands/tokenize.ts"),
  },
  {
    name: "train-prior",
    summary: "Train a prior on token files, or count one.",
    load: () => import("./commands/train-prior.ts"),
  },
  {
    name: "import-prior",
    summary: "Check a prior from elsewhere (ONNX) and publish it.",
    load: () => import("./commands/import-prior.ts"),
  },
  {
    name: "generate",
    summary: "Sample new images from a prior.",
    load: () => import("./commands/generate.ts"),
  },
  {
    name: "complete",
    summary: "Redraw a part of a picture, or draw what lies around it.",
    load: () => import("./commands/complete.ts"),
  },
  {
    name: "variations",
    summary: "Draw a share of a picture's tokens anew.",
    load: () => import("./commands/variations.ts"),
  },
  {
    name: "reconstruct",
    summary: "Measure and draw what a tokenizer keeps of images.",
    load: () => import("./commands/reconstruct.ts"),
  },
  {
    name: "evaluate-tokenizer",
    summary: "Measure a tokenizer: distortion, rate, codes, Fréchet distance, throughput.",
    load: () => import("./commands/evaluate-tokenizer.ts"),
  },
  {
    name: "evaluate-prior",
    summary: "Judge priors and counting baselines side by side: bits, samples, copies, speed.",
    load: () => import("./commands/evaluate-prior.ts"),
  },
  {
    name: "guidance-curve",
    summary: "How many samples look like the class asked for, at rising guidance scales.",
    load: () => import("./commands/guidance-curve.ts"),
  },
  {
    name: "latent-sheets",
    summary: "Draw the latent space of an autoencoder.",
    load: () => import("./commands/latent-sheets.ts"),
  },
  {
    name: "inspect",
    summary: "Say what an artefact is and verify its digests.",
    load: () => import("./commands/inspect.ts"),
  },
  {
    name: "doctor",
    summary: "Say what this machine offers and what is missing.",
    load: () => import("./commands/doctor.ts"),
  },
];

export interface MainIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called when a command starts; `notify` is for the sentence that follows a Ctrl-C. */
  readonly installInterrupts: (options: { notify: (line: string) => void }) => Interrupts;
}

/**
 * @param argv the words after `tessera`
 * @returns the exit code (README, "When something goes wrong"); nothing is thrown
 */
export async function main(argv: readonly string[], io: MainIo, commands = COMMANDS): Promise<number> {
  try {
    return await dispatch(argv, io, commands);
  } catch (error) {
    return printError(error, io);
  }
}

async function dispatch(argv: readonly string[], io: MainIo, commands: readonly CommandListing[]): Promise<number> {
  const [name, ...words] = argv;
  const columns = Math.min(100, io.stderr.columns ?? 100);
  if (name === undefined) {
    io.stderr.write(`${await overview(commands, columns)}\n`);
    return EXIT_CODES.usage;
  }
  if (name === "--version" || name === "-v") {
    io.stdout.write(`${ownVersion()}\n`);
    return 0;
  }
  if (name === "--help" || name === "-h") {
    io.stdout.write(`${await overview(commands, columns)}\n`);
    return 0;
  }
  const listing = commands.find((command) => command.name === name);
  if (listing === undefined) throw unknownCommand(name, commands);
  const { command } = await listing.load();
  const args = command.args.extend(commonOptions);
  if (asksForHelp(words)) {
    io.stdout.write(`${await commandHelp({ ...command, args }, columns)}\n`);
    return 0;
  }
  const options = await parseOptions({ meta: command.meta, args }, words);
  return runCommand(command, options, io);
}

/** Runs with progress and Ctrl-C in place, and writes the result: for people, or one line of JSON last. */
async function runCommand(
  command: Command,
  { json, quiet, ...options }: Readonly<Record<string, unknown>>,
  io: MainIo,
): Promise<number> {
  const { stdout, stderr } = io;
  const reporter = createReporter({
    stream: stderr,
    isTTY: stderr.isTTY === true,
    columns: () => stderr.columns,
    quiet: quiet === true,
  });
  const interrupts = io.installInterrupts({ notify: (line) => reporter.warn(line) });
  const forPeople = json === true ? stderr : stdout;
  try {
    const result = await command.run(options, {
      reporter,
      print: (line) => void forPeople.write(`${line}\n`),
      signal: interrupts.signal,
    });
    reporter.finish();
    if (result.text !== "") forPeople.write(`${result.text}\n`);
    if (json === true) stdout.write(`${JSON.stringify(result.json)}\n`);
    return interrupts.exitCode() ?? 0;
  } finally {
    reporter.finish();
    interrupts.dispose();
  }
}

async function overview(commands: readonly CommandListing[], columns: number): Promise<string> {
  const parser = plainYargs().wrap(columns).usage("tessera <command> [options]");
  for (const { name, summary } of commands) parser.command(name, summary);
  parser.option("help", {
    type: "boolean",
    alias: "h",
    describe: "Show this text, or a command's options after its name",
  });
  parser.option("version", { type: "boolean", alias: "v", describe: "Show the version" });
  return parser.getHelp();
}

function unknownCommand(name: string, commands: readonly CommandListing[]): TesseraError {
  const names = commands.map((command) => command.name);
  const near = closest(name, names);
  return usageError({
    what: name.startsWith("-")
      ? `unknown option ${name}; options stand after the command's name`
      : `unknown command ${JSON.stringify(name)}${near === undefined ? "" : ` (did you mean ${near}?)`}`,
    expected: `one of ${names.join(", ")}`,
    todo: "See `tessera --help`",
  });
}

/** One sentence for what was foreseen; for what was not, where to find the stack. */
function printError(error: unknown, { stderr, env }: MainIo): number {
  const expected = error instanceof TesseraError;
  const message = error instanceof Error ? error.message : String(error);
  stderr.write(`tessera: ${expected ? "" : "unexpected error: "}${message}\n`);
  const debug = env["TESSERA_DEBUG"];
  if (debug !== undefined && debug !== "" && debug !== "0") stderr.write(`${inspect(error)}\n`);
  else if (!expected) stderr.write("Set TESSERA_DEBUG=1 to see where it comes from.\n");
  return expected ? error.exitCode : EXIT_CODES.failure;
}
