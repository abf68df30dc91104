/** What crosses between the stages, checked at the door. */
import { describe, expect, it } from "vitest";

import { checkFingerprint, checkTokens, UNKNOWN } from "../../shared/tokens.ts";

const grid = (...tokens: number[]) => ({ tokens: Int32Array.from(tokens), shape: [1, 2, 2] as const });

describe("checkTokens", () => {
  it("lets ids of the codebook pass, and UNKNOWN only where it is allowed", () => {
    expect(() => checkTokens(grid(0, 1, 2, 3), 4, { where: "x" })).not.toThrow();
    expect(() => checkTokens(grid(0, UNKNOWN, 2, 3), 4, { where: "x", allowUnknown: true })).not.toThrow();
    expect(() => checkTokens(grid(0, UNKNOWN, 2, 3), 4, { where: "x" })).toThrow(/token 1 .*got -1/);
  });

  it.each([4, 5, -2, 2 ** 30])("refuses id %d with its position instead of clamping it", (wrong) => {
    const tokens = grid(0, 1, wrong, 3);
    expect(() => checkTokens(tokens, 4, { where: "here", allowUnknown: true })).toThrow(
      `here: token 2 is not an id of the codebook (expected 0 … 3, got ${wrong})`,
    );
    expect(tokens.tokens[2]).toBe(wrong);
  });

  it("refuses an array that does not fill its shape", () => {
    expect(() => checkTokens({ tokens: new Int32Array(3), shape: [1, 2, 2] }, 4, { where: "x" })).toThrow(
      /1×2×2 = 4 tokens, got 3/,
    );
  });
});

describe("checkFingerprint", () => {
  it("prints both", () => {
    expect(() => checkFingerprint("a", "a", "x")).not.toThrow();
    expect(() => checkFingerprint("aaa", "bbb", "prior p")).toThrow(/prior p: .*aaa.*bbb/);
  });
});
