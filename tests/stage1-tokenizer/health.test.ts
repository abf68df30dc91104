/** The collapse doctor: every state by the smallest patient that shows it, and by the nearest one that does not. */
import { describe, expect, test } from "vitest";
import { BOTTLENECKS, makesTokens, type TokenizerConfig } from "../../stage1-tokenizer/config.ts";
import {
  describeFinding,
  diagnose,
  trainingFigures,
  type Patient,
  type StateName,
} from "../../stage1-tokenizer/health.ts";
import { EXPECTED, TOKENIZER_PRESETS } from "../../stage1-tokenizer/presets.ts";
import { tinyConfig } from "./tiny-config.ts";

const K = 100;
const config = tinyConfig({ codebookSize: K });
const minimal: Patient = { config, figures: {}, training: {}, step: 100 };
const patient = (of: Partial<Patient>): Patient => ({ ...minimal, ...of });
const codes = (usage: number, perplexity: number): Patient =>
  patient({ figures: { usage, perplexity, codesUsed: usage * K } });
const used = codes(0.9, 80);
/** The emoji preset's own band: read where it is written, so that measuring it anew does not break what is tested here. */
const [EMOJI] = EXPECTED.emoji64;
const [LOW = NaN, HIGH = NaN] = EMOJI?.nmse ?? [];
const AT = EMOJI?.step ?? NaN;
const MIDDLE = (LOW + HIGH) / 2;
const emoji = (nmse: number, step = AT): Patient =>
  patient({ config: TOKENIZER_PRESETS.emoji64, figures: { nmse }, step });
const statesOf = (of: Patient): StateName[] => diagnose(of).map(({ state }) => state);

/** Who shows a state, and who just does not. */
const PATIENTS: Readonly<Record<StateName, { ill: readonly Patient[]; well: readonly Patient[] }>> = {
  "codebook-collapse": { ill: [codes(0.09, 80), codes(1, 4.9)], well: [codes(0.1, 80), codes(1, 5)] },
  "half-used-codebook": { ill: [codes(0.49, 40)], well: [codes(0.5, 40), codes(0.05, 4)] },
  "stale-codes": {
    ill: [{ ...used, training: { codeAge: 201 } }],
    well: [
      { ...used, training: { codeAge: 200 } },
      { ...codes(1, 80), training: { codeAge: 201 } },
    ],
  },
  "revival-churn": {
    ill: [{ ...used, training: { revivals: 201 } }],
    well: [
      { ...used, training: { revivals: 199 } },
      { ...used, training: { revivals: 201 }, step: 1000 },
    ],
  },
  "commitment-overgrown": {
    ill: [patient({ training: { commitmentRatio: 1.01 } })],
    well: [
      patient({ training: { commitmentRatio: 1 } }),
      patient({ config: { ...config, commitmentWeight: 0 }, training: { commitmentRatio: 1.01 } }),
    ],
  },
  "commitment-idle": {
    ill: [patient({ training: { commitmentRatio: 0.9e-4 } })],
    well: [
      patient({ training: { commitmentRatio: 1e-4 } }),
      patient({ config: { ...config, commitmentWeight: 0 }, training: { commitmentRatio: 0 } }),
    ],
  },
  "posterior-collapse": {
    ill: [
      patient({ figures: { activeUnits: 0, latentUnits: 2 } }),
      patient({ figures: { activeUnits: 1, latentUnits: 11 } }),
    ],
    well: [patient({ figures: { activeUnits: 1, latentUnits: 10 } }), patient({ figures: { activeUnits: 0 } })],
  },
  "below-expectation": { ill: [emoji(HIGH * 1.01)], well: [emoji(HIGH), emoji(HIGH * 1.01, AT * 0.8)] },
  "above-expectation": { ill: [emoji(LOW * 0.99)], well: [emoji(LOW), emoji(LOW * 0.99, AT * 0.8)] },
  "as-expected": {
    ill: [emoji(MIDDLE), emoji(LOW), emoji(MIDDLE, AT * 0.99)],
    well: [emoji(LOW * 0.99), emoji(MIDDLE, AT * 0.8)],
  },
  healthy: { ill: [minimal, used, emoji(HIGH * 1.01)], well: [codes(0.05, 4)] },
};

describe.each(Object.entries(PATIENTS))("%s", (state, { ill, well }) => {
  test("is seen where it is, and not beside it", () => {
    for (const of of ill) expect(statesOf(of)).toContain(state);
    for (const of of well) expect(statesOf(of)).not.toContain(state);
  });

  test("says what was seen, and a knob exactly where something is wrong", () => {
    const found = diagnose(ill[0] ?? minimal).filter((finding) => finding.state === state);
    for (const finding of found) {
      const wrong = finding.severity !== "ok";
      expect(finding.knob === undefined, state).toBe(!wrong);
      expect(finding.seen.length).toBeGreaterThan(5);
      expect(describeFinding(finding)).toContain(finding.seen);
      expect(describeFinding(finding).startsWith(wrong ? `${finding.severity}: ${state}` : state)).toBe(true);
    }
  });
});

test("who has no figures is healthy, and nothing else", () => {
  expect(statesOf(minimal)).toEqual(["healthy"]);
});

test("healthy stands beside notices, never beside a warning", () => {
  expect(statesOf(emoji(HIGH * 1.01))).toEqual(["healthy", "below-expectation"]);
  expect(statesOf({ ...codes(0.05, 4), training: { codeAge: 300 } })).toEqual(["codebook-collapse", "stale-codes"]);
});

test("several ills are all named", () => {
  const training = { codeAge: 300, revivals: 1000, commitmentRatio: 2 };
  expect(statesOf({ ...codes(0.4, 30), training })).toEqual([
    "half-used-codebook",
    "stale-codes",
    "revival-churn",
    "commitment-overgrown",
  ]);
});

describe("knobs", () => {
  /** Everybody who may be ill, with every bottleneck. */
  const knobsOf = (bottleneck: TokenizerConfig["bottleneck"]): string[] =>
    Object.values(PATIENTS)
      .flatMap(({ ill }) => ill)
      .flatMap((of) => diagnose({ ...of, config: { ...of.config, bottleneck } }))
      .flatMap(({ knob }) => (knob === undefined ? [] : [knob]));

  test.each(BOTTLENECKS)("of %s name fields of the configuration only", (bottleneck) => {
    const fields = Object.keys(TOKENIZER_PRESETS.emoji64);
    const named = knobsOf(bottleneck).flatMap((knob) => knob.match(/\b[a-z]+[A-Z]\w*/g) ?? []);
    expect(named.length).toBeGreaterThan(0);
    for (const field of named) expect(fields).toContain(field);
  });

  test.each(BOTTLENECKS.filter((bottleneck) => makesTokens({ bottleneck })))("of %s are never empty", (bottleneck) => {
    for (const knob of knobsOf(bottleneck)) expect(knob.trim()).not.toBe("");
  });
});

describe("the bands", () => {
  test("are those of the preset as it stands, whatever the number of steps", () => {
    expect(statesOf(emoji(MIDDLE, 4 * AT))).toContain("as-expected");
    const other = { ...TOKENIZER_PRESETS.emoji64, learningRate: 1e-3 };
    expect(statesOf({ ...emoji(MIDDLE), config: other })).toEqual(["healthy"]);
    const longer = { ...TOKENIZER_PRESETS.emoji64, steps: 9000, warmupSteps: 10 };
    expect(statesOf({ ...emoji(MIDDLE), config: longer })).toContain("as-expected");
  });

  test("are the last whose step was reached", () => {
    const at = (step: number, nmse: number) =>
      statesOf(patient({ config: TOKENIZER_PRESETS.cifar32, figures: { nmse }, step })).at(-1);
    expect([at(1000, 0.1), at(2000, 0.1)]).toEqual(["as-expected", "below-expectation"]);
    expect([at(1990, 0.07), at(10_000, 0.07)]).toEqual(["as-expected", "below-expectation"]);
  });

  test("compare each figure they have, less error and more perplexity being better", () => {
    const figures = { nmse: 0.001, perplexity: 1000 };
    const better = diagnose(patient({ config: TOKENIZER_PRESETS.emoji64, figures, step: AT }));
    expect(better.map(({ state }) => state)).toEqual(["healthy", "above-expectation", "above-expectation"]);
    const worse = diagnose(
      patient({ config: TOKENIZER_PRESETS.emoji64, figures: { nmse: 1, perplexity: 1 }, step: AT }),
    );
    expect(worse.filter(({ state }) => state === "below-expectation")).toHaveLength(2);
    const [low, high] = EXPECTED.emoji64[0]?.nmse ?? [NaN, NaN];
    expect(worse.find(({ seen }) => seen.startsWith("nmse"))?.seen).toContain(`${low} … ${high}`);
  });
});

describe("the figures of training", () => {
  test("are the weighted commitment as a share of reconstruction, and what else there is", () => {
    const metrics = { commitmentLoss: 2, reconstructionLoss: 4, codeAge: 7, revivals: 3, loss: 9 };
    expect(trainingFigures({ commitmentWeight: 0.5 }, metrics)).toEqual({
      commitmentRatio: 0.25,
      codeAge: 7,
      revivals: 3,
    });
  });

  test("leave out what the bottleneck does not have", () => {
    expect(trainingFigures(config, {})).toEqual({});
    expect(trainingFigures(config, { reconstructionLoss: 1, klNats: 3 })).toEqual({});
  });
});
