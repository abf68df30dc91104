/**
 * The collapse doctor: from a model's figures to named states, each with what it means and the knob to turn; and whether the figures are
 * what its preset usually gives. Knows no loop, no file and no tensor.
 */
import type { TokenizerConfig } from "./config.ts";
import type { ModelFigures } from "./evaluate.ts";
import { EXPECTED, presetOf, type Band } from "./presets.ts";

/** Figures of training; those that the bottleneck has. */
export interface TrainingFigures {
  /** β · commitmentLoss / reconstructionLoss. */
  readonly commitmentRatio?: number;
  /** Steps since a code was last chosen, averaged over the codes. */
  readonly codeAge?: number;
  /** Codes revived so far. */
  readonly revivals?: number;
}

/** What of a training step's metrics (means over some steps, as a rule) the doctor looks at. */
export function trainingFigures(
  { commitmentWeight }: Pick<TokenizerConfig, "commitmentWeight">,
  metrics: Readonly<Record<string, number>>,
): TrainingFigures {
  const { commitmentLoss, reconstructionLoss, codeAge, revivals } = metrics;
  return {
    ...(commitmentLoss !== undefined &&
      reconstructionLoss !== undefined && {
        commitmentRatio: (commitmentWeight * commitmentLoss) / reconstructionLoss,
      }),
    ...(codeAge !== undefined && { codeAge }),
    ...(revivals !== undefined && { revivals }),
  };
}

export interface Patient {
  readonly config: TokenizerConfig;
  readonly figures: ModelFigures;
  readonly training: TrainingFigures;
  /** Finished steps. */
  readonly step: number;
}

export type StateName =
  | "codebook-collapse"
  | "half-used-codebook"
  | "stale-codes"
  | "revival-churn"
  | "commitment-overgrown"
  | "commitment-idle"
  | "posterior-collapse"
  | "below-expectation"
  | "above-expectation"
  | "as-expected"
  | "healthy";

export interface Finding {
  readonly state: StateName;
  readonly severity: "ok" | "notice" | "warning";
  /** What was seen, with its numbers. */
  readonly seen: string;
  /** What to do about it; absent where nothing is wrong. */
  readonly knob?: string;
}

/** Every state the figures show; `healthy` alone if none is worse than a notice. */
export function diagnose(patient: Patient): Finding[] {
  const findings = [
    ...codebookFindings(patient),
    ...commitmentFindings(patient),
    ...posteriorFindings(patient),
    ...expectationFindings(patient),
  ];
  if (findings.some(({ severity }) => severity === "warning")) return findings;
  return [{ state: "healthy", severity: "ok", seen: "no sign of collapse" }, ...findings];
}

/** One line a finding. */
export const describeFinding = ({ state, severity, seen, knob }: Finding): string =>
  `${severity === "ok" ? "" : `${severity}: `}${state}: ${seen}${knob === undefined ? "" : `. ${knob}`}`;

/** Below these shares of K a codebook has collapsed, or is half idle. */
const COLLAPSED_SHARE = 0.1;
const HALF_USED_SHARE = 0.5;
/** A code is stale if a batch had this many chances to choose it. */
const STALE_STEPS = 200;
/** Revivals a step, as a share of K, beyond which codes do not live long enough to learn. */
const CHURN_SHARE = 0.02;

function codebookFindings({ config, figures, training, step }: Patient): Finding[] {
  const { usage, perplexity, codesUsed } = figures;
  if (usage === undefined || perplexity === undefined) return [];
  const { codebookSize, bottleneck } = config;
  const findings: Finding[] = [];
  const use = `${codesUsed ?? 0} of ${codebookSize} codes used, perplexity ${perplexity.toFixed(1)}`;
  const share = Math.min(usage, (2 * perplexity) / codebookSize); // even use of half the codes passes
  if (share < COLLAPSED_SHARE)
    findings.push({ state: "codebook-collapse", severity: "warning", seen: use, knob: REVIVE[bottleneck] });
  else if (usage < HALF_USED_SHARE)
    findings.push({ state: "half-used-codebook", severity: "notice", seen: use, knob: REVIVE[bottleneck] });
  if ((training.codeAge ?? 0) > STALE_STEPS && usage < 1)
    findings.push({
      state: "stale-codes",
      severity: "notice",
      seen: `codes were last chosen ${(training.codeAge ?? 0).toFixed(0)} steps ago on average`,
      knob: REVIVE[bottleneck],
    });
  const perStep = (training.revivals ?? 0) / Math.max(1, step);
  if (perStep > CHURN_SHARE * codebookSize)
    findings.push({
      state: "revival-churn",
      severity: "warning",
      seen: `${perStep.toFixed(1)} of ${codebookSize} codes revived a step`,
      knob: "Lower revivalThreshold, the learning rate or K, or enlarge the batch: codes are replaced before they have learnt",
    });
  return findings;
}

const REVIVE: Readonly<Record<TokenizerConfig["bottleneck"], string>> = {
  vq: "Use vq-ema, which revives dead codes; or normalizeCodes with a small codeDimension, or a smaller codebookSize",
  "vq-ema":
    "Raise revivalThreshold, lower codebookEmaDecay, set normalizeCodes with a small codeDimension, or take a smaller codebookSize",
  "st-softmax": "Lower the learning rate or codebookSize; gumbel explores where the largest logit does not",
  gumbel: "Raise klWeight, or temperature, so that the choice hardens later; or take a smaller codebookSize",
  reinforce: "Lower the learning rate, enlarge the batch, or take a smaller codebookSize: the estimator is noisy",
  fsq: "Take fewer or smaller levels: the images do not need so many codes",
  gaussian: "",
  "gaussian-vector": "",
  none: "",
};

/** β·commitment / reconstruction outside these bounds: the encoder runs away from the codes, or the term has no say. */
const COMMITMENT_RANGE = [1e-4, 1] as const;

function commitmentFindings({ config, training: { commitmentRatio: ratio } }: Patient): Finding[] {
  if (ratio === undefined || config.commitmentWeight === 0) return [];
  const seen = `commitment / reconstruction = ${Number(ratio.toPrecision(3))}`;
  if (ratio > COMMITMENT_RANGE[1])
    return [
      {
        state: "commitment-overgrown",
        severity: "warning",
        seen,
        knob: "The encoder outruns its codes: raise commitmentWeight, lower codebookEmaDecay (vq-ema) or the learning rate",
      },
    ];
  if (ratio < COMMITMENT_RANGE[0])
    return [
      {
        state: "commitment-idle",
        severity: "notice",
        seen,
        knob: "The term has no say: raise commitmentWeight, unless the figures are good as they are",
      },
    ];
  return [];
}

/** Fewer active latents than this share, and the decoder does without them. */
const ACTIVE_SHARE = 0.1;

function posteriorFindings({ figures: { activeUnits, latentUnits, klNats } }: Patient): Finding[] {
  if (activeUnits === undefined || latentUnits === undefined || activeUnits >= ACTIVE_SHARE * latentUnits) return [];
  return [
    {
      state: "posterior-collapse",
      severity: "warning",
      seen: `${activeUnits} of ${latentUnits} latents active, KL ${(klNats ?? 0).toFixed(2)} nats an image`,
      knob: "Lower klWeight, set freeBits, or take fewer latents (codeDimension)",
    },
  ];
}

/** Whether each figure lies in its preset's band for this many steps. Only of presets that were measured, as they stand. */
function expectationFindings({ config, figures, step }: Patient): Finding[] {
  const preset = presetOf(config);
  const bands = preset === undefined ? [] : EXPECTED[preset];
  const band = bands.findLast((candidate) => candidate.step <= step * 1.02);
  if (band === undefined) return [];
  return (["nmse", "perplexity"] as const).flatMap((name) => {
    const [value, range] = [figures[name], band[name]];
    return value === undefined || range === undefined ? [] : [compared(name, value, { range, band })];
  });
}

function compared(
  name: "nmse" | "perplexity",
  value: number,
  to: { range: readonly [number, number]; band: Band },
): Finding {
  const [low, high] = to.range;
  const seen = `${name} ${Number(value.toPrecision(3))}, usual on the preset's images after ${to.band.step} steps: ${low} … ${high}`;
  if (value >= low && value <= high) return { state: "as-expected", severity: "ok", seen };
  const worse = name === "nmse" ? value > high : value < low;
  return worse
    ? {
        state: "below-expectation",
        severity: "notice",
        seen,
        knob: "Other images, other options or an early step may explain it; if not, look at the states above",
      }
    : { state: "above-expectation", severity: "ok", seen };
}
