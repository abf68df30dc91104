/**
 * What an objective is: how a batch of token rows becomes inputs and targets (on the host, from the rng), and whether the network may look
 * ahead. The loss is the same for all: cross-entropy at the positions that count. Leaves are `causal.ts` and `masked.ts`.
 */
import type { Rng } from "../../shared/rng.ts";
import type { PriorConfig } from "../config.ts";
import type { ObjectiveName } from "../signature.ts";

export interface Prepared {
  /** int32 [B, L]: what the network sees, 0 … K. */
  readonly ids: Int32Array;
  /** float32 [B, L]: 1 where the loss counts, else 0. */
  readonly counted: Float32Array;
}

export interface Objective {
  readonly name: ObjectiveName;
  /** Whether position t sees only positions up to t. */
  readonly causal: boolean;
  /** Label smoothing of the training loss. */
  smoothing(config: PriorConfig): number;
  /**
   * @param tokens [B, L] ids of codes; L = h·w
   * @param rng the batch's own stream
   * @param mode evaluation masks exactly the schedule's mean ratio, training draws the ratio
   */
  prepare(tokens: Int32Array, rng: Rng, options: { config: PriorConfig; mode: "training" | "evaluation" }): Prepared;
}
