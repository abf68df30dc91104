/**
 * What an objective is: how a batch of token rows becomes inputs and targets (on the host, from the rng), and whether the network may look
 * ahead. The loss is the same for all: cross-entropy at the positions that count, averaged by their weights. Leaves are the other files.
 */
import type { Rng } from "../../shared/rng.ts";
import type { PriorConfig } from "../config.ts";
import type { LearntObjective } from "../signature.ts";

export interface Prepared {
  /** int32 [B, L]: what the network sees, 0 … K. */
  readonly ids: Int32Array;
  /** float32 [B, L]: how much the loss of a position weighs, 0 where it does not count. */
  readonly counted: Float32Array;
}

export interface Objective {
  readonly name: LearntObjective;
  /** Which of its inputs the network may look at for position t: those before t, those up to t, or all. */
  readonly sees: "before" | "upTo" | "all";
  /** How often evaluation goes through the held-out images, with other draws each time. */
  readonly evaluationPasses: number;
  /** Label smoothing of the training loss. */
  smoothing(config: PriorConfig): number;
  /**
   * @param tokens [B, L] ids of codes; L = h·w
   * @param rng the batch's own stream
   */
  prepare(tokens: Int32Array, rng: Rng, options: PrepareOptions): Prepared;
}

/** What of a prior decides how its batches are prepared; a training configuration is one. */
export interface PrepareShape {
  /** K */
  readonly codebookSize: number;
  /** [h, w] */
  readonly grid: readonly [height: number, width: number];
  readonly maskSchedule: string;
  /** Least fraction masked in training (0). */
  readonly maskFloor?: number | undefined;
}

export interface PrepareOptions {
  readonly config: PrepareShape;
  /** Evaluation may spare what training draws, to vary less. */
  readonly mode: "training" | "evaluation";
  /** Where the batch's first row stands among `of` rows that are averaged together: draws are spread over these. Default: the batch is all. */
  readonly place?: { readonly first: number; readonly of: number } | undefined;
}
