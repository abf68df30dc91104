/** What configurations say about learning-rate schedules: readable without loading a runtime. */
export const SCHEDULES = ["constant", "warmup", "warmup-cosine"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

/**
 * A preset's warm-up in a run of `steps` that may be shorter than the preset's own: at most a tenth of it.
 * @param steps as a caller gave it, not yet checked
 */
export function presetWarmup(warmupSteps: number, steps: unknown): number {
  return typeof steps === "number" && steps >= 1 ? Math.min(warmupSteps, Math.floor(steps / 10)) : warmupSteps;
}
