/** Masks for tests: drawn in text, or any at all. */
import fc from "fast-check";
import type { Mask } from "../../../stage1-tokenizer/index.ts";

/** Rows of "." and "#", apart by a blank. */
export function maskOf(drawing: string): Mask {
  const rows = drawing.split(" ");
  const cells = Uint8Array.from(rows.join(""), (character) => (character === "#" ? 1 : 0));
  return { cells, height: rows.length, width: rows[0]?.length ?? 0 };
}

const side = fc.integer({ min: 1, max: 8 });

export const masks = (size?: { height: number; width: number }): fc.Arbitrary<Mask> =>
  (size === undefined ? fc.record({ height: side, width: side }) : fc.constant(size)).chain(({ height, width }) =>
    fc
      .uint8Array({ min: 0, max: 1, minLength: height * width, maxLength: height * width })
      .map((cells) => ({ cells, height, width })),
  );
