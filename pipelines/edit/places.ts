/** Where to redraw, in words: a rectangle within a picture, or margins around it. Knows no pixel. */
import { z } from "zod";
import { usageError } from "../../shared/errors.ts";
import type { Mask, Tile } from "../../stage1-tokenizer/index.ts";
import { invertMask, rectangleMask, type Rectangle } from "./mask.ts";
import { paste } from "./pixels.ts";

export const SIDES = ["left", "right", "top", "bottom"] as const;
/** Pixels to add on each side. */
export type Margins = Readonly<Record<(typeof SIDES)[number], number>>;

const WHOLE = /^\d{1,6}$/;

/** `x,y,width,height`, whole numbers of pixels. */
export const RegionSchema = z.string().transform((text, context): Rectangle => {
  const parts = text.split(",").map((part) => part.trim());
  const [x = 0, y = 0, width = 0, height = 0] = parts.map(Number);
  if (parts.length !== 4 || !parts.every((part) => WHOLE.test(part)) || width === 0 || height === 0) {
    context.addIssue("expected x,y,width,height in whole pixels, the last two above 0");
  }
  return { x, y, width, height };
});

/** `left=24,right=24`, whole numbers of pixels; sides left out are not added to. */
export const MarginsSchema = z.string().transform((text, context): Margins => {
  const given = text.split(",").map((part) => part.split("=").map((word) => word.trim()));
  const margins: Margins = { left: 0, right: 0, top: 0, bottom: 0 };
  const understood = given.every(
    ([side = "", amount = "", ...more]) => Object.hasOwn(margins, side) && WHOLE.test(amount) && more.length === 0,
  );
  const once = new Set(given.map(([side]) => side)).size === given.length;
  const wanted = Object.fromEntries(given.map(([side = "", amount]) => [side, Number(amount)] as const));
  if (!understood || !once || Object.values(wanted).every((amount) => amount === 0)) {
    context.addIssue(`expected each of ${SIDES.join(", ")} at most once, as left=24,top=8, at least one above 0`);
  }
  return { ...margins, ...wanted };
});

/** @throws usage if a part of the rectangle lies outside the picture */
export function checkRegion({ x, y, width, height }: Rectangle, picture: Pick<Mask, "height" | "width">): void {
  if (x + width <= picture.width && y + height <= picture.height) return;
  throw usageError({
    what: "the region reaches out of the picture",
    where: "--region",
    expected: `x + width ≤ ${picture.width}, y + height ≤ ${picture.height}`,
    got: `${x} + ${width}, ${y} + ${height}`,
    todo: "Count in pixels of the picture as it is given; to go beyond its edges there is --outpaint.",
  });
}

/**
 * A canvas with a picture in it and nothing around: as many pixels on each side as asked for.
 * @throws usage if a margin is larger than the picture's own side
 */
export function extend(picture: Tile, margins: Margins): { readonly picture: Tile; readonly open: Mask } {
  const { left, right, top, bottom } = margins;
  for (const side of SIDES) {
    const most = side === "left" || side === "right" ? picture.width : picture.height;
    if (margins[side] > most) throw tooWide(side, margins[side], most);
  }
  const [height, width] = [top + picture.height + bottom, left + picture.width + right];
  const place = { x: left, y: top, height: picture.height, width: picture.width };
  const empty: Tile = { pixels: new Uint8Array(height * width * 3), height, width };
  return { picture: paste(empty, picture.pixels, place), open: invertMask(rectangleMask(place, { height, width })) };
}

const tooWide = (side: string, got: number, most: number) =>
  usageError({
    what: "there is no more than a picture's side to be drawn on each side of it",
    where: `--outpaint ${side}`,
    expected: `0 … ${most} pixels, counted at the tokenizer's size`,
    got: String(got),
    todo: "Go further from a result, in a second call.",
  });
