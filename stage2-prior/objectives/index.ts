/** The objectives by name: the line where one is chosen. */
import type { LearntObjective } from "../signature.ts";
import { causal } from "./causal.ts";
import { diffusion } from "./diffusion.ts";
import { masked } from "./masked.ts";
import type { Objective } from "./objective.ts";
import { pixelcnn } from "./pixelcnn.ts";

export const objectives: Readonly<Record<LearntObjective, Objective>> = { causal, masked, diffusion, pixelcnn };
export type { Objective, Prepared, PrepareOptions, PrepareShape } from "./objective.ts";
