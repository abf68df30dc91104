import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { drawText, textSize } from "../../../stage1-tokenizer/images/bitmap-font.ts";
import { drawSheet, encodePng, type Tile, writeSheet } from "../../../stage1-tokenizer/images/index.ts";
import { noise, USAGE, withFolder } from "./fixtures.ts";

const tile = (height: number, width: number): Tile => ({ pixels: noise(height, width), height, width });

test("decoding an encoded PNG gives the pixels back", async () => {
  const png = await encodePng(noise(5, 9), 5, 9);
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  expect([info.height, info.width, info.channels]).toEqual([5, 9, 3]);
  expect(new Uint8Array(data)).toEqual(noise(5, 9));
});

test("every tile stands whole at its place, each pixel scale×scale times, the margin around it untouched", () => {
  const [scale, margin] = [3, 2];
  const rows = [[tile(4, 5), tile(4, 5)], [tile(4, 5)]];
  const sheet = drawSheet({ rows, scale, margin });
  expect([sheet.height, sheet.width]).toEqual([2 * (4 * scale + margin) + margin, 2 * (5 * scale + margin) + margin]);
  const paper = sheet.pixels[0];
  const seen = sheet.pixels.slice().fill(0);
  rows.forEach((row, r) =>
    row.forEach(({ pixels }, c) => {
      for (let y = 0; y < 4 * scale; y++) {
        for (let x = 0; x < 5 * scale * 3; x++) {
          const at =
            ((margin + r * (4 * scale + margin) + y) * sheet.width + margin + c * (5 * scale + margin)) * 3 + x;
          const from = (Math.floor(y / scale) * 5 + Math.floor(x / 3 / scale)) * 3 + (x % 3);
          if (sheet.pixels[at] !== pixels[from]) throw new Error(`pixel ${y}, ${x} of tile ${r}, ${c}`);
          seen[at] = 1;
        }
      }
    }),
  );
  expect(sheet.pixels.every((value, i) => seen[i] === 1 || value === paper)).toBe(true);
});

test("labels widen the sheet and leave the tiles alone", () => {
  const rows = [[tile(32, 32)], [tile(32, 32)]];
  const bare = drawSheet({ rows });
  const labelled = drawSheet({ rows, rowLabels: ["causal", "mask\nGIT 8"] });
  const shift = labelled.width - bare.width;
  expect(shift).toBeGreaterThan(0);
  expect(labelled.height).toBe(bare.height);
  for (let y = 0; y < bare.height; y++) {
    const right = labelled.pixels.subarray((y * labelled.width + shift) * 3, (y + 1) * labelled.width * 3);
    expect(right).toEqual(bare.pixels.subarray(y * bare.width * 3, (y + 1) * bare.width * 3));
  }
  expect(
    labelled.pixels.filter((value, i) => i % (labelled.width * 3) < shift * 3 && value < 128).length,
  ).toBeGreaterThan(0);
});

test("text stays inside its size; characters differ; unknown ones are drawn too", () => {
  const drawn = (text: string) => {
    const { height, width } = textSize(text);
    const dots: string[] = [];
    drawText(text, (row, column) => {
      expect(row).toBeLessThan(height);
      expect(column).toBeLessThan(width);
      dots.push(`${row},${column}`);
    });
    return dots.join(" ");
  };
  const characters = Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-_+=/%()#?");
  expect(new Set(characters.map(drawn)).size).toBe(characters.length);
  expect(drawn("a\nb")).toBe(drawn("A\nB"));
  expect(drawn("?")).not.toBe("");
});

test("a sheet is written whole, into a new folder, without leftovers", () =>
  withFolder({}, async (root) => {
    const path = join(root, "sheets/new/a.png");
    await writeSheet({ path, rows: [[tile(4, 4)]] });
    expect(await readdir(join(root, "sheets/new"))).toEqual(["a.png"]);
    const { width, height } = await sharp(await readFile(path)).metadata();
    expect([height, width]).toEqual([16, 16]);
  }));

test("a path that cannot be written to is a failure that names it", () =>
  withFolder({ file: "in the way" }, async (root) => {
    const path = join(root, "file/a.png");
    const error: unknown = await writeSheet({ path, rows: [[tile(4, 4)]] }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "TesseraError", code: "failure" });
    expect(String(error)).toContain(path);
  }));

test("nothing to draw, pixels that do not fill their shape, and labels that do not match are usage errors", async () => {
  const rows = [[tile(4, 4)]];
  expect(() => drawSheet({ rows: [[]] })).toThrow(expect.objectContaining(USAGE));
  expect(() => drawSheet({ rows: [[{ ...tile(4, 4), width: 5 }]] })).toThrow(expect.objectContaining(USAGE));
  expect(() => drawSheet({ rows, rowLabels: ["a", "b"] })).toThrow(expect.objectContaining(USAGE));
  expect(() => drawSheet({ rows, scale: 1.5 })).toThrow(expect.objectContaining(USAGE));
  await expect(encodePng(new Uint8Array(5), 1, 2)).rejects.toMatchObject(USAGE);
});
