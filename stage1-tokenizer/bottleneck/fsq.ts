/**
 * Finite scalar quantisation: each of a few channels is bounded and rounded to one of L levels; a code is the tuple of them, so there is no
 * codebook to learn and none to collapse. The gradient passes the rounding unchanged.
 *
 * Source: Mentzer, Minnen, Agustsson, Tschannen, "Finite Scalar Quantization: VQ-VAE Made Simple", 2023, section 3 and appendix A.1.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { straightThrough } from "../../shared/nn/straight-through.ts";
import type { Bottled, DiscreteBottleneck } from "./bottleneck.ts";
import { checkChannels, countCodes, lookupCodes } from "./nearest.ts";

/** Keeps the outermost levels reachable at a finite zE. */
const MARGIN = 1e-3;

/** @param levels L of each channel, the first the fastest in the index; K = their product */
export function createFsq({ levels }: { readonly levels: readonly number[] }) {
  const channels = levels.length;
  const codebookSize = levels.reduce((product, count) => product * count, 1);
  const row = (values: readonly number[]): tf.Tensor => tf.tensor1d([...values]); // [d]
  const halfWidths = levels.map((count) => Math.floor(count / 2));
  const bases = levels.map((_, i) => levels.slice(0, i).reduce((product, count) => product * count, 1));

  /** zE → between the outermost levels; even counts are shifted by half a step, so that 0 is a level all the same. */
  function bound(zE: tf.Tensor): tf.Tensor {
    checkChannels(zE, channels);
    const halves = levels.map((count) => ((count - 1) * (1 + MARGIN)) / 2);
    const offsets = levels.map((count) => (count % 2 === 0 ? 0.5 : 0));
    const shifts = halves.map((half, i) => Math.atanh((offsets[i] ?? 0) / half));
    return tf.sub(tf.mul(tf.tanh(tf.add(zE, row(shifts))), row(halves)), row(offsets)); // [B, h, w, d]
  }

  /** Rounded levels [B, h, w, d], −⌊L/2⌋ … → int32 [B, h, w]. */
  function indexOf(rounded: tf.Tensor): tf.Tensor {
    const digits = tf.add(rounded, row(halfWidths)); // 0 … L − 1
    return tf.cast(tf.sum(tf.mul(digits, row(bases)), -1), "int32");
  }

  function forward(zE: tf.Tensor): Bottled {
    const bounded = bound(zE);
    const rounded = tf.round(bounded);
    return {
      z: tf.div(straightThrough(bounded, rounded), row(halfWidths)),
      terms: {},
      statistics: { counts: countCodes(indexOf(rounded), codebookSize) },
      metrics: {},
    };
  }

  return {
    kind: "discrete",
    name: "fsq",
    codebookSize,
    encoderChannels: channels,
    decoderChannels: channels,
    initialState: () => ({ spec: {}, values: {} }),
    drawn: { spec: {}, draw: () => ({}) },
    forward,
    assign: (zE: tf.Tensor) => indexOf(tf.round(bound(zE))),
    lookup: (tokens: tf.Tensor, _state: Tensors) =>
      lookupCodes(tokens, tf.tensor2d(fsqCodes(levels), [codebookSize, channels])),
    updateState: () => ({}),
  } as const satisfies DiscreteBottleneck;
}

/** Every code, row-major [K, d], in −1 … 1: (digit − ⌊L/2⌋) / ⌊L/2⌋. */
export function fsqCodes(levels: readonly number[]): Float32Array {
  const size = levels.reduce((product, count) => product * count, 1);
  const codes = new Float32Array(size * levels.length);
  for (let index = 0; index < size; index++) {
    let rest = index;
    for (const [channel, count] of levels.entries()) {
      const half = Math.floor(count / 2);
      codes[index * levels.length + channel] = ((rest % count) - half) / half;
      rest = Math.floor(rest / count);
    }
  }
  return codes;
}
