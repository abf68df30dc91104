/** Picture + what to redraw in it, or around it → completions: inpainting, outpainting and the swap of a class, by any prior. */
import { badInput } from "../shared/errors.ts";
import { decodeImage, fitMask, type Mask, type Picture, type Tile } from "../stage1-tokenizer/index.ts";
import { completeCanvas, type Canvas, type Completing, type Completion } from "./edit/canvas.ts";
import { hasMarks } from "./edit/mask.ts";
import { shade } from "./edit/pixels.ts";
import { extend, type Margins } from "./edit/places.ts";
import { checkPair } from "./sampling.ts";

/** What to draw anew. */
export type Gap =
  /** `mask` is of the picture's own size; `where` names it in errors. */
  | { readonly kind: "inside"; readonly mask: Mask; readonly where: string }
  | { readonly kind: "around"; readonly margins: Margins };

export interface CompleteOptions extends Completing {
  readonly picture: Picture;
  readonly gap: Gap;
}

export interface Completed extends Completion {
  /** As the tokenizer takes it. */
  readonly original: Tile;
  /** The canvas with a grey gap. */
  readonly masked: Tile;
  /** Encoding, sampling and decoding, without loading. */
  readonly secondsPerImage: number;
}

/**
 * @throws bad-input (exit 3) if the picture cannot be decoded or nothing of it is marked; usage for what does not fit; mismatch (exit 4) if
 *   the prior learnt the tokens of another tokenizer
 */
export async function complete({ picture, gap, ...how }: CompleteOptions): Promise<Completed> {
  const { tokenizer, prior, count } = how;
  checkPair(tokenizer, prior);
  const { preprocessing } = tokenizer;
  const [height, width] = preprocessing.size;
  const pixels = await decodeImage(picture.bytes, preprocessing, picture.path);
  const original: Tile = { pixels, height, width };
  const start = performance.now();
  const canvas: Canvas =
    gap.kind === "around"
      ? { ...extend(original, gap.margins), blank: true }
      : { picture: original, open: marked(await fitMask(gap.mask, preprocessing, gap.where), gap.where), blank: false };
  const completion = await completeCanvas(canvas, how);
  const secondsPerImage = (performance.now() - start) / 1000 / count;
  return { ...completion, original, masked: shade(canvas.picture, canvas.open), secondsPerImage };
}

function marked(mask: Mask, where: string): Mask {
  if (hasMarks(mask)) return mask;
  throw badInput({
    what: "nothing is marked of the picture as the tokenizer takes it",
    where,
    expected: `at least one pixel to redraw, of ${mask.width}×${mask.height}`,
    got: "none",
    todo: "In a mask, bright is redrawn and dark is kept. The tokenizer may have cropped away the edges, or shrunk a fine mark to nothing.",
  });
}
