/** Which grids become frames, and that open tokens are grey and nothing else is. */
import { expect, test } from "vitest";
import { drawFrames, keepFrames } from "../../pipelines/film.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import type { Tokenizer } from "../../stage1-tokenizer/index.ts";
import type { SampleSteps } from "../../stage2-prior/index.ts";

/** Uncovers one token a step, in one array that it goes on changing. */
async function* counting(steps: number): SampleSteps {
  const grid: TokenGrid = { tokens: new Int32Array(steps).fill(UNKNOWN), shape: [1, 1, steps] };
  for (let step = 1; step <= steps; step++) {
    grid.tokens[step - 1] = step;
    yield await Promise.resolve({ step, steps, grid });
  }
  return grid;
}

const known = (grid: TokenGrid): number => grid.tokens.filter((token) => token !== UNKNOWN).length;

test.each([
  [5, 24, [1, 2, 3, 4, 5]],
  [10, 5, [2, 4, 6, 8, 10]],
  [7, 3, [3, 5, 7]],
])("of %d steps at most %d are kept, evenly, as they were", async (steps, most, expected) => {
  const { grid, frames } = await keepFrames(counting(steps), most);
  expect(frames.map(known)).toEqual(expected);
  expect(known(grid)).toBe(steps);
});

/** Paints a cell of 2×3 pixels in its token's number; refuses an open token as the real one does. */
const tokenizer = {
  spec: { fingerprint: "", codebookSize: 50, grid: [2, 2], imageSize: [4, 6] },
  decode: ({ tokens, shape }: TokenGrid) => {
    expect(tokens).not.toContain(UNKNOWN);
    const images = new Uint8Array(shape[0] * 72);
    images.forEach((_, i) => {
      const [image, y, x] = [Math.floor(i / 72), Math.floor(i / 18) % 4, Math.floor(i / 3) % 6];
      images[i] = tokens[image * 4 + (y >> 1) * 2 + Math.floor(x / 3)] ?? 0;
    });
    return Promise.resolve(images);
  },
} as unknown as Tokenizer;

test("cells of open tokens are grey, all others as decoded", async () => {
  const frame: TokenGrid = { tokens: Int32Array.of(11, UNKNOWN, 13, 14, UNKNOWN, UNKNOWN, 23, 24), shape: [2, 2, 2] };
  const sheets = await drawFrames(tokenizer, [frame, { ...frame, tokens: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8) }]);
  const counts = sheets.map(({ pixels }) => {
    const seen = new Map<number, number>();
    for (const value of pixels) seen.set(value, (seen.get(value) ?? 0) + 1);
    return seen;
  });
  const cell = 2 * 3 * 3 * 4; // pixels of three bytes, drawn at twice the size
  expect([11, 13, 14, 23, 24, 0x90].map((value) => counts[0]?.get(value))).toEqual([cell, cell, cell, cell, cell, 3 * cell]); // prettier-ignore
  expect([1, 2, 3, 4, 5, 6, 7, 8].map((value) => counts[1]?.get(value))).toEqual(Array(8).fill(cell));
  expect(counts[1]?.has(0x90)).toBe(false);
});
