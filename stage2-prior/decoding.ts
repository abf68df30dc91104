/**
 * How a prior is decoded: which sampler its network takes, under which class, guided or not. Checks that what is asked for fits
 * the prior. Knows no artefact, no graph and no counts; the samplers know no prior.
 */
import { usageError } from "../shared/errors.ts";
import type { Rng } from "../shared/rng.ts";
import type { TokenGrid } from "../shared/tokens.ts";
import type { HeldOutTokens, MeasureOptions } from "./held-out.ts";
import { maskSchedule } from "./mask-schedule.ts";
import { ancestralSteps } from "./sample/ancestral.ts";
import type { Truncation } from "./sample/categorical.ts";
import { causalSteps } from "./sample/causal.ts";
import {
  checkGuidance,
  guidedTogether,
  knownFraction,
  positionFraction,
  type Guidance,
  type Network,
  type Progress,
} from "./sample/guidance.ts";
import { haltonSteps } from "./sample/halton.ts";
import { maskgitSteps } from "./sample/maskgit.ts";
import { checkSteps } from "./sample/schedule.ts";
import type { SampleOptions, SampleSteps, TokensToLogits } from "./sample/sampler.ts";
import type { ObjectiveName, PriorSpec } from "./signature.ts";
import { nullClassId } from "./vocabulary.ts";

/** What may be asked of a prior, beside how many images; what does not fit it is a usage error. */
export interface DecodingOptions extends Truncation {
  readonly temperature?: number | undefined;
  /** Class of every image, by name; unconditional where absent. */
  readonly className?: string | undefined;
  /** Needs a class. Costs twice the images a batch: the same ones again without their class. */
  readonly guidance?: Guidance | undefined;
  /** Not for priors of raster order: the order of decoding, default by objective. */
  readonly sampler?: SamplerName | undefined;
  /** Not for priors of raster order: decoding steps; default by sampler, or one a token where there are fewer. */
  readonly steps?: number | undefined;
  /** Sampler `maskgit`: noise on the confidence, default 4.5. */
  readonly choiceTemperature?: number | undefined;
}

type MaskedOptions = SampleOptions<TokensToLogits>;

/** Samplers of the masked signature; a new one is a line here. */
const SAMPLERS = {
  maskgit: (options, asked, spec) =>
    maskgitSteps({ ...options, ...scheduled(asked, spec, 12), choiceTemperature: asked.choiceTemperature }),
  halton: (options, asked, spec) => haltonSteps({ ...options, ...scheduled(asked, spec, 32) }),
  ancestral: (options, asked) => ancestralSteps({ ...options, steps: asked.steps ?? 64 }),
} as const satisfies Record<string, (options: MaskedOptions, asked: DecodingOptions, spec: PriorSpec) => SampleSteps>;

export type SamplerName = keyof typeof SAMPLERS;
export const SAMPLER_NAMES = Object.keys(SAMPLERS) as readonly SamplerName[];

/**
 * How each objective is decoded: by which sampler where none is asked for, or in raster order, where it knows a token's predecessors only.
 * A new objective is a line here.
 */
const DECODING = {
  causal: "raster",
  pixelcnn: "raster",
  masked: "maskgit",
  diffusion: "ancestral",
  uniform: "raster",
  unigram: "raster",
  markov2d: "raster",
} as const satisfies Record<ObjectiveName, SamplerName | "raster">;

/** The sampler a prior is decoded with, where none or this one is asked for. */
export const samplerOf = ({ objective }: Pick<PriorSpec, "objective">, asked?: SamplerName): SamplerName | "raster" =>
  DECODING[objective] === "raster" ? "raster" : (asked ?? DECODING[objective]);

/** Whether a prior draws one token after the other, each knowing the earlier ones alone; any other looks at what is known all around. */
export const drawsInRasterOrder = (spec: Pick<PriorSpec, "objective">): boolean => samplerOf(spec) === "raster";

const scheduled = ({ steps }: DecodingOptions, spec: PriorSpec, usual: number) => ({
  steps: steps ?? Math.min(usual, lengthOf(spec)),
  schedule: maskSchedule(spec.maskSchedule),
});

/** L = h·w */
const lengthOf = ({ grid }: Pick<PriorSpec, "grid">): number => grid[0] * grid[1];

/** Images decoded side by side. */
export interface Batch {
  /** N */
  readonly count: number;
  /** Number of the first: image i depends on (rng, i) alone. */
  readonly firstIndex: number;
  readonly rng: Rng;
  /** [N, h, w], `UNKNOWN` where to fill. */
  readonly known?: TokenGrid | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a prior decodes with, whatever it keeps: a graph or counts. */
export interface Networks {
  /**
   * A fresh network for one decoding of N images; of the causal signature where the objective is decoded in raster order, else of the masked.
   * @param classIds [N], one an image, the null class where unconditional
   */
  create(classIds: Int32Array): Network;
  /** As `Prior.bitsPerToken`. */
  bitsPerToken(data: HeldOutTokens, options?: MeasureOptions): Promise<number>;
  dispose(): Promise<void>;
}

/**
 * The way one prior decodes batches.
 * @throws usage for a class that does not exist or an option that does not fit the prior
 */
export function createDecoder(
  networks: Networks,
  spec: PriorSpec,
  asked: DecodingOptions,
): (batch: Batch) => SampleSteps {
  checkDecoding(asked, spec);
  const classId = classIdOf(asked.className, spec);
  const { codebookSize, grid } = spec;
  const { temperature, topK, topP } = asked;
  const length = lengthOf(spec);
  return (batch) => {
    const common = { codebookSize, grid, temperature, topK, topP, ...batch };
    const condition = { classId, nullId: nullClassId(spec.classes.length), count: batch.count };
    const shape = { count: batch.count, length };
    const sampler = samplerOf(spec, asked.sampler);
    const progress = sampler === "raster" ? positionFraction(shape) : knownFraction(shape);
    const tokensToLogits = conditioned(networks, condition, asked.guidance, progress);
    if (sampler === "raster") return causalSteps({ ...common, tokensToLogits });
    return SAMPLERS[sampler]({ ...common, tokensToLogits }, asked, spec);
  };
}

/** A network for N images of one class; guided, one for those N and the same N without it. */
function conditioned(
  networks: Networks,
  { classId, nullId, count }: { classId: number; nullId: number; count: number },
  guidance: Guidance | undefined,
  progress: Progress,
): Network {
  if (guidance === undefined || guidance.scale === 1) return networks.create(new Int32Array(count).fill(classId));
  const classIds = new Int32Array(2 * count).fill(classId, 0, count).fill(nullId, count);
  return guidedTogether(networks.create(classIds), { ...guidance, progress });
}

/** Before anything is decoded. @throws usage for a class that does not exist or an option that does not fit the prior */
export function checkDecoding(asked: DecodingOptions, spec: Omit<PriorSpec, "fingerprint">): void {
  classIdOf(asked.className, spec);
  const { classes, objective } = spec;
  const { guidance, className, sampler, steps, choiceTemperature } = asked;
  if (guidance !== undefined) {
    checkGuidance(guidance);
    if (classes.length === 0) throw unfit("guidance", "an unconditional prior has no class to be guided to");
    if (className === undefined) throw unfit("guidance", "there is no class to be guided to", "Name a class.");
  }
  if (sampler !== undefined && !Object.hasOwn(SAMPLERS, sampler)) {
    const [expected, got] = [SAMPLER_NAMES.join(", "), JSON.stringify(sampler)];
    throw usageError({ what: "unknown sampler", where: "sampler", expected, got });
  }
  if (drawsInRasterOrder(spec)) {
    for (const [where, value] of Object.entries({ sampler, steps, choiceTemperature })) {
      if (value !== undefined)
        throw unfit(where, `a ${objective} prior decodes one token after the other, in raster order`);
    }
    return;
  }
  const chosen = samplerOf(spec, sampler);
  if (steps !== undefined) checkSteps(steps, lengthOf(spec));
  if (choiceTemperature === undefined || chosen === "maskgit") return;
  throw unfit("choiceTemperature", `the sampler "${chosen}" ranks nothing that noise could be put on`);
}

const unfit = (where: string, what: string, todo = "Leave it out.") => usageError({ what, where, todo });

/** The null class, which follows the named ones, where no name is given. */
function classIdOf(name: string | undefined, { classes }: Pick<PriorSpec, "classes">): number {
  if (name === undefined) return nullClassId(classes.length);
  const id = classes.indexOf(name);
  if (id >= 0) return id;
  throw usageError({
    what: `there is no class "${name}"`,
    expected: classes.length === 0 ? "no class: the prior is unconditional" : classes.join(", "),
  });
}
