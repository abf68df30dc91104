/** The first signal aborts, the second exits, an echo counts once. */
import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { TesseraError } from "../../../shared/errors.ts";
import { installInterrupts } from "../../../shared/train/interrupts.ts";

function install() {
  const source = new EventEmitter();
  const clock = { ms: 0 };
  const exits: number[] = [];
  const lines: string[] = [];
  const interrupts = installInterrupts({
    source,
    exit: (code) => exits.push(code),
    notify: (line) => lines.push(line),
    now: () => clock.ms,
  });
  return { source, clock, exits, lines, interrupts };
}

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("the first %s aborts with exit code %i and says so once", (name, code) => {
  const { source, exits, lines, interrupts } = install();
  expect([interrupts.signal.aborted, interrupts.exitCode()]).toEqual([false, undefined]);
  source.emit(name);
  expect([interrupts.signal.aborted, interrupts.exitCode(), exits, lines.length]).toEqual([true, code, [], 1]);
  const reason: unknown = interrupts.signal.reason;
  expect(reason instanceof TesseraError && reason.exitCode).toBe(code);
});

test("the second exits at once with its own code; the first keeps its", () => {
  const { source, clock, exits, interrupts } = install();
  source.emit("SIGINT");
  clock.ms = 1000;
  source.emit("SIGTERM");
  expect([exits, interrupts.exitCode()]).toEqual([[143], 130]);
});

test("a repetition within a tenth of a second is the same keypress", () => {
  const { source, clock, exits } = install();
  source.emit("SIGINT");
  clock.ms = 99;
  source.emit("SIGINT");
  expect(exits).toEqual([]);
  clock.ms = 100;
  source.emit("SIGINT");
  expect(exits).toEqual([130]);
});

test("dispose removes every listener", () => {
  const { source, interrupts } = install();
  interrupts.dispose();
  expect(source.listenerCount("SIGINT") + source.listenerCount("SIGTERM")).toBe(0);
});
