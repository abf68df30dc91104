/** How many steps fit into a time: for runs that are given minutes instead of steps. Knows no model. */
import type { Trainer } from "../engine/engine.ts";
import type { Batch } from "./loop.ts";

/** The first step of a fresh graph allocates its memory; it says nothing about the others. */
const WARM_UP_STEPS = 2;
const TIMED_STEPS = 6;

/**
 * Median seconds of a step, measured on a trainer made for the purpose: its state is spoilt afterwards.
 * Only the number of steps that follows from it is recorded, so that a run can be repeated exactly.
 */
export async function secondsPerStep(
  trainer: Pick<Trainer, "step">,
  batch: (step: number) => Promise<Batch>,
): Promise<number> {
  const seconds: number[] = [];
  for (let step = 0; step < WARM_UP_STEPS + TIMED_STEPS; step++) {
    const { arrays } = await batch(step);
    const start = performance.now();
    await trainer.step(arrays);
    if (step >= WARM_UP_STEPS) seconds.push((performance.now() - start) / 1000);
  }
  return seconds.sort((a, b) => a - b)[TIMED_STEPS / 2] ?? 0;
}
