/**
 * Random flips and crops of a training batch, on bytes. Knows no file and no epoch: which image gets which is a function of the
 * generator and the image's place in the batch alone.
 */
import { invariant, usageError } from "../../shared/errors.ts";
import type { Rng } from "../../shared/rng.ts";

export interface BatchShape {
  readonly batchSize: number;
  readonly height: number;
  readonly width: number;
}

export interface Augmentation {
  /** Mirrors every second image, by chance, left to right. */
  readonly flip: boolean;
  /** Pixels an image is padded by on every side, mirrored at its border, before H×W are cut out of it at random; 0 for none. */
  readonly crop: number;
}

/** Where one image is cut from its padded self, 0 … 2·crop each, and whether it is mirrored afterwards. */
interface Draw {
  readonly flipped: boolean;
  readonly top: number;
  readonly left: number;
}

/**
 * @param images [B, H, W, 3]; not written to, and returned as they are if nothing is asked for.
 * @param rng image i draws from `rng.fork(i)`, and the same crop with and without flipping.
 * @returns [B, H, W, 3]
 * @throws usage error unless `crop` is an integer from 0 to below H and W.
 */
export function augment(images: Uint8Array, size: BatchShape, options: Augmentation, rng: Rng): Uint8Array {
  const { batchSize, height, width } = size;
  const { flip, crop } = options;
  checkCrop(crop, size);
  const imageBytes = height * width * 3;
  invariant(
    images.length === batchSize * imageBytes,
    `images must have shape [${batchSize}, ${height}, ${width}, 3], got ${images.length} bytes`,
  );
  if (!flip && crop === 0) return images;
  const augmented = new Uint8Array(images.length); // [B, H, W, 3]
  for (let i = 0; i < batchSize; i++) {
    const of = (batch: Uint8Array): Uint8Array => batch.subarray(i * imageBytes, (i + 1) * imageBytes); // [H, W, 3]
    const drawn = drawFor(rng.fork(i), crop);
    cut(of(images), of(augmented), { ...size, crop, ...drawn, flipped: flip && drawn.flipped });
  }
  return augmented;
}

function drawFor(rng: Rng, crop: number): Draw {
  const [flipped, top, left] = [rng.integer(2) === 1, rng.integer(2 * crop + 1), rng.integer(2 * crop + 1)];
  return { flipped, top, left };
}

function cut(from: Uint8Array, to: Uint8Array, how: BatchShape & Draw & { readonly crop: number }): void {
  const { height, width, flipped, top, left, crop } = how;
  const columns = Int32Array.from({ length: width }, (_, x) =>
    reflect((flipped ? width - 1 - x : x) + left - crop, width),
  );
  for (let y = 0; y < height; y++) {
    const row = reflect(y + top - crop, height) * width;
    for (let x = 0; x < width; x++) {
      const source = (row + (columns[x] ?? 0)) * 3;
      const target = (y * width + x) * 3;
      to[target] = from[source] ?? 0;
      to[target + 1] = from[source + 1] ?? 0;
      to[target + 2] = from[source + 2] ?? 0;
    }
  }
}

/** −1 → 1, length → length − 2: the border itself is not repeated. `i` is less than `length` outside. */
function reflect(i: number, length: number): number {
  const fromStart = Math.abs(i);
  return fromStart < length ? fromStart : 2 * (length - 1) - fromStart;
}

function checkCrop(crop: number, { height, width }: BatchShape): void {
  if (Number.isSafeInteger(crop) && crop >= 0 && crop < Math.min(height, width)) return;
  throw usageError({
    what: "crop is out of range",
    where: "crop",
    expected: `an integer from 0 to ${Math.min(height, width) - 1}, for images of ${height}×${width} pixels`,
    got: String(crop),
  });
}
