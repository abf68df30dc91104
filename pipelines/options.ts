/**
 * Options of a command as data: a zod field with a description. yargs splits the words and lays out the help; zod alone decides what a
 * value is, because yargs lets `--batch-size abc` through as NaN. Knows no command.
 */
import yargs from "yargs";
import type { Argv, Options } from "yargs";
import { z } from "zod";
import { closest, describeProblems } from "../shared/config.ts";
import { usageError } from "../shared/errors.ts";
import type { Command, CommandMeta } from "./command.ts";

export interface OptionMeta {
  readonly describe: string;
  /** One letter. */
  readonly alias?: string;
}

const registry = z.registry<OptionMeta>();

/** Attaches the text that help shows. Wrap the finished schema: `option(z.int().min(1).default(4), { describe: "…" })`. */
export function option<Schema extends z.ZodType>(schema: Schema, meta: OptionMeta): Schema {
  // A fresh instance, so that one schema can serve two options.
  const own = schema.clone();
  registry.add(own, meta);
  return own;
}

/** Every run draws from one seed; equal seeds give equal results. */
export const seedOption = {
  seed: option(z.int().min(0).default(0), { describe: "Seed of every random draw", alias: "s" }),
};

/** Added to every command by `main`. */
export const commonOptions = {
  json: option(z.boolean().default(false), { describe: "End with one line of JSON on standard output" }),
  quiet: option(z.boolean().default(false), { describe: "No progress, warnings only", alias: "q" }),
};

type Kind = "boolean" | "number" | "text" | "list";

interface OptionDescription extends OptionMeta {
  readonly key: string;
  /** Kebab-case, without dashes. */
  readonly flag: string;
  readonly kind: Kind;
  readonly choices: readonly string[] | undefined;
  /** Undefined where there is none. */
  readonly default: unknown;
  readonly required: boolean;
}

/** The fields of a command's schema as help and parser need them. */
function describeOptions(args: z.ZodObject): OptionDescription[] {
  return Object.entries<z.core.$ZodType>(args.shape).map(([key, schema]) => {
    const meta = registry.get(schema);
    if (meta === undefined) throw new Error(`Option "${key}" has no description: wrap its schema in option(…).`);
    const inner = unwrap(schema);
    const absent = z.safeParse(schema, undefined);
    return {
      ...meta,
      key,
      flag: key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
      kind: kindOf(inner),
      choices: inner instanceof z.ZodEnum ? inner.options.map(String) : undefined,
      default: absent.success ? absent.data : undefined,
      required: !absent.success,
    };
  });
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) return unwrap(schema.unwrap());
  return schema instanceof z.ZodPipe ? unwrap(schema.in) : schema;
}

function kindOf(schema: z.core.$ZodType): Kind {
  if (schema instanceof z.ZodBoolean) return "boolean";
  if (schema instanceof z.ZodNumber) return "number";
  return schema instanceof z.ZodArray ? "list" : "text";
}

/** yargs as a splitter of words and a typesetter of help: it may neither exit, nor print, nor convert. */
export function plainYargs(): Argv {
  return yargs([])
    .scriptName("tessera")
    .locale("en")
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail(false)
    .parserConfiguration({
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "strip-aliased": true,
    });
}

/** The text of `tessera <command> --help`. */
export async function commandHelp({ meta, args }: Command, columns: number): Promise<string> {
  const bare = meta.positional === undefined ? "" : ` [${meta.positional}]`;
  const parser = plainYargs().wrap(columns).usage(`tessera ${meta.name}${bare} [options]\n\n${meta.summary}`);
  for (const { flag, kind, alias, describe, choices, required, default: fallback } of describeOptions(args)) {
    const settings: Options = { type: kind === "text" ? "string" : kind === "list" ? "array" : kind, describe };
    if (alias !== undefined) settings.alias = alias;
    if (choices !== undefined) settings.choices = choices;
    if (required) settings.demandOption = true;
    if (fallback !== undefined && kind !== "boolean") settings.default = fallback;
    parser.option(flag, settings);
  }
  parser.option("help", { type: "boolean", alias: "h", describe: "Show this text" });
  for (const [line, what] of meta.examples) parser.example(line, what);
  return parser.getHelp();
}

/** Whether help is asked for among a command's words (before any `--`). */
export function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).some((word) => word === "--help" || word === "-h");
}

/**
 * The options in `words`, checked by the command's schema, defaults filled in.
 * @throws usage (exit 2) naming every option that is unknown, missing or of the wrong kind
 */
export async function parseOptions<Args extends z.ZodObject>(
  { meta, args }: { meta: CommandMeta; args: Args },
  words: readonly string[],
): Promise<z.output<Args>> {
  const descriptions = describeOptions(args);
  const raw = await splitWords(descriptions, words);
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  const [bare, ...surplus] = raw._;
  if (bare !== undefined && meta.positional !== undefined) values[meta.positional] = bare;
  for (const word of meta.positional === undefined ? raw._ : surplus)
    problems.push(`unexpected argument ${JSON.stringify(word)}`);
  for (const [flag, given] of Object.entries(raw.flags)) {
    const description = descriptions.find((candidate) => candidate.flag === flag);
    if (description === undefined) problems.push(unknownOption(flag, descriptions));
    else values[description.key] = convert(given, description.kind);
  }
  const parsed = args.safeParse(values);
  if (!parsed.success) {
    const flagOf = (key: unknown): string =>
      `--${descriptions.find((known) => known.key === key)?.flag ?? String(key)}`;
    const nameOf = ([key, ...inner]: readonly PropertyKey[]): string =>
      key === undefined ? "" : [flagOf(key), ...inner.map(String)].join(" ");
    problems.push(...describeProblems(parsed.error, values, { nameOf }));
  }
  if (parsed.success && problems.length === 0) return parsed.data;
  throw usageError({
    where: meta.name,
    what: problems.join("; "),
    todo: `See \`tessera ${meta.name} --help\``,
  });
}

function unknownOption(flag: string, descriptions: readonly OptionDescription[]): string {
  const near = closest(
    flag,
    descriptions.map((known) => known.flag),
  );
  return `unknown option ${flag.length === 1 ? "-" : "--"}${flag}${near === undefined ? "" : ` (did you mean --${near}?)`}`;
}

/** Flags and bare words as written: text, or true and false for switches; a list where one was given more than once. */
async function splitWords(
  descriptions: readonly OptionDescription[],
  words: readonly string[],
): Promise<{ _: string[]; flags: Record<string, unknown> }> {
  const parser = plainYargs();
  for (const { flag, kind, alias } of descriptions) {
    // A switch written as `--json=yes` must not become false silently: read as text, it fails in zod.
    const isSwitch = kind === "boolean" && !words.some((word) => word.startsWith(`--${flag}=`));
    parser.option(flag, { type: isSwitch ? "boolean" : "string", ...(alias !== undefined && { alias }) });
  }
  const { _: bare, ...parsed } = await parser.parseAsync([...words]);
  const flags = Object.fromEntries(Object.entries(parsed).filter(([flag]) => flag !== "$0"));
  return { _: bare.map(String), flags };
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Text to number or switch where it is written like one; anything else stays text, for zod to refuse by name. */
function convert(given: unknown, kind: Kind): unknown {
  if (kind === "list") return Array.isArray(given) ? given : [given];
  if (kind === "number" && typeof given === "string" && NUMBER.test(given)) return Number(given);
  if (kind === "boolean" && (given === "true" || given === "false")) return given === "true";
  if (kind === "boolean" && Array.isArray(given)) return given.at(-1);
  return given;
}
