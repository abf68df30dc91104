/** A published prior with first weights: nothing was trained, everything else is real. */
import { Rng } from "../../shared/rng.ts";
import type { PriorConfig } from "../../stage2-prior/config.ts";
import { publishPrior, type PublishPriorOptions, type TrainedPrior } from "../../stage2-prior/export.ts";
import { initialPriorState } from "../../stage2-prior/training-step.ts";

export const FINGERPRINT = "a".repeat(64);

/** The head's first weights are small; thirty times larger, the logits differ enough for a sample to depend on them. */
export function untrained(config: PriorConfig, seed = 2): TrainedPrior {
  const { spec, values } = initialPriorState(config, Rng.fromSeed(seed));
  const louder = Object.entries(values).map(([name, array]) => [
    name,
    /(head\.kernel|\.class)$/.test(name) ? Float32Array.from(array, (value) => value * 30) : array,
  ]);
  const state = { spec, values: Object.fromEntries(louder) as TrainedPrior["state"]["values"] };
  return { config, fingerprint: FINGERPRINT, classes: ["x", "y", "z"], state, bitsPerToken: 2.5, parameters: 1234 };
}

export async function publishUntrained(
  config: PriorConfig,
  directory: string,
  options: Partial<PublishPriorOptions> = {},
): Promise<string> {
  await publishPrior(untrained(config), { directory, ...options });
  return directory;
}
