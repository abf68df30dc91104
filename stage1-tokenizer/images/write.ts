/**
 * Pixels → PNG files: single images and contact sheets to look at. Knows no model, and no system font (see `bitmap-font.ts`).
 */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import sharp from "sharp";
import { failure, usageError } from "../../shared/errors.ts";
import { drawText, textSize } from "./bitmap-font.ts";

/** One picture of a sheet. */
export interface Tile {
  /** [height, width, 3] */
  readonly pixels: Uint8Array;
  readonly height: number;
  readonly width: number;
}

export interface SheetLayout {
  readonly rows: readonly (readonly Tile[])[];
  /** Drawn left of the rows, one for each; "\n" breaks a line. */
  readonly rowLabels?: readonly string[];
  /** Each pixel becomes scale×scale pixels; 2 unless said otherwise. */
  readonly scale?: number;
  /** Pixels around each tile; 4 unless said otherwise. */
  readonly margin?: number;
}

const PAPER = 0xf4;
const INK = 0x30;
const TEXT_SCALE = 2;

/**
 * @param pixels [height, width, 3]
 * @throws usage error if the pixels do not fill the shape.
 */
export async function encodePng(pixels: Uint8Array, height: number, width: number): Promise<Buffer> {
  checkTile({ pixels, height, width }, "encodePng");
  return sharp(pixels, { raw: { height, width, channels: 3 } })
    .png()
    .toBuffer();
}

/** Writes a sheet as PNG, whole or not at all; makes the folder if need be. @throws failure if the disk refuses. */
export async function writeSheet({ path, ...layout }: SheetLayout & { readonly path: string }): Promise<void> {
  const { pixels, height, width } = drawSheet(layout);
  await writeWhole(path, await encodePng(pixels, height, width), "sheet");
}

/** Writes a file, whole or not at all; makes the folder if need be. @throws failure if the disk refuses. */
export async function writeWhole(path: string, bytes: Uint8Array, kind: string): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(partial, bytes);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => undefined);
    const todo = "Check that the folder can be written to and the disk has room.";
    throw failure({ what: `${kind} cannot be written`, where: path, todo, cause });
  }
}

/**
 * Lays tiles out on a grid, all cells as large as the largest tile; rows may differ in length.
 * @throws usage error if there is no tile, a tile's pixels do not fill its shape, or labels and rows differ in number.
 */
export function drawSheet({ rows, rowLabels = [], scale = 2, margin = 4 }: SheetLayout): Tile {
  const tiles = rows.flat();
  checkLayout({ rows, rowLabels, scale, margin });
  const cellHeight = Math.max(...tiles.map((tile) => tile.height)) * scale + margin;
  const cellWidth = Math.max(...tiles.map((tile) => tile.width)) * scale + margin;
  const labelWidth = Math.max(0, ...rowLabels.map((label) => textSize(label).width * TEXT_SCALE + 2 * margin));
  const labelHeight = Math.max(0, ...rowLabels.map((label) => textSize(label).height * TEXT_SCALE + margin));
  const rowHeight = Math.max(cellHeight, labelHeight);
  const height = rows.length * rowHeight + margin;
  const width = labelWidth + Math.max(...rows.map((row) => row.length)) * cellWidth + margin;
  const sheet: Tile = { pixels: new Uint8Array(height * width * 3).fill(PAPER), height, width };
  rows.forEach((row, r) => {
    const top = margin + r * rowHeight;
    row.forEach((tile, c) => paste(sheet, tile, { top, left: labelWidth + margin + c * cellWidth, scale }));
    const label = rowLabels[r] ?? "";
    const middle = top + Math.floor((rowHeight - margin - textSize(label).height * TEXT_SCALE) / 2);
    drawText(label, (y, x) => {
      fillSquare(sheet, { top: middle + y * TEXT_SCALE, left: margin + x * TEXT_SCALE, side: TEXT_SCALE });
    });
  });
  return sheet;
}

function paste(sheet: Tile, tile: Tile, place: { top: number; left: number; scale: number }): void {
  const { top, left, scale } = place;
  for (let y = 0; y < tile.height * scale; y++) {
    for (let x = 0; x < tile.width * scale; x++) {
      const from = (Math.floor(y / scale) * tile.width + Math.floor(x / scale)) * 3;
      sheet.pixels.set(tile.pixels.subarray(from, from + 3), ((top + y) * sheet.width + left + x) * 3);
    }
  }
}

function fillSquare(sheet: Tile, { top, left, side }: { top: number; left: number; side: number }): void {
  for (let y = top; y < top + side; y++) {
    sheet.pixels.fill(INK, (y * sheet.width + left) * 3, (y * sheet.width + left + side) * 3);
  }
}

function checkLayout({ rows, rowLabels, scale, margin }: Required<SheetLayout>): void {
  const where = "contact sheet";
  if (rows.flat().length === 0) throw usageError({ what: "there is nothing to draw", where, expected: "a tile" });
  rows.flat().forEach((tile) => checkTile(tile, where));
  if (rowLabels.length > 0 && rowLabels.length !== rows.length) {
    const [expected, got] = [`${rows.length} labels`, String(rowLabels.length)];
    throw usageError({ what: "labels and rows differ in number", where, expected, got });
  }
  if (!Number.isSafeInteger(scale) || scale < 1 || !Number.isSafeInteger(margin) || margin < 0) {
    const expected = "an integer scale ≥ 1 and an integer margin ≥ 0";
    throw usageError({ what: "layout is out of range", where, expected, got: `scale ${scale}, margin ${margin}` });
  }
}

function checkTile({ pixels, height, width }: Tile, where: string): void {
  if (pixels.length === height * width * 3 && pixels.length > 0) return;
  throw usageError({
    what: "pixels do not fill their shape",
    where,
    expected: `${height}×${width}×3 = ${height * width * 3} bytes, at least one`,
    got: String(pixels.length),
  });
}
