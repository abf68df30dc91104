/**
 * Strict configuration: a value is checked against a zod schema, and every problem becomes a clause that names the key, what was
 * expected and what was there. Knows no particular configuration and no command line.
 */
import { z } from "zod";
import { TesseraError } from "./errors.ts";
import type { ErrorCode } from "./errors.ts";

export interface ConfigPlace {
  /** File or argument the value came from. */
  readonly where: string;
  /** What a problem means: damaged or foreign data (`bad-input`, exit 3, the default) or a wrong request (`usage`, exit 2). */
  readonly code?: Extract<ErrorCode, "usage" | "bad-input">;
}

/**
 * The value as `schema` reads it, defaults filled in. Use `z.strictObject` in schemas, so that a misspelt key fails.
 * @param where a place, or the name of one
 * @throws bad-input (or `usage`) listing every problem; numbers that are NaN or infinite are problems
 */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string | ConfigPlace,
): z.output<Schema> {
  const place = typeof where === "string" ? { where } : where;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = describeProblems(parsed.error, value, { known: knownKeys(schema) });
  throw new TesseraError(place.code ?? "bad-input", {
    where: place.where,
    what: problems.length === 1 ? problems.join("") : `${problems.length} problems: ${problems.join("; ")}`,
  });
}

export interface ProblemNames {
  /** How a key is called in the sentence; `batchSize` may be `--batch-size` to the reader. */
  readonly nameOf?: (path: readonly PropertyKey[]) => string;
  /** Keys that exist, for "did you mean". */
  readonly known?: readonly string[];
}

/** One clause per problem: "batchSize: expected a number ≥ 1, got 0". */
export function describeProblems(error: z.ZodError, value: unknown, names: ProblemNames = {}): string[] {
  const nameOf = names.nameOf ?? ((path) => path.map(String).join("."));
  return error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => {
        const near = closest(key, names.known ?? []);
        const hint = near === undefined || issue.path.length > 0 ? "" : ` (did you mean ${nameOf([near])}?)`;
        return `unknown key ${nameOf([...issue.path, key])}${hint}`;
      });
    }
    const name = nameOf(issue.path);
    const prefix = name === "" ? "" : `${name}: `;
    const got = valueAt(value, issue.path);
    const expected = expectation(issue);
    if (expected === undefined) return [`${prefix}${issue.message}`];
    return [
      got === undefined
        ? `${prefix}missing, expected ${expected}`
        : `${prefix}expected ${expected}, got ${describe(got)}`,
    ];
  });
}

/** A value in a few words, for the "got" of an error. */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value))
    return value.length <= 4 ? `[${value.map(describe).join(", ")}]` : `a list of ${value.length}`;
  if (typeof value === "object" && value !== null)
    return `an object with keys ${Object.keys(value).join(", ") || "none"}`;
  return String(value);
}

/** The candidate a misspelt word was probably meant to be: at most a third of its letters away. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  const ranked = candidates.map((candidate) => ({ candidate, distance: editDistance(word, candidate) }));
  return ranked.filter(({ distance }) => distance <= limit).sort((a, b) => a.distance - b.distance)[0]?.candidate;
}

/** Levenshtein distance, two rows at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  number: "a finite number",
  int: "a whole number",
  string: "text",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
};

function expectation(issue: z.core.$ZodIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return TYPE_NAMES[issue.expected] ?? issue.expected;
    case "invalid_value":
      return issue.values.map(String).join(" or ");
    case "too_small":
      return bound(issue.origin, issue.inclusive === false ? ">" : "≥", issue.minimum);
    case "too_big":
      return bound(issue.origin, issue.inclusive === false ? "<" : "≤", issue.maximum);
    case "not_multiple_of":
      return `a multiple of ${issue.divisor}`;
    default:
      return undefined;
  }
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  if (origin === "string") return `text of ${relation} ${limit} characters`;
  if (origin === "array" || origin === "set") return `a list of ${relation} ${limit} entries`;
  return `${origin === "int" ? "a whole number" : "a number"} ${relation} ${limit}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}

const knownKeys = (schema: z.ZodType): string[] => (schema instanceof z.ZodObject ? Object.keys(schema.shape) : []);
