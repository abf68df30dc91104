/** What commands that make images leave behind: numbered PNG files, a sheet, a film, and how they tell of them. */
import { writeFile } from "node:fs/promises";
import { join, parse } from "node:path";
import { z } from "zod";

import { explainDiskError } from "../shared/disk.ts";
import type { Dtype } from "../shared/onnx/quantize/dtype.ts";
import { encodePng, writeFilm, writeSheet, type Tile } from "../stage1-tokenizer/index.ts";
import { formatTable, type CommandResult } from "./command.ts";
import { option } from "./options.ts";

export const filmOption = {
  film: option(z.boolean().default(false), {
    describe: "Also write an animated WebP of the first images being uncovered",
  }),
};

export const imagesOutOption = {
  out: option(z.string().min(1).optional(), {
    describe: "Folder for the images (default artifacts/generated/<prior>)",
    alias: "o",
  }),
};

export interface MadeImages {
  /** An existing folder. */
  readonly directory: string;
  /** First part of every file's name. */
  readonly stem: string;
  readonly tiles: readonly Tile[];
  readonly rows: readonly (readonly Tile[])[];
  readonly rowLabels?: readonly string[];
  /** Frames, from early to done; no film where there are none. */
  readonly film?: readonly Tile[] | undefined;
}

export interface WrittenImages {
  readonly path: string;
  readonly sheet: string;
  readonly film?: string;
}

/** Tiles on a sheet of as many as one can look at. */
export const SHEET_TILES = 256;

/** Names of what was made of one picture. */
export const stemOf = (picture: string, what: string, seed: number): string =>
  `${parse(picture).name}-${what}-seed${seed}`;

/** Writes `<stem>-00000.png` …, `<stem>-sheet.png` and `<stem>-film.webp`. @throws failure if the disk refuses. */
export async function writeImages(made: MadeImages): Promise<WrittenImages> {
  const { directory, stem, tiles, rows, rowLabels = [], film = [] } = made;
  const at = (ending: string): string => join(directory, `${stem}-${ending}`);
  for (const [i, { pixels, height, width }] of tiles.entries()) {
    const path = at(`${String(i).padStart(5, "0")}.png`);
    await writeFile(path, await encodePng(pixels, height, width)).catch((error: unknown) => {
      throw explainDiskError(error, path);
    });
  }
  const sheet = at("sheet.png");
  await writeSheet({ path: sheet, rows, rowLabels });
  if (film.length === 0) return { path: directory, sheet };
  const filmPath = at("film.webp");
  await writeFilm({ path: filmPath, frames: film, delay: 100, lastDelay: 2000 });
  return { path: directory, sheet, film: filmPath };
}

/** The end of a command. */
export function imagesResult(
  written: WrittenImages,
  {
    count,
    dtype,
    secondsPerImage,
  }: { readonly count: number; readonly dtype: Dtype | undefined; readonly secondsPerImage: number },
): CommandResult {
  const residentMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  return {
    json: { ...written, count, ...(dtype && { dtype }), secondsPerImage, residentMegabytes },
    text: formatTable([
      ["images", `${count} in ${written.path}`],
      ["sheet", written.sheet],
      ...(written.film === undefined ? [] : [["film", written.film]]),
      ...(dtype === undefined ? [] : [["arithmetic of the prior", dtype]]),
      ["seconds per image", secondsPerImage.toFixed(3)],
      ["peak resident memory of this process", `${residentMegabytes} MB`],
    ]),
  };
}
