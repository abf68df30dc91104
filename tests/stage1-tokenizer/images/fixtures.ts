/** Images and folders made on the spot. Knows nothing of the code under test but its interface. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import type { ImageRecord } from "../../../stage1-tokenizer/images/index.ts";

export type Colour = readonly [r: number, g: number, b: number];

/** A one-coloured image, ready for `.png()`, `.jpeg()`, … */
export function plain([r, g, b]: Colour, height = 12, width = 12): Sharp {
  return sharp({ create: { height, width, channels: 3, background: { r, g, b } } });
}

/** [height, width, 3] with no two alike rows: noise that does not compress away. */
export function noise(height: number, width: number): Uint8Array {
  return Uint8Array.from({ length: height * width * 3 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 255);
}

/** A valid PNG of one grey that unpacks to height × width pixels. */
export function pngOfSize(height: number, width: number): Uint8Array {
  const size = Buffer.alloc(13);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  size.set([1, 0, 0, 0, 0], 8); // 1 bit, grey
  const rows = deflateSync(Buffer.alloc(height * (1 + Math.ceil(width / 8))), { level: 1 });
  return Buffer.concat([
    Buffer.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    ...[chunk("IHDR", size), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))],
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  let crc = ~0;
  for (const byte of body) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeInt32BE(~crc, 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

/** Runs `use` with an empty folder, holding `files` (path → bytes), and removes it. */
export async function withFolder(
  files: Readonly<Record<string, Uint8Array | string>>,
  use: (root: string) => Promise<void>,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "tessera-images-"));
  try {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), content);
    }
    await use(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Record i is one pixel [i, 2i, 3i] mod 256; those in `broken` are no image. Counts its reads. */
export function pixelRecords(count: number, broken: ReadonlySet<number> = new Set()) {
  const reads = new Map<string, number>();
  const records = Array.from({ length: count }, (_, i): ImageRecord => {
    const key = `image-${i}`;
    const read = () => {
      reads.set(key, (reads.get(key) ?? 0) + 1);
      if (broken.has(i)) return Promise.resolve(new TextEncoder().encode("not an image"));
      const pixels = Uint8Array.of(i, 2 * i, 3 * i);
      return Promise.resolve({ pixels, height: 1, width: 1, channels: 3 as const });
    };
    return i % 2 === 0 ? { key, family: key, label: i % 3, read } : { key, family: key, read };
  });
  return { records, reads };
}

/** What `badInput` looks like from outside. */
export const BAD_INPUT = { name: "TesseraError", code: "bad-input", exitCode: 3 };
export const USAGE = { name: "TesseraError", code: "usage", exitCode: 2 };
