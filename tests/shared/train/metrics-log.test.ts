/** The file of a run's figures: what it holds, what a resumed run keeps of it, and a disk that refuses. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { openMetricsLog } from "../../../shared/train/metrics-log.ts";
import { useTemporaryDirectory } from "../temporary-directory.ts";

const temporary = useTemporaryDirectory();
const newPath = (): string => join(temporary("run"), "deep", "metrics.jsonl");
const read = (path: string): string => readFileSync(path, "utf8");
const errorOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

/** Lines after 5 and 10 steps, and what was measured after 10 and 12. */
function written(path: string): string[] {
  const log = openMetricsLog(path, 0);
  log.step(5, { loss: 0.5, perplexity: 3 });
  log.step(10, { loss: 0.25 });
  log.heldOut(10, { nmse: 0.125 });
  log.heldOut(12, { nmse: 0.5 });
  return read(path).split("\n").slice(0, -1);
}

describe("the log", () => {
  test("is one line of JSON a call, step first, in folders it makes", () => {
    expect(written(newPath())).toEqual([
      '{"step":5,"loss":0.5,"perplexity":3}',
      '{"step":10,"loss":0.25}',
      '{"step":10,"heldOut":{"nmse":0.125}}',
      '{"step":12,"heldOut":{"nmse":0.5}}',
    ]);
  });

  test("leaves out what JSON has no number for", () => {
    const path = newPath();
    const log = openMetricsLog(path, 0);
    log.heldOut(1, { psnr: Infinity, nmse: 0, mse: NaN });
    log.step(2, { loss: -Infinity });
    expect(read(path)).toBe('{"step":1,"heldOut":{"nmse":0}}\n{"step":2}\n');
  });

  test("begins anew for a fresh run", () => {
    const path = newPath();
    written(path);
    openMetricsLog(path, 0).step(1, { loss: 9 });
    expect(read(path)).toBe('{"step":1,"loss":9}\n');
  });

  test.each([
    [4, 0],
    [5, 1],
    [9, 1],
    [10, 2], // what was measured after 10 steps is measured again
    [11, 3],
    [12, 3],
    [13, 4],
  ])("goes on after %d steps with the first %d lines", (firstStep, kept) => {
    const path = newPath();
    const lines = written(path);
    openMetricsLog(path, firstStep).step(99, { loss: 1 });
    expect(read(path)).toBe([...lines.slice(0, kept), '{"step":99,"loss":1}', ""].join("\n"));
  });

  test("cut anywhere, keeps the whole lines and goes on with a new one", () => {
    const path = newPath();
    const lines = written(path);
    const whole = read(path);
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.slice(0, length));
      openMetricsLog(path, 50).step(60, { loss: 1 });
      const complete = whole.slice(0, length).split("\n").length - 1;
      expect(read(path), `cut at ${length}`).toBe([...lines.slice(0, complete), '{"step":60,"loss":1}', ""].join("\n"));
    }
  });

  test("cuts by bytes, whatever the names are written in", () => {
    const path = newPath();
    openMetricsLog(path, 0).step(1, { "Verlust über alles 損失": 1 });
    appendFileSync(path, '{"step":9,"lo');
    openMetricsLog(path, 5);
    expect(read(path)).toBe('{"step":1,"Verlust über alles 損失":1}\n');
  });

  test("trusts nothing behind a line that is none of its own", () => {
    const path = newPath();
    const lines = written(path);
    for (const odd of ["null", '{"loss":1}', '{"step":"5"}', "", "[]"]) {
      writeFileSync(path, [lines[0], odd, lines[1], ""].join("\n"));
      openMetricsLog(path, 50);
      expect(read(path), odd).toBe(`${lines[0]}\n`);
    }
  });

  test("starts where a resumed run has none", () => {
    const path = newPath();
    openMetricsLog(path, 7).step(8, { loss: 1 });
    expect(read(path)).toBe('{"step":8,"loss":1}\n');
  });
});

describe("a disk that refuses is a failure (1) that names the file", () => {
  test("when the file is a folder", () => {
    const path = newPath();
    mkdirSync(path, { recursive: true });
    for (const firstStep of [0, 3])
      expect(errorOf(() => openMetricsLog(path, firstStep))).toMatchObject({
        exitCode: 1,
        message: expect.stringContaining(path) as string,
      });
  });

  test("when the folder went away during the run", () => {
    const path = newPath();
    const log = openMetricsLog(path, 0);
    rmSync(dirname(path), { recursive: true });
    for (const work of [() => log.step(1, {}), () => log.heldOut(1, {})])
      expect(errorOf(work)).toMatchObject({ exitCode: 1, message: expect.stringContaining("ENOENT") as string });
  });

  test("when the folder is a file", () => {
    const path = newPath();
    mkdirSync(dirname(dirname(path)), { recursive: true });
    writeFileSync(dirname(path), "a file");
    expect(errorOf(() => openMetricsLog(path, 0))).toMatchObject({ exitCode: 1 });
  });

  test.runIf(existsSync("/dev/full"))("when the disk is full", () => {
    const log = openMetricsLog("/dev/full", 0);
    expect(errorOf(() => log.step(1, { loss: 1 }))).toMatchObject({
      exitCode: 1,
      message: expect.stringContaining("the disk is full") as string,
    });
  });
});
