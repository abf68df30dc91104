/** The doctor beside a run: when it speaks, and which figures it remembers. */
import { describe, expect, test } from "vitest";
import { createRunDoctor } from "../../pipelines/run-doctor.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";

const config = tinyConfig({ commitmentWeight: 0.5 });
const well = { usage: 1, codesUsed: 8, perplexity: 7 };
const collapsed = { usage: 0.05, codesUsed: 1, perplexity: 1 };

function attended() {
  const notes: string[] = [];
  return { notes, doctor: createRunDoctor(config, { ...silentReporter, note: (text) => notes.push(text) }) };
}

describe("at an evaluation", () => {
  test("says nothing of a run that is well", () => {
    const { notes, doctor } = attended();
    doctor.examine(100, well, { commitmentLoss: 1, reconstructionLoss: 1, codeAge: 3, revivals: 0 });
    expect(notes).toEqual([]);
  });

  test("says what is wrong, once for each state, warnings and notices alike", () => {
    const { notes, doctor } = attended();
    doctor.examine(100, collapsed, { commitmentLoss: 1, reconstructionLoss: 1e5 });
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(/^warning: codebook-collapse: 1 of 8 codes used.*revivalThreshold/);
    expect(notes[1]).toMatch(/^notice: commitment-idle: commitment \/ reconstruction = 0\.000005\./);
  });
});

describe("at the end", () => {
  test("judges the state that is kept by the training figures of its own step", () => {
    const { doctor } = attended();
    doctor.examine(100, well, { commitmentLoss: 8, reconstructionLoss: 1, codeAge: 1 });
    doctor.examine(200, well, { commitmentLoss: 1, reconstructionLoss: 1, codeAge: 2 });
    const first = doctor.conclude(100, well);
    expect(first.training).toEqual({ commitmentRatio: 4, codeAge: 1 });
    expect(first.findings.map(({ state }) => state)).toEqual(["commitment-overgrown"]);
    const second = doctor.conclude(200, well);
    expect(second.training).toEqual({ commitmentRatio: 0.5, codeAge: 2 });
    expect(second.findings.map(({ state }) => state)).toEqual(["healthy"]);
  });

  test("has no training figures of a step it did not see, but the held-out ones", () => {
    const { notes, doctor } = attended();
    const { findings, training } = doctor.conclude(300, collapsed);
    expect(training).toEqual({});
    expect(findings.map(({ state }) => state)).toEqual(["codebook-collapse"]);
    expect(notes).toEqual([]);
  });
});
