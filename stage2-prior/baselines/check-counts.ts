/** Checks of counts that come out of a file: nothing it says is trusted. Knows no leaf. */
import { badInput } from "../../shared/errors.ts";
import type { Counts } from "./counting-prior.ts";

const TODO = "The file is damaged, or holds the counts of another prior.";

export interface Range {
  readonly least: number;
  readonly most: number;
}

/** The arrays called `names`. @throws bad-input if one is missing, or there are others */
export function arraysOf<Name extends string>(
  counts: Counts,
  names: readonly Name[],
  where: string,
): Readonly<Record<Name, Int32Array>> {
  const listed = (list: readonly string[]): string => [...list].sort().join(", ") || "none";
  const [expected, got] = [listed(names), listed(Object.keys(counts))];
  if (expected !== got)
    throw badInput({ what: "does not hold the arrays of such a prior", where, expected, got, todo: TODO });
  return counts;
}

/** @throws bad-input unless the array has `length` entries, each within `range` */
export function checkEntries(values: Int32Array, expected: Range & { length: number }, where: string): void {
  const { length, least, most } = expected;
  if (values.length !== length) {
    const [wanted, got] = [String(length), String(values.length)];
    throw badInput({ what: "has another number of entries", where, expected: wanted, got, todo: TODO });
  }
  const wrong = values.findIndex((value) => value < least || value > most);
  if (wrong < 0) return;
  const got = String(values[wrong]);
  throw badInput({ what: `entry ${wrong} is out of range`, where, expected: `${least} … ${most}`, got, todo: TODO });
}

/** @throws bad-input unless each key is above the one before it */
export function checkAscending(keys: Float64Array, where: string): void {
  const wrong = keys.findIndex((key, i) => i > 0 && key <= (keys[i - 1] ?? NaN));
  if (wrong < 0) return;
  throw badInput({
    what: `entry ${wrong} does not follow the one before it`,
    where,
    expected: "distinct entries in ascending order",
    todo: TODO,
  });
}
