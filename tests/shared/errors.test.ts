/** Errors as sentences with the exit codes that the command line promises. */
import { describe, expect, it } from "vitest";

import {
  badInput,
  EXIT_CODES,
  failure,
  invariant,
  mismatch,
  numericalError,
  TesseraError,
  usageError,
} from "../../shared/errors.ts";

describe("errors", () => {
  it.each([
    ["failure", failure, 1],
    ["usage", usageError, 2],
    ["bad-input", badInput, 3],
    ["mismatch", mismatch, 4],
    ["numerical", numericalError, 5],
  ] as const)("of code %s leave with their exit code", (code, create, exitCode) => {
    expect(create({ what: "it broke" })).toMatchObject({ name: "TesseraError", code, exitCode });
  });

  it("of a signal leave as a shell expects", () => {
    expect(new TesseraError("interrupted", { what: "stopped" }).exitCode).toBe(128 + 2);
    expect(new TesseraError("terminated", { what: "stopped" }).exitCode).toBe(128 + 15);
  });

  it("have exit codes of their own, none of them success", () => {
    const codes = Object.values(EXIT_CODES);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes).not.toContain(0);
  });

  it("are sentences: where, what, expected, got, what to do; and keep their cause", () => {
    const cause = new Error("deep");
    const sentence = { what: "is cut off", where: "a.tok", expected: "a footer", got: "nothing", todo: "Recover it" };
    const error = badInput({ ...sentence, cause });
    expect(error.message).toBe("a.tok: is cut off (expected a footer, got nothing). Recover it.");
    expect(error.cause).toBe(cause);
  });

  it.each([
    [{ what: "no" }, "no."],
    [{ what: "no", got: "x" }, "no (got x)."],
    [{ what: "no", expected: "y" }, "no (expected y)."],
    [{ what: "no", todo: "Why not?" }, "no. Why not?"],
  ])("say what there is to say: %j", (sentence, message) => {
    expect(usageError(sentence).message).toBe(message);
    expect("cause" in usageError(sentence)).toBe(false);
  });

  it("stay on one line and leave the terminal alone, whatever a file is called or holds", () => {
    const { message } = badInput({
      what: "a\nb is no image",
      where: "\u001b[2Jc\r.png",
      got: "\u009b1m \u007fé漢\u{1f600}",
    });
    expect(message).toBe("\\u001b[2Jc\\u000d.png: a\\u000ab is no image (got \\u009b1m \\u007fé漢\u{1f600}).");
  });

  it("tell bugs of ours apart", () => {
    expect(() => invariant(true, "one is one")).not.toThrow();
    expect(() => invariant(false, "two is three")).toThrow(/Internal invariant broken: two is three/);
    expect(() => invariant(false, "")).not.toThrow(TesseraError);
  });
});
