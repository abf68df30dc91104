/**
 * What sources of numbered rows share: keys made of row numbers, and labels without gaps. Knows no file format.
 */

/** 42 → "00042"; longer numbers are longer. */
export const rowKey = (row: number): string => String(row).padStart(5, "0");

export interface CompactClasses {
  readonly classes: readonly string[];
  /** Label as stored → index into `classes`. */
  readonly labelOf: ReadonlyMap<number, number>;
}

/** The labels that occur, in ascending order, so that every class has an image; `names` are those of 0, 1, …, else the number. */
export function compactClasses(stored: Iterable<number>, names: readonly string[] = []): CompactClasses {
  const used = [...new Set(stored)].sort((a, b) => a - b);
  return {
    classes: used.map((label) => names[label] ?? String(label)),
    labelOf: new Map(used.map((label, index) => [label, index])),
  };
}
