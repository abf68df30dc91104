/**
 * The convolutional encoder and decoder: every weight declared once, and the two forward functions that read them by name.
 * Knows no bottleneck and no loss.
 *
 * Source: van den Oord et al. 2017, section 4.1, with one strided convolution per halving, so that 64 px (stride 2), 128 px (4) and
 * 256 px (8) all reach a 32×32 grid.
 */
import type { Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { conv2d, conv2dSpec, conv2dTranspose, conv2dTransposeSpec } from "../../shared/nn/layers.ts";
import { layer, type WeightSpecs } from "../../shared/nn/state.ts";

export interface ModelSize {
  readonly stride: number;
  readonly hidden: number;
  readonly residualHidden: number;
  readonly residualLayers: number;
  /** Channels the bottleneck wants of the encoder. */
  readonly encoderChannels: number;
  /** Channels the bottleneck gives the decoder. */
  readonly decoderChannels: number;
}

const COLOURS = 3;
const HALVING = { stride: 2, padding: 1 } as const; // with 4×4 kernels: exactly ½ or 2× the side

/** Channels on the way down, one entry per level: [3, h] for stride 2, [3, h/2, h] for 4, [3, h/2, h, h] for 8. */
function channels({ stride, hidden }: ModelSize): number[] {
  const halvings = Math.log2(stride);
  return [COLOURS, ...Array.from({ length: halvings }, (_, i) => (i === 0 && halvings > 1 ? hidden / 2 : hidden))];
}

/** Each step between neighbouring levels: [0, 3, h/2], [1, h/2, h], … */
function steps(levels: readonly number[]): (readonly [index: number, from: number, to: number])[] {
  return levels.slice(1).map((to, i) => [i, levels[i] ?? 0, to] as const);
}

/** Every weight of encoder and decoder, by name. */
export function modelSpecs(size: ModelSize): WeightSpecs {
  const { hidden, encoderChannels, decoderChannels } = size;
  const down = channels(size);
  const specs: Record<string, WeightSpecs[string]> = {};
  const declare = (weights: WeightSpecs): void => void Object.assign(specs, weights);

  for (const [i, from, to] of steps(down)) declare(conv2dSpec(`encoder.down${i}`, { kernelSize: 4, from, to }));
  declare(conv2dSpec("encoder.conv", { kernelSize: 3, from: hidden, to: hidden }));
  declare(residualSpecs("encoder", size));
  declare(conv2dSpec("encoder.toCode", { kernelSize: 1, from: hidden, to: encoderChannels }));

  declare(conv2dSpec("decoder.conv", { kernelSize: 3, from: decoderChannels, to: hidden }));
  declare(residualSpecs("decoder", size));
  for (const [i, from, to] of steps(down.toReversed()))
    declare(conv2dTransposeSpec(`decoder.up${i}`, { kernelSize: 4, stride: 2, from, to }));
  return specs;
}

function residualSpecs(side: string, { hidden, residualHidden, residualLayers }: ModelSize): WeightSpecs {
  const specs: Record<string, WeightSpecs[string]> = {};
  for (let i = 0; i < residualLayers; i++) {
    Object.assign(
      specs,
      conv2dSpec(`${side}.residual${i}.wide`, { kernelSize: 3, from: hidden, to: residualHidden }),
      conv2dSpec(`${side}.residual${i}.narrow`, { kernelSize: 1, from: residualHidden, to: hidden }),
    );
  }
  return specs;
}

/** images [B, H, W, 3] in −0.5 … 0.5 → zE [B, h, w, encoderChannels]; `weights` under their bare names. */
export function encode(weights: Tensors, images: tf.Tensor, size: ModelSize): tf.Tensor {
  return conv2d(encodeHidden(weights, images, size), layer(weights, "encoder.toCode"));
}

/** The encoder's last hidden map, before it is narrowed for the bottleneck: [B, h, w, hidden], ≥ 0. */
export function encodeHidden(weights: Tensors, images: tf.Tensor, size: ModelSize): tf.Tensor {
  let x = images;
  for (const [i] of steps(channels(size))) x = tf.relu(conv2d(x, layer(weights, `encoder.down${i}`), HALVING));
  x = conv2d(x, layer(weights, "encoder.conv"), { padding: 1 }); // [B, h, w, hidden]
  return residualStack(weights, x, { side: "encoder", layers: size.residualLayers });
}

/** z [B, h, w, decoderChannels] → the decoder's output [B, H, W, 3]; what it says of pixels is the reconstruction loss's to know. */
export function decode(weights: Tensors, z: tf.Tensor, size: ModelSize): tf.Tensor {
  let x = conv2d(z, layer(weights, "decoder.conv"), { padding: 1 }); // [B, h, w, hidden]
  x = residualStack(weights, x, { side: "decoder", layers: size.residualLayers });
  const up = steps(channels(size).toReversed());
  for (const [i] of up) {
    x = conv2dTranspose(x, layer(weights, `decoder.up${i}`), HALVING);
    if (i < up.length - 1) x = tf.relu(x);
  }
  return x; // [B, H, W, 3]
}

/** x + (ReLU, 3×3 to r, ReLU, 1×1 to h), repeated, and a closing ReLU. */
function residualStack(weights: Tensors, x: tf.Tensor, stack: { side: string; layers: number }): tf.Tensor {
  let sum = x;
  for (let i = 0; i < stack.layers; i++) {
    const block = layer(weights, `${stack.side}.residual${i}`);
    const inner = conv2d(tf.relu(sum), layer(block, "wide"), { padding: 1 }); // [B, h, w, r]
    sum = tf.add(sum, conv2d(tf.relu(inner), layer(block, "narrow"))); // [B, h, w, hidden]
  }
  return tf.relu(sum);
}
