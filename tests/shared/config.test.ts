/** Every problem is named, nothing unknown gets through. */
import fc from "fast-check";
import { describe as group, expect, test } from "vitest";
import { z } from "zod";
import { closest, describe, parseConfig } from "../../shared/config.ts";
import { TesseraError } from "../../shared/errors.ts";

const schema = z.strictObject({
  batchSize: z.int().min(1).default(16),
  rate: z.number().positive(),
  method: z.enum(["ema", "gradient"]).default("ema"),
  grid: z.tuple([z.int(), z.int()]).optional(),
  name: z.string().min(2).optional(),
  nested: z.strictObject({ beta: z.number().lt(1) }).optional(),
});

const errorOf = (value: unknown, where: Parameters<typeof parseConfig>[2] = "config.json"): TesseraError => {
  try {
    parseConfig(schema, value, where);
  } catch (error) {
    if (error instanceof TesseraError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
};

group("parseConfig", () => {
  test("fills in defaults and types the result", () => {
    const config: { batchSize: number; rate: number } = parseConfig(schema, { rate: 0.1 }, "config.json");
    expect(config).toEqual({ batchSize: 16, rate: 0.1, method: "ema" });
  });

  test("lists every problem in one sentence, with place, key, expected and got", () => {
    const { message, exitCode } = errorOf({ batchSize: 0, rate: "abc", method: "kmeans", bathcSize: 3 });
    expect(exitCode).toBe(3);
    expect(message).toContain("config.json: 4 problems");
    expect(message).toContain("batchSize: expected a number ≥ 1, got 0");
    expect(message).toContain('rate: expected a finite number, got "abc"');
    expect(message).toContain('method: expected ema or gradient, got "kmeans"');
    expect(message).toContain("unknown key bathcSize (did you mean batchSize?)");
  });

  test.each([NaN, Infinity, -Infinity])("refuses %s as a number", (rate) => {
    expect(errorOf({ rate }).message).toContain(`rate: expected a finite number, got ${rate}`);
  });

  test.each([
    [{ rate: 1, batchSize: 1.5 }, "batchSize: expected a whole number, got 1.5"],
    [{ rate: 0 }, "rate: expected a number > 0, got 0"],
    [{}, "rate: missing, expected a finite number"],
    [{ rate: 1, grid: [1] }, "grid"],
    [{ rate: 1, name: "x" }, "name: expected text of ≥ 2 characters"],
    [{ rate: 1, nested: { beta: 1 } }, "nested.beta: expected a number < 1, got 1"],
    [{ rate: 1, nested: { beta: 0, gamma: 0 } }, "unknown key nested.gamma"],
    ["text", 'expected an object, got "text"'],
    [null, "expected an object, got null"],
  ])("%j: %s", (value, part) => {
    expect(errorOf(value).message).toContain(part);
  });

  test("a usage place gives exit 2", () => {
    expect(errorOf({}, { where: "--preset", code: "usage" }).exitCode).toBe(2);
  });

  test("never anything but a TesseraError, whatever the value", () => {
    fc.assert(fc.property(fc.anything(), (value) => void errorOf({ rate: 0, extra: value })));
  });
});

group("words for people", () => {
  test("describe is short", () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (list) => list.length <= 4 || describe(list) === `a list of ${list.length}`),
    );
    expect(describe("x".repeat(500)).length).toBeLessThan(70);
    expect([describe(null), describe([1, "a"]), describe({ a: 1 })]).toEqual([
      "null",
      '[1, "a"]',
      "an object with keys a",
    ]);
  });

  test("closest finds one slip and refuses another word", () => {
    const words = ["tokenize", "train-tokenizer", "doctor"];
    expect(["tokenise", "train-tokeniser", "doctro"].map((word) => closest(word, words))).toEqual(words);
    expect(closest("generate", words)).toBeUndefined();
    expect(closest("x", [])).toBeUndefined();
  });
});
