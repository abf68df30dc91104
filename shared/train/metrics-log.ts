/**
 * `metrics.jsonl`: a run's figures, one line of JSON each, for plotting. A resumed run cuts what lies beyond its checkpoint, so that the file ends
 * up as that of an uninterrupted run. Knows no model; times stay out, so that equal runs write equal files, and so do numbers that are not finite,
 * which JSON does not have.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { explainDiskError } from "../disk.ts";
import { finiteEntries } from "../records.ts";
import type { Metrics } from "./loop.ts";

export interface MetricsLog {
  /** Figures of a batch, after `step` finished steps: `{"step": 10, "loss": …}`. */
  step(step: number, metrics: Metrics): void;
  /** Figures of held-out data: `{"step": 500, "heldOut": {"nmse": …}}`. */
  heldOut(step: number, metrics: Metrics): void;
}

const line = z.looseObject({ step: z.int(), heldOut: z.unknown().optional() });

/** Starts the file, or goes on with it after `firstStep` finished steps. @throws failure if the disk refuses. */
export function openMetricsLog(path: string, firstStep: number): MetricsLog {
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw explainDiskError(error, path);
    }
  };
  guarded(() => {
    mkdirSync(dirname(path), { recursive: true });
    if (firstStep > 0 && existsSync(path)) truncateSync(path, lengthUpTo(readFileSync(path, "utf8"), firstStep));
    else writeFileSync(path, "");
  });
  const write = (entry: object): void => guarded(() => appendFileSync(path, `${JSON.stringify(entry)}\n`));
  return {
    step: (step, metrics) => write({ step, ...finiteEntries(metrics) }),
    heldOut: (step, metrics) => write({ step, heldOut: finiteEntries(metrics) }),
  };
}

/** Bytes of the whole lines before the first that a run of `step` finished steps has not written, or that its continuation writes again. */
function lengthUpTo(text: string, step: number): number {
  const rows = text.split("\n").slice(0, -1); // what follows the last line's end is nothing, or a line that a crash cut short
  const end = rows.findIndex((row) => !comesBefore(row, step));
  return Buffer.byteLength((end < 0 ? rows : rows.slice(0, end)).map((row) => `${row}\n`).join(""));
}

/** Held-out figures after `step` steps are measured again: an interruption may have left them out. */
function comesBefore(row: string, step: number): boolean {
  try {
    const { step: at, heldOut } = line.parse(JSON.parse(row));
    return heldOut === undefined ? at <= step : at < step;
  } catch {
    return false;
  }
}
