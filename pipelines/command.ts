/**
 * What a command of the command line is: plain data and one function. Knows neither yargs nor any command.
 *
 * To add one, write `commands/<name>.ts` that exports `command = defineCommand({ … })`, and list it in `COMMANDS` of `main.ts`:
 *
 *     { name: "inspect", summary: "Say what an artifact is.", load: () => import("./commands/inspect.ts") },
 *
 * The import is lazy so that `tessera --help` loads neither a command nor a runtime; a command module may therefore import at its top
 * whatever it needs. `--json`, `--quiet` and `--help` come with every command.
 */
import type { z } from "zod";
import type { Reporter } from "../shared/train/reporter.ts";

export interface CommandMeta {
  readonly name: string;
  /** One or two sentences, the head of its help. */
  readonly summary: string;
  /** [command line, what it does], at least one. */
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** The option that a bare argument fills: `tessera inspect <path>`. */
  readonly positional?: string;
}

export interface CommandContext {
  /** Progress, notes and warnings, on standard error. */
  readonly reporter: Reporter;
  /** A line of the result while it comes in: standard output, or standard error under `--json`. */
  readonly print: (line: string) => void;
  /** Aborted by the first Ctrl-C; `signal.reason` is the error that gives exit code 130 or 143. */
  readonly signal: AbortSignal;
}

export interface CommandResult {
  /** The one line that `--json` writes last to standard output. Non-finite numbers become null there. */
  readonly json: Readonly<Record<string, unknown>>;
  /** The same for people; written to standard output, or to standard error under `--json`. */
  readonly text: string;
}

export interface Command<Args extends z.ZodObject = z.ZodObject> {
  readonly meta: CommandMeta;
  /** `z.strictObject` of fields made by `option(…)` (options.ts); camelCase keys, `batchSize` is `--batch-size`. */
  readonly args: Args;
  /** @throws TesseraError for what the user can mend; anything else is reported as a bug */
  run(options: z.output<Args>, context: CommandContext): Promise<CommandResult>;
}

/** Types `run`'s options from `args`. */
export function defineCommand<Args extends z.ZodObject>(command: Command<Args>): Command<Args> {
  return command;
}

/** A line of `tessera --help` and the way to the rest. */
export interface CommandListing {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** Rows as aligned columns, two spaces apart. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
