import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { type Tile, writeFilm } from "../../../stage1-tokenizer/images/index.ts";
import { noise, USAGE, withFolder } from "./fixtures.ts";

const frame = (height: number, width: number, value: number): Tile => ({
  pixels: noise(height, width).map((byte) => byte ^ value),
  height,
  width,
});
const times = { delay: 80, lastDelay: 900 } as const;

test("a film holds every frame, pixel by pixel, with its delay, and begins again", async () => {
  await withFolder({}, async (folder) => {
    const frames = [0, 1, 2].map((value) => frame(6, 9, value));
    const path = join(folder, "new", "film.webp");
    await writeFilm({ path, frames, ...times });
    expect(await readdir(join(folder, "new"))).toEqual(["film.webp"]);
    const bytes = await readFile(path);
    expect(await sharp(bytes).metadata()).toMatchObject({ format: "webp", pages: 3, loop: 0, delay: [80, 80, 900] });
    for (const [page, { pixels }] of frames.entries()) {
      expect(new Uint8Array(await sharp(bytes, { page }).removeAlpha().raw().toBuffer())).toEqual(pixels);
    }
  });
});

test("one frame is a film too", async () => {
  await withFolder({}, async (folder) => {
    const path = join(folder, "film.webp");
    await writeFilm({ path, frames: [frame(4, 4, 0)], ...times });
    expect(await sharp(path).metadata()).toMatchObject({ format: "webp", width: 4, height: 4 });
  });
});

test("no frame, frames of two sizes or cut pixels are usage errors", async () => {
  await withFolder({}, async (folder) => {
    const path = join(folder, "film.webp");
    const cut = { ...frame(4, 4, 0), height: 5 };
    for (const frames of [[], [frame(4, 4, 0), frame(4, 5, 0)], [cut]]) {
      await expect(writeFilm({ path, frames, ...times })).rejects.toMatchObject(USAGE);
    }
    expect(await readdir(folder)).toEqual([]);
  });
});
