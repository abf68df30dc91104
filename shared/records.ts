/** Flat records of named things: `<group>/<name>` keys, and the size of a shape. Knows no tensor. */

/** The entries of `<name>/…`, without the prefix: `group(state, "weight")`. */
export function group<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return stripPrefix(record, `${name}/`);
}

/** The inverse of `group`: every key becomes `<name>/<key>`. */
export function prefix<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [`${name}/${key}`, value]));
}

/** The entries whose key begins with `start`, without it. */
export function stripPrefix<T>(record: Readonly<Record<string, T>>, start: string): Record<string, T> {
  const entries: [string, T][] = [];
  for (const [key, value] of Object.entries(record))
    if (key.startsWith(start)) entries.push([key.slice(start.length), value]);
  return Object.fromEntries(entries);
}

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((size, dim) => size * dim, 1);

/** The entries that are finite numbers: JSON has no others. */
export function finiteEntries(record: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
  );
}
