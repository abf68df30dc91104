/**
 * `metrics.jsonl`: a run's figures, one line of JSON each, for plotting. A resumed run cuts what lies beyond its checkpoint, so that the file ends
 * up as that of an uninterrupted run. Knows no model; times stay out, so that equal runs write equal files.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { explainDiskError } from "../disk.ts";
import type { Metrics } from "./loop.ts";

export interface MetricsLog {
  /** Figures of a batch, after `step` finished steps: `{"step": 10, "loss": …}`. */
  step(step: number, metrics: Metrics): void;
  /** Figures of held-out data: `{"step": 500, "heldOut": {"nmse": …}}`. */
  heldOut(step: number, metrics: Metrics): void;
}

const line = z.looseObject({ step: z.int() });

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
    writeFileSync(path, firstStep > 0 && existsSync(path) ? linesUpTo(readFileSync(path, "utf8"), firstStep) : "");
  });
  const write = (entry: object): void => guarded(() => appendFileSync(path, `${JSON.stringify(entry)}\n`));
  return {
    step: (step, metrics) => write({ step, ...metrics }),
    heldOut: (step, metrics) => write({ step, heldOut: metrics }),
  };
}

/** A line that a crash cut short is dropped with those that come after the checkpoint. */
function linesUpTo(text: string, step: number): string {
  return text
    .split("\n")
    .filter((row) => (stepOf(row) ?? Infinity) <= step)
    .map((row) => `${row}\n`)
    .join("");
}

function stepOf(row: string): number | undefined {
  try {
    return line.parse(JSON.parse(row)).step;
  } catch {
    return undefined;
  }
}
