/** Images being uncovered, as pictures: token grids kept on the way, decoded with a grey cell for every token still open. */
import { UNKNOWN, type TokenGrid } from "../shared/tokens.ts";
import { drawSheet, type Tile, type Tokenizer } from "../stage1-tokenizer/index.ts";
import type { SampleSteps } from "../stage2-prior/index.ts";
import { GREY, toRows, toTiles } from "./sheets.ts";

/** Frames of a film, but where there are fewer steps. */
export const FRAMES = 24;

/**
 * Runs a sampler to its end.
 * @param most how many grids to keep, evenly over the steps, the last one among them
 */
export async function keepFrames(steps: SampleSteps, most = FRAMES): Promise<{ grid: TokenGrid; frames: TokenGrid[] }> {
  const frames: TokenGrid[] = [];
  for (;;) {
    const { done, value } = await steps.next();
    if (done === true) return { grid: value, frames };
    const due = (step: number): number => Math.floor((step * most) / value.steps);
    if (due(value.step) === due(value.step - 1)) continue;
    frames.push({ tokens: Int32Array.from(value.grid.tokens), shape: value.grid.shape });
  }
}

/** One sheet a grid. */
export async function drawFrames(tokenizer: Tokenizer, frames: readonly TokenGrid[]): Promise<Tile[]> {
  const sheets: Tile[] = [];
  for (const frame of frames) sheets.push(drawSheet({ rows: toRows(await decodeOpen(tokenizer, frame)) }));
  return sheets;
}

/** One picture an image. A decoder has no notion of an open token: it sees code 0 there, and what it paints is covered. */
export async function decodeOpen(tokenizer: Tokenizer, frame: TokenGrid): Promise<Tile[]> {
  const filled = frame.tokens.map((token) => (token === UNKNOWN ? 0 : token));
  const tiles = toTiles(await tokenizer.decode({ tokens: filled, shape: frame.shape }), tokenizer.spec.imageSize);
  tiles.forEach((tile, image) => {
    coverOpen(tile, frame, image);
  });
  return tiles;
}

/** Paints the cells of one image's open tokens, in place. */
function coverOpen({ pixels, height, width }: Tile, { tokens, shape }: TokenGrid, image: number): void {
  const [, rows, columns] = shape;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const position = Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width);
      if (tokens[image * rows * columns + position] === UNKNOWN) pixels.fill(GREY, (y * width + x) * 3, (y * width + x + 1) * 3); // prettier-ignore
    }
  }
}
