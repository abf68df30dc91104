/** The training steps as works: the whole of a step, from a batch in memory to the new weights. */
import { secondsOfStep, STEP_NAMES, STEPS, type StepName } from "./steps.ts";
import type { Repeats } from "./timing.ts";
import type { Comparison } from "./work.ts";

const repeatsOf = (name: StepName): Repeats =>
  name.startsWith("vqvae") ? { warmUp: 2, timed: 7 } : { warmUp: 1, timed: 4 };

export const TRAINING: readonly Comparison[] = STEP_NAMES.map((name) => {
  const { flops, ceiling, peer } = STEPS[name];
  return {
    name,
    unit: "ms",
    repeats: repeatsOf(name),
    ours: (_bench, repeats) => secondsOfStep(STEPS[name], repeats),
    peer,
    flops,
    ceiling,
  };
});
