/** What reaches the stream, and when, under a clock that only the test moves. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createReporter, formatDuration } from "../../../shared/train/reporter.ts";
import type { ReporterOptions } from "../../../shared/train/reporter.ts";

function create(overrides: Partial<ReporterOptions> = {}) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const stream = { write: (text: string) => written.push(text) };
  const reporter = createReporter({ stream, now: () => clock.ms, ...overrides });
  return { reporter, written, clock };
}

/** `count` steps of `ms` each. */
function advance({ reporter, clock }: ReturnType<typeof create>, from: number, count: number, ms: number): void {
  for (let done = from + 1; done <= from + count; done++) {
    clock.ms += ms;
    reporter.progress(done, { loss: 0.25, psnr: 21.5 });
  }
}

describe("off a terminal", () => {
  test("writes at most one whole line in ten seconds, and one at the end", () => {
    const it = create();
    it.reporter.start("tokenizer", 100);
    advance(it, 0, 100, 500);
    it.reporter.finish();
    expect(it.written).toHaveLength(5);
    for (const line of it.written) expect(line).toMatch(/^tokenizer .*\n$/);
    expect(it.written.join("")).not.toContain("\u001b");
    expect(it.written.at(-1)).toContain("100/100");
    expect(it.written.at(-1)).toContain("done in 50s");
  });

  test("a short task gets its one last line", () => {
    const it = create();
    it.reporter.start("prior", 3);
    advance(it, 0, 3, 10);
    it.reporter.finish();
    expect(it.written).toHaveLength(1);
  });

  test("shows units, time left, loss first, then the other metrics", () => {
    const it = create();
    it.reporter.start("tokenizer", 1000, { unitsPerStep: { count: 16, unit: "images" } });
    advance(it, 0, 20, 500);
    // 2 steps/s of 16 images; 980 steps left at 2 steps/s.
    for (const part of ["2 %", "20/1000", "32 images/s", "8m10s left", "loss 0.25 · psnr 21.5"])
      expect(it.written[0]).toContain(part);
  });

  test("steps of an earlier run do not count towards the rate", () => {
    const it = create();
    it.reporter.start("prior", 1000, { first: 900 });
    advance(it, 900, 10, 1000);
    expect(it.written[0]).toContain("1 steps/s");
  });
});

describe("on a terminal", () => {
  test("rewrites one line, no wider than the window, ten times a second at most", () => {
    const it = create({ isTTY: true, columns: () => 40 });
    it.reporter.start("tokenizer", 1000);
    advance(it, 0, 100, 10);
    expect(it.written).toHaveLength(1 + 10);
    for (const text of it.written) {
      expect(text.startsWith("\r\u001b[2K")).toBe(true);
      expect(text).not.toContain("\n");
      expect(text.length - "\r\u001b[2K".length).toBeLessThan(40);
    }
    it.reporter.finish();
    expect(it.written.at(-1)?.endsWith("\n")).toBe(true);
  });

  test("a note takes the line's place and the line comes back", () => {
    const it = create({ isTTY: true });
    it.reporter.start("prior", 10);
    it.written.length = 0;
    it.reporter.note("look");
    expect(it.written[0]).toBe("\r\u001b[2Klook\n");
    expect(it.written[1]).toContain("prior");
  });
});

describe("always", () => {
  test("quiet writes warnings and nothing else", () => {
    for (const isTTY of [true, false]) {
      const it = create({ quiet: true, isTTY });
      it.reporter.start("prior", 5);
      advance(it, 0, 5, 20_000);
      it.reporter.note("look");
      it.reporter.warn("a.png cannot be decoded");
      it.reporter.finish();
      expect(it.written).toEqual(["warning: a.png cannot be decoded\n"]);
    }
  });

  test("finish twice, or progress between tasks, writes nothing more", () => {
    const it = create();
    it.reporter.start("prior", 1);
    it.reporter.finish();
    const { length } = it.written;
    it.reporter.finish();
    it.reporter.progress(1);
    expect(it.written).toHaveLength(length);
  });

  test("the rate of a steady run is exact from the first step on, whatever its pace", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 60 }), (steps, seconds) => {
        const it = create();
        it.reporter.start("prior", 1000);
        advance(it, 0, steps, seconds * 1000);
        it.reporter.finish();
        expect(it.written.at(-1)).toContain(` ${Number((1 / seconds).toPrecision(4))} steps/s`);
      }),
    );
  });

  test("the rate follows a machine that slows down", () => {
    const it = create();
    it.reporter.start("prior", 1000);
    advance(it, 0, 100, 100);
    advance(it, 100, 60, 1000);
    it.reporter.finish();
    const rate = Number(/([\d.]+) steps\/s/.exec(it.written.at(-1) ?? "")?.[1]);
    expect(rate).toBeGreaterThan(1);
    expect(rate).toBeLessThan(1.3);
  });

  test("durations", () => {
    expect([0, 59.4, 59.6, 185, 3600, 7630].map(formatDuration)).toEqual([
      "0s",
      "59s",
      "1m00s",
      "3m05s",
      "1h00m",
      "2h07m",
    ]);
  });
});
