/**
 * Labels of rows as Parquet has them, and the classes they stand for. Knows no file.
 */
import { badInput } from "../../../shared/errors.ts";
import type { LabelColumn } from "./parquet-file.ts";
import type { CompactClasses } from "./numbered-rows.ts";

/** What a row says about its class: a number, or a name. */
export type Label = number | string;

export interface LabelClasses extends Omit<CompactClasses, "labelOf"> {
  readonly labelOf: ReadonlyMap<Label, number>;
}

/**
 * A decoded value as a label; undefined if the row has none: null, −1 (so unlabelled test data are published), empty text.
 * @throws bad-input if it is out of range.
 */
export function toLabel(value: unknown, { kind, names }: LabelColumn, where: string): Label | undefined {
  if (value === null || value === "") return undefined;
  if (kind === "string" && typeof value === "string") return value;
  const label = typeof value === "bigint" ? Number(value) : value;
  if (kind === "integer" && label === -1) return undefined;
  const end = names.length > 0 ? names.length : Number.MAX_SAFE_INTEGER;
  if (kind === "integer" && typeof label === "number" && Number.isInteger(label) && label >= 0 && label < end) {
    return label;
  }
  throw badInput({
    what: "label is out of range",
    where,
    expected: kind === "string" ? "text" : names.length > 0 ? `−1 … ${end - 1}` : "a whole number from −1",
    got: typeof label === "number" ? String(label) : "none that can be found",
  });
}

/** The labels that occur, numbers in their order, names by code point. @param names of the numbers; empty if they have none */
export function classesOf(used: ReadonlySet<Label>, names: readonly string[]): LabelClasses {
  const sorted = [...used].sort((a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : byCodePoint(String(a), String(b)),
  );
  const nameOf = namer(names);
  return { classes: sorted.map(nameOf), labelOf: new Map(sorted.map((label, index) => [label, index])) };
}

/** Some data sets have two classes of one name ("crane", the bird and the machine): then every name gets its number. */
function namer(names: readonly string[]): (label: Label) => string {
  const clear = new Set(names).size === names.length && !names.includes("");
  return (label) => {
    const name = typeof label === "number" ? names[label] : undefined;
    if (name === undefined) return String(label);
    return clear ? name : `${name} (${label})`;
  };
}

/** The order of UTF-8 bytes; `<` on strings compares UTF-16 units. */
export const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
