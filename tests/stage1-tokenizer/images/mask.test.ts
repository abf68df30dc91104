/** Pictures and masks by their paths: which pixels are marked, and that both go through one geometry. */
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { describe, expect, test } from "vitest";
import {
  createPreprocessing,
  decodeImage,
  fitMask,
  openPicture,
  readMask,
  type Mask,
} from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT, plain, withFolder } from "./fixtures.ts";

const rows = ({ cells, width }: Mask): string[] =>
  Array.from({ length: cells.length / width }, (_, y) => cells.subarray(y * width, (y + 1) * width).join(""));

/** One row of RGBA pixels. */
const row = (...pixels: readonly (readonly number[])[]): Sharp =>
  sharp(Uint8Array.from(pixels.flat()), { raw: { width: pixels.length, height: 1, channels: 4 } });
const grey = (value: number, alpha = 255): number[] => [value, value, value, alpha];

async function maskOf(image: Sharp, size = { height: 1, width: 4 }): Promise<Mask> {
  let mask: Mask | undefined;
  await withFolder({ "mask.png": await image.png().toBuffer() }, async (root) => {
    mask = await readMask(await openPicture(join(root, "mask.png")), { path: "photo.png", bytes: new Uint8Array(), ...size }); // prettier-ignore
  });
  if (mask === undefined) throw new Error("no mask");
  return mask;
}

describe("pictures", () => {
  test("have their upright size", async () => {
    const turned = await plain([1, 2, 3], 5, 9).jpeg().withMetadata({ orientation: 6 }).toBuffer();
    await withFolder({ "a.jpg": turned, "b.png": await plain([1, 2, 3], 5, 9).png().toBuffer() }, async (root) => {
      expect(await openPicture(join(root, "a.jpg"))).toMatchObject({ height: 9, width: 5 });
      expect(await openPicture(join(root, "b.png"))).toMatchObject({ height: 5, width: 9 });
    });
  });

  test("that are missing, folders, empty or no images are bad input, by their path", async () => {
    await withFolder({ "empty.png": "", "text.png": "not an image" }, async (root) => {
      for (const name of ["missing.png", ".", "empty.png", "text.png"]) {
        const path = join(root, name);
        await expect(openPicture(path)).rejects.toMatchObject({
          ...BAD_INPUT,
          message: expect.stringContaining(path) as string,
        });
      }
    });
  });
});

describe("masks", () => {
  test("half bright or brighter is marked", async () => {
    expect(rows(await maskOf(row(grey(127), grey(128), grey(0), grey(255))))).toEqual(["0101"]);
    // Green is most of what the eye calls bright, blue the least.
    const colours = row([0, 255, 0, 255], [0, 0, 255, 255], [255, 0, 0, 255], [255, 255, 0, 255]);
    expect(rows(await maskOf(colours))).toEqual(["1001"]);
    const onlyGrey = row(grey(127), grey(128), grey(0), grey(255)).removeAlpha().toColourspace("b-w");
    expect(rows(await maskOf(onlyGrey))).toEqual(["0101"]);
  });

  test("brightness counts as much as its pixel is opaque", async () => {
    expect(rows(await maskOf(row(grey(255, 0), grey(255, 127), grey(255, 128), grey(200, 128))))).toEqual(["0010"]);
  });

  test("of another size than the picture are bad input, with both sizes", async () => {
    await expect(maskOf(plain([255, 255, 255], 3, 5))).rejects.toMatchObject({
      ...BAD_INPUT,
      message: expect.stringMatching(/photo\.png.*4×1.*5×3/) as string,
    });
  });

  test("of the tokenizer's own size go through as they are", async () => {
    const cells = Uint8Array.from({ length: 64 }, (_, i) => (i * 7) % 3 === 0 ? 1 : 0); // prettier-ignore
    const mask = { cells, height: 8, width: 8 };
    expect(await fitMask(mask, createPreprocessing([8, 8]), "mask")).toEqual(mask);
  });

  test.each(["cover", "contain", "fill"] as const)("go where the picture's pixels go (%s)", async (fit) => {
    const [height, width] = [32, 48];
    const cells = new Uint8Array(height * width);
    for (let y = 8; y < 16; y++) cells.fill(1, y * width + 24, y * width + 36);
    const preprocessing = createPreprocessing([16, 16], { fit, kernel: "linear", background: [0, 0, 0] });
    const fitted = await fitMask({ cells, height, width }, preprocessing, "mask");
    const drawn = { pixels: cells.map((cell) => cell * 255), height, width, channels: 1 } as const;
    const picture = await decodeImage(drawn, preprocessing, "picture");
    fitted.cells.forEach((cell, i) => {
      const value = picture[3 * i] ?? 0;
      if (value > 100) expect(cell).toBe(1);
      if (value < 30) expect(cell).toBe(0);
    });
    expect(fitted.cells.includes(1)).toBe(true);
  });

  test("a stroke thinner than a pixel of the result is not lost, and an aligned edge does not swell", async () => {
    const preprocessing = createPreprocessing([8, 8]);
    const fit = (marked: (x: number) => boolean) =>
      fitMask(
        { cells: Uint8Array.from({ length: 1024 }, (_, i) => (marked(i % 32) ? 1 : 0)), height: 32, width: 32 },
        preprocessing,
        "mask",
      );
    expect(rows(await fit((x) => x === 13 || x === 14))[3]).toBe("00010000");
    expect(rows(await fit((x) => x >= 16))[3]).toBe("00001111");
  });
});
