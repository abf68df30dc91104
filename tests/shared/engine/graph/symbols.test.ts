/** Open sizes, told apart by their divisors. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { assignSymbols, expressSize, nameSize, type SizeExpression } from "../../../../shared/engine/graph/symbols.ts";

const symbols = assignSymbols(["N", "P", "N", "T", "S"]);
const primes = [...symbols.keys()];
const [n = 0, p = 0, t = 0] = primes;

const name = (size: number): string | undefined => {
  const expression = expressSize(size, symbols);
  return expression && nameSize(expression, symbols);
};
const evaluate = (expression: SizeExpression | undefined): number | undefined =>
  expression?.reduce((sum, { factor, symbols: found }) => sum + found.reduce((product, q) => product * q, factor), 0);

describe("open sizes", () => {
  it("have one prime per name", () => {
    expect([...symbols.values()]).toEqual(["N", "P", "T", "S"]);
    for (const prime of primes) {
      for (let divisor = 2; divisor ** 2 <= prime; divisor++) expect(prime % divisor).not.toBe(0);
    }
    expect(() => assignSymbols(["a", "b", "c", "d", "e"])).toThrow(/At most 4 open sizes/);
  });

  it("are named in sums and products", () => {
    expect([n, p + t, n * 8, n * t * 32, p + 1, p - 1].map(name)).toEqual([
      "N",
      "P + T",
      "8*N",
      "32*N*T",
      "P + 1",
      "P + -1",
    ]);
  });

  it("are not seen in sizes that somebody may mean", () => {
    const ordinary = [0, 1, 3, 512, 1024, 16_384, 65_536, 100_000, 102_400, 131_072, 200_000, 524_288, 1_000_000, -5];
    expect(ordinary.map(name)).toEqual(ordinary.map(() => undefined));
  });

  it("are never taken for each other, whatever is added", () => {
    fc.assert(
      fc.property(fc.constantFrom(...primes), fc.integer({ min: -4, max: 4 }), (prime, offset) => {
        const expression = expressSize(prime + offset, symbols);
        expect(evaluate(expression)).toBe(prime + offset);
        expect(expression?.flatMap((term) => term.symbols)).toEqual([prime]);
      }),
    );
  });

  it("multiply exactly: three of them and a head count", () => {
    const factor = fc.integer({ min: 1, max: 8 });
    fc.assert(
      fc.property(fc.shuffledSubarray(primes, { minLength: 1, maxLength: 3 }), factor, (chosen, heads) => {
        const expression = expressSize(chosen.reduce((product, q) => product * q, heads), symbols); // prettier-ignore
        expect(expression).toHaveLength(1);
        expect(expression?.[0]?.factor).toBe(heads);
        expect(expression?.[0]?.symbols.toSorted()).toEqual(chosen.toSorted());
      }),
    );
  });
});
