/** Orders that are the same on every machine, whatever its locale. Knows no source. */

const INTEGER = /^-?\d+$/;

/** By code point, which is the order of UTF-8 bytes; `<` on strings compares UTF-16 units and differs beyond the BMP. */
export function sortByCodePoint<T>(values: Iterable<T>, text: (value: T) => string): T[] {
  return Array.from(values, (value) => ({ value, bytes: Buffer.from(text(value)) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ value }) => value);
}

/** Names of classes as their labels count them: 2 before 10 if every name is an integer, else by code point. */
export function orderClasses(names: ReadonlySet<string>): string[] {
  const sorted = sortByCodePoint(names, (name) => name);
  if (!sorted.every((name) => INTEGER.test(name))) return sorted;
  return sorted
    .map((name) => ({ name, value: BigInt(name) }))
    .sort((a, b) => (a.value < b.value ? -1 : Number(a.value > b.value)))
    .map(({ name }) => name);
}
