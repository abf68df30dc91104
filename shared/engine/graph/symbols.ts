/**
 * Sizes known only at run time. TensorFlow.js wants numbers for shapes, so a traced function sees each open size as a large prime;
 * tracing computes nothing, so a prime costs nothing, and afterwards every dimension tells by its divisors what it is made of.
 * An exported graph then has `N` or `P` where the prime was.
 */

/**
 * Primes near 10⁵: the product of three, times a head count, is still exact in a double. Further apart than twice the largest
 * offset that `expressSize` recognises, and further than that from 100,000, which is a size somebody may mean.
 */
const PRIMES = [100019, 100043, 100057, 100069] as const;
const LARGEST_OFFSET = 4;

/** Assigns a prime to each distinct name. */
export function assignSymbols(names: readonly string[]): ReadonlyMap<number, string> {
  const distinct = [...new Set(names)];
  if (distinct.length > PRIMES.length)
    throw new Error(`At most ${PRIMES.length} open sizes, got ${distinct.join(", ")}.`);
  return new Map(distinct.map((name, i) => [PRIMES[i] ?? 0, name]));
}

/** A sum of products of open sizes: each term has a whole-number factor and the primes multiplied with it. */
export type SizeExpression = readonly { readonly factor: number; readonly symbols: readonly number[] }[];

/** What `size` is made of, or undefined if it is an ordinary number. */
export function expressSize(size: number, symbols: ReadonlyMap<number, string>): SizeExpression | undefined {
  const product = asProduct(size, symbols);
  if (product !== undefined) return [product];
  for (const prime of symbols.keys()) {
    const rest = size - prime;
    const other = asProduct(rest, symbols);
    if (other !== undefined) return [{ factor: 1, symbols: [prime] }, other];
    if (Math.abs(rest) <= LARGEST_OFFSET)
      return [
        { factor: 1, symbols: [prime] },
        { factor: rest, symbols: [] },
      ];
  }
  return undefined;
}

function asProduct(size: number, symbols: ReadonlyMap<number, string>): SizeExpression[number] | undefined {
  if (size <= 0) return undefined;
  const found: number[] = [];
  let rest = size;
  for (const prime of symbols.keys()) {
    while (rest % prime === 0) {
      found.push(prime);
      rest /= prime;
    }
  }
  return found.length === 0 ? undefined : { factor: rest, symbols: found };
}

/** "N", "P + T", "8·N": for dim_param and messages. */
export function nameSize(expression: SizeExpression, symbols: ReadonlyMap<number, string>): string {
  return expression
    .map(({ factor, symbols: primes }) =>
      [...(factor === 1 && primes.length > 0 ? [] : [factor]), ...primes.map((p) => symbols.get(p) ?? p)].join("*"),
    )
    .join(" + ");
}
