/**
 * Classifier-free guidance: a network function made of two, the conditional c and the unconditional u, whose logits are u + s·(c − u).
 * Samplers do not notice. Knows no class and no runtime.
 *
 * Source: Ho, Salimans, "Classifier-Free Diffusion Guidance", 2022, arXiv:2207.12598.
 */
import { mismatch, usageError } from "../../shared/errors.ts";
import { UNKNOWN } from "../../shared/tokens.ts";
import { checkNonNegative } from "./sampler.ts";

/**
 * w(r): how much of the scale is in force when the fraction r of an image is known, s(r) = (1 − w(r)) + scale · w(r). A rising one lets
 * the image take shape before it is pushed towards its class. A new one is a line here.
 */
export const GUIDANCE_SCHEDULES = {
  constant: () => 1,
  linear: (r) => r,
  cosine: (r) => (1 - Math.cos(Math.PI * r)) / 2,
} as const satisfies Record<string, (r: number) => number>;

export type GuidanceSchedule = keyof typeof GUIDANCE_SCHEDULES;

export interface Guidance {
  /** s ≥ 0: 1 is off, 0 is the unconditional network, above 1 exaggerates what the class adds. */
  readonly scale: number;
  readonly schedule: GuidanceSchedule;
}

/** Either kind of network function of `sampler.ts`. */
export type Network = (tokens: Int32Array) => Promise<Float32Array>;

/** What a network function is asked, read as the progress r of each of the N images: 0 at its first token, 1 at its last open one. */
export type Progress = (tokens: Int32Array) => Float64Array;

export interface GuidanceOptions extends Guidance {
  readonly progress: Progress;
}

/** r of masked networks: tokens known ÷ (L − 1). Each image has its own, so that guidance too leaves it independent of its batch. */
export function knownFraction({ count, length }: { count: number; length: number }): Progress {
  return (tokens) =>
    new Float64Array(count).map((_, image) => {
      const own = tokens.subarray(image * length, (image + 1) * length);
      return fraction(own.filter((token) => token !== UNKNOWN).length, length);
    });
}

/** r of causal networks: position ÷ (L − 1), counted over the calls; made for one decoding, as its network is. */
export function positionFraction({ count, length }: { count: number; length: number }): Progress {
  let asked = 0;
  return (previous) => {
    asked += previous.length / count;
    return new Float64Array(count).fill(fraction(asked - 1, length));
  };
}

const fraction = (known: number, length: number): number => (length === 1 ? 1 : Math.min(1, known / (length - 1)));

/**
 * Scale 1 gives `conditional` itself.
 * @throws usage if the scale is no finite number ≥ 0 or the schedule does not exist
 */
export function guided(conditional: Network, unconditional: Network, options: GuidanceOptions): Network {
  checkGuidance(options);
  if (options.scale === 1) return conditional;
  return async (tokens) => {
    const scales = scalesOf(options, tokens);
    const c = await conditional(tokens);
    return mix(c, await unconditional(tokens), scales);
  };
}

/**
 * The same in one call: `doubled` answers for 2N images of which the first N have the class and the last N have none.
 * @throws usage if the scale is no finite number ≥ 0 or the schedule does not exist
 */
export function guidedTogether(doubled: Network, options: GuidanceOptions): Network {
  checkGuidance(options);
  return async (tokens) => {
    const twice = new Int32Array(tokens.length * 2); // [2N, …]
    twice.set(tokens);
    twice.set(tokens, tokens.length);
    const scales = scalesOf(options, tokens);
    const logits = await doubled(twice); // [2N, …]
    const half = Math.floor(logits.length / 2);
    return mix(logits.subarray(0, half), logits.subarray(half), scales);
  };
}

/** @throws usage if the scale is no finite number ≥ 0 or the schedule does not exist */
export function checkGuidance({ scale, schedule }: Guidance): void {
  checkNonNegative("guidance scale", scale);
  if (Object.hasOwn(GUIDANCE_SCHEDULES, schedule)) return;
  throw usageError({
    what: "unknown guidance schedule",
    where: "guidance schedule",
    expected: Object.keys(GUIDANCE_SCHEDULES).join(", "),
    got: JSON.stringify(schedule),
  });
}

function scalesOf({ scale, schedule, progress }: GuidanceOptions, tokens: Int32Array): Float64Array {
  const weight = GUIDANCE_SCHEDULES[schedule];
  return progress(tokens).map((r) => 1 - weight(r) + scale * weight(r));
}

/** u + s·(c − u) [N, …], s per image; where s is 1, exactly c. */
function mix(c: Float32Array, u: Float32Array, scales: Float64Array): Float32Array {
  if (u.length !== c.length || c.length % scales.length !== 0) {
    throw mismatch({
      what: "conditional and unconditional logits have different shapes",
      where: "guidance",
      expected: `twice as many for ${scales.length} images`,
      got: `${c.length} and ${u.length}`,
    });
  }
  const perImage = c.length / scales.length;
  return c.map((logit, i) => {
    const s = scales[Math.floor(i / perImage)] ?? NaN;
    const base = u[i] ?? NaN;
    return s === 1 ? logit : base + s * (logit - base);
  });
}
