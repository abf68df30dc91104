import sharp, { type Sharp } from "sharp";
import { describe, expect, test } from "vitest";
import { failure } from "../../../shared/errors.ts";
import { createPreprocessing, decodeImage, decodeRecord } from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT, type Colour, noise, plain } from "./fixtures.ts";

const RED: Colour = [200, 30, 60];
const preprocessing = createPreprocessing([8, 8]);
const decode = (bytes: Uint8Array) => decodeImage(bytes, preprocessing, "photos/a.png");

/** The largest distance of any pixel from one colour. */
function distance(pixels: Uint8Array, colour: Colour): number {
  return Math.max(...pixels.map((value, i) => Math.abs(value - (colour[i % 3] ?? 0))));
}

/** [16, 16] frames of three colours, one after the other. */
function animation(): Sharp {
  const frames = [RED, [0, 255, 0] as const, [0, 0, 255] as const];
  const pixels = frames.flatMap((colour) => Array.from({ length: 256 }, () => colour).flat());
  return sharp(Uint8Array.from(pixels), { raw: { width: 16, height: 48, channels: 3, pageHeight: 16 } });
}

describe("every kind of image becomes [H, W, 3] in sRGB", () => {
  test.each([
    ["PNG", 0, () => plain(RED).png()],
    ["WebP", 3, () => plain(RED).webp()],
    ["JPEG", 3, () => plain(RED).jpeg()],
    ["GIF", 3, () => plain(RED).gif()],
    ["palette PNG", 0, () => plain(RED).png({ palette: true })],
    ["16-bit PNG", 1, () => plain(RED).toColourspace("rgb16").png()],
    ["CMYK JPEG", 32, () => plain(RED).toColourspace("cmyk").jpeg()], // a round trip through inks is that far off
    ["Display P3 PNG", 3, () => plain(RED).withIccProfile("p3").png()],
    ["opaque RGBA", 0, () => plain(RED).ensureAlpha().png()],
    ["animated WebP", 0, () => animation().webp({ lossless: true, delay: [10, 10, 10] })],
    ["animated GIF", 3, () => animation().gif({ delay: [10, 10, 10] })],
  ])("%s", async (_, tolerance, make) => {
    const pixels = await decode(await make().toBuffer());
    expect(pixels).toHaveLength(8 * 8 * 3);
    expect(distance(pixels, RED)).toBeLessThanOrEqual(tolerance);
  });

  test.each(["b-w", "grey16"])("grey (%s) has three equal channels", async (space) => {
    const pixels = await decode(await plain([90, 90, 90]).toColourspace(space).png().toBuffer());
    expect(distance(pixels, [90, 90, 90])).toBe(0);
  });

  test("raw grey, RGB and RGBA pixels", async () => {
    const raw = (pixels: number[], channels: 1 | 3 | 4) =>
      decodeImage({ pixels: Uint8Array.from(pixels), height: 1, width: 1, channels }, preprocessing, "row 1");
    expect(distance(await raw([77], 1), [77, 77, 77])).toBe(0);
    expect(distance(await raw([1, 2, 3], 3), [1, 2, 3])).toBe(0);
    expect(distance(await raw([1, 2, 3, 0], 4), [255, 255, 255])).toBe(0);
  });

  test.each(["srgb", "rgb16", "b-w", "grey16"])("transparency shows the background (%s)", async (space) => {
    const clear = sharp({ create: { height: 8, width: 8, channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0 } } });
    const onBlue = createPreprocessing([8, 8], { background: [10, 20, 250] });
    const pixels = await decodeImage(await clear.toColourspace(space).png().toBuffer(), onBlue, "clear.png");
    expect(distance(pixels, [10, 20, 250])).toBe(0);
  });

  test("pixels of the wanted size come through unchanged", async () => {
    const pixels = noise(8, 8);
    const png = await sharp(pixels, { raw: { height: 8, width: 8, channels: 3 } })
      .png()
      .toBuffer();
    expect(await decode(png)).toEqual(pixels);
  });
});

test("EXIF orientation: the rotated file decodes to the upright one's pixels", async () => {
  const upright = sharp(noise(8, 12), { raw: { height: 8, width: 12, channels: 3 } });
  const plainPng = await upright.png().toBuffer();
  const wide = createPreprocessing([8, 12]);
  const expected = await decodeImage(plainPng, wide, "upright");
  for (const [orientation, turn] of [
    [3, 180],
    [6, 270],
    [8, 90],
  ] as const) {
    const turned = await sharp(plainPng).rotate(turn).withMetadata({ orientation }).png().toBuffer();
    expect(await decodeImage(turned, wide, `orientation ${orientation}`)).toEqual(expected);
  }
});

describe("fit", () => {
  // Left half red, right half blue, twice as wide as high.
  const halves = sharp(
    Uint8Array.from(
      { length: 16 * 32 * 3 },
      (_, i) => (Math.floor(i / 3) % 32 < 16 ? [255, 0, 0] : [0, 0, 255])[i % 3] ?? 0,
    ),
    { raw: { height: 16, width: 32, channels: 3 } },
  );
  const at = async (fit: "cover" | "contain" | "fill") => {
    const change = { fit, kernel: "nearest", background: [0, 255, 0] } as const;
    const pixels = await decodeImage(await halves.png().toBuffer(), createPreprocessing([8, 8], change), fit);
    return (row: number, column: number) => [...pixels.subarray((row * 8 + column) * 3, (row * 8 + column) * 3 + 3)];
  };
  test("contain pads above and below", async () => {
    const pixel = await at("contain");
    expect([pixel(0, 0), pixel(7, 7), pixel(4, 0), pixel(4, 7)]).toEqual([
      [0, 255, 0],
      [0, 255, 0],
      [255, 0, 0],
      [0, 0, 255],
    ]);
  });
  test.each(["cover", "fill"] as const)("%s fills the frame", async (fit) => {
    const pixel = await at(fit);
    expect([pixel(0, 0), pixel(7, 3), pixel(0, 4), pixel(7, 7)]).toEqual([
      [255, 0, 0],
      [255, 0, 0],
      [0, 0, 255],
      [0, 0, 255],
    ]);
  });
});

test("drawings are rendered at their final size: an edge on the pixel grid stays sharp", async () => {
  const drawing = (blank: string) =>
    new TextEncoder().encode(
      `${blank}<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><path fill="#f00" d="M0 0h2v4H0z"/></svg>`,
    );
  for (const blank of ["", "\ufeff\n  "]) {
    const pixels = await decodeImage(drawing(blank), createPreprocessing([64, 64]), "edge.svg");
    const row = [...pixels.subarray(0, 64 * 3)];
    expect(row).toEqual(
      [...Array.from({ length: 32 }, () => [255, 0, 0]), ...Array.from({ length: 32 }, () => [255, 255, 255])].flat(),
    );
  }
});

describe("bad input names the image", () => {
  const photo = sharp(noise(64, 64), { raw: { height: 64, width: 64, channels: 3 } });
  const half = (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1);
  test.each([
    ["zero bytes", () => Promise.resolve(new Uint8Array(0))],
    ["text named .png", () => Promise.resolve(new TextEncoder().encode("hello, this is text"))],
    ["truncated PNG", async () => half(await photo.png().toBuffer())],
    ["truncated JPEG", async () => half(await photo.jpeg().toBuffer())],
    ["truncated WebP", async () => half(await photo.webp().toBuffer())],
    ["PNG header alone", async () => (await photo.png().toBuffer()).subarray(0, 8)],
    ["broken drawing", () => Promise.resolve(new TextEncoder().encode("<svg><not closed"))],
    ["20,000×20,000 PNG", () => Promise.resolve(hugePng())],
  ])("%s", async (_, make) => {
    const error: unknown = await decode(await make()).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject(BAD_INPUT);
    expect(String(error)).toContain("photos/a.png");
  });

  test("too many pixels are refused by the header: the pixel data is never looked at", async () => {
    await expect(decode(hugePng())).rejects.toThrow(/pixel limit/);
  });

  test("pixels that do not fill their shape", async () => {
    const content = { pixels: new Uint8Array(11), height: 2, width: 2, channels: 3 } as const;
    await expect(decodeImage(content, preprocessing, "row 7")).rejects.toMatchObject(BAD_INPUT);
  });

  test("decodeRecord gives bad input back as a value, and throws what is no fault of the image", async () => {
    const record = { key: "k", family: "k", read: () => Promise.reject(new Error("EACCES")) };
    expect(await decodeRecord(record, preprocessing)).toMatchObject({ ok: false, failure: BAD_INPUT });
    const unlucky = { ...record, read: () => Promise.reject(failure({ what: "the network is down" })) };
    await expect(decodeRecord(unlucky, preprocessing)).rejects.toMatchObject({ code: "failure" });
  });
});

/** A PNG whose header promises 20,000×20,000 pixels and whose data is garbage: only a refusal by header can name the limit. */
function hugePng(): Uint8Array {
  const header = Buffer.alloc(33);
  header.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13]);
  header.write("IHDR", 12, "ascii");
  header.writeUInt32BE(20_000, 16);
  header.writeUInt32BE(20_000, 20);
  header.set([8, 2, 0, 0, 0], 24);
  header.writeUInt32BE(crc32(header.subarray(12, 29)), 29);
  const data = Buffer.from("\0\0\0\x04IDATjunk\0\0\0\0", "latin1");
  data.writeUInt32BE(crc32(data.subarray(4, 12)), 12);
  return Buffer.concat([header, data]);
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
