/**
 * Pictures of a latent space: what lies between images (any autoencoder), what standard normal latents decode to (a VAE), and the whole
 * space where it has two dimensions. Knows no file.
 */
import type { Rng } from "../shared/rng.ts";
import {
  streamImages,
  takeEvenly,
  type Autoencoder,
  type OnImageFailure,
  type Records,
  type Tile,
} from "../stage1-tokenizer/index.ts";
import { toRows, toTiles } from "./sheets.ts";

export type Rows = readonly (readonly Tile[])[];

/**
 * One row a pair of images: the first, `steps` pictures on the straight line between their latents, the second. No row if there is only one
 * image. @throws bad-input if no image can be decoded
 */
export async function interpolationRows(
  model: Autoencoder,
  from: {
    readonly records: Records;
    readonly pairs: number;
    readonly steps: number;
    readonly onFailure: OnImageFailure;
  },
): Promise<Rows> {
  const { pairs, steps, onFailure } = from;
  const records = takeEvenly(from.records, 2 * pairs).records();
  const { preprocessing, imageSize } = model;
  const rows: Tile[][] = [];
  // Neighbours of an evenly taken set are far apart: each batch of two is a pair.
  for await (const { images, keys } of streamImages({ records, preprocessing, batchSize: 2, onFailure })) {
    if (keys.length < 2) break;
    const latents = await model.encode(images);
    const path = between(latents, steps);
    const [first, second] = toTiles(images, imageSize);
    if (first !== undefined && second !== undefined)
      rows.push([first, ...toTiles(await model.decode(path), imageSize), second]);
  }
  return rows;
}

/** Two latents → `steps` on the line from one to the other, ends included: [steps, …latentShape]. */
function between(latents: Float32Array, steps: number): Float32Array {
  const length = latents.length / 2;
  return Float32Array.from({ length: steps * length }, (_, i) => {
    const share = steps === 1 ? 0.5 : Math.floor(i / length) / (steps - 1);
    const [a, b] = [latents[i % length] ?? 0, latents[length + (i % length)] ?? 0];
    return a + share * (b - a);
  });
}

/** `count` standard normal latents, decoded. */
export async function sampleRows(
  model: Autoencoder,
  options: { readonly count: number; readonly rng: Rng },
): Promise<Rows> {
  const length = latentLength(model);
  const latents = options.rng.fill(options.count * length, (rng) => rng.normal());
  return toRows(toTiles(await model.decode(latents), model.imageSize));
}

/** Deviations from the mean that the picture of a two-dimensional space reaches. */
const REACH = 2;

/** A latent space of two dimensions on a grid of `side` × `side` points, −2 … 2 each way; undefined for any other. */
export async function manifoldRows(model: Autoencoder, side: number): Promise<Rows | undefined> {
  if (latentLength(model) !== 2) return undefined;
  const at = (i: number): number => (side === 1 ? 0 : -REACH + (2 * REACH * i) / (side - 1));
  const latents = Float32Array.from({ length: 2 * side * side }, (_, i) => {
    const point = Math.floor(i / 2);
    return i % 2 === 0 ? at(point % side) : -at(Math.floor(point / side)); // x to the right, y upwards
  });
  return toRows(toTiles(await model.decode(latents), model.imageSize), side);
}

const latentLength = ({ latentShape }: Autoencoder): number => latentShape.reduce((length, size) => length * size, 1);
