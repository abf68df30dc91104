/**
 * The open part of a canvas completed by a prior: window by window encoded, drawn anew where it is open, decoded and blended in. Knows no
 * file, and not why a part is open.
 */
import type { Rng } from "../../shared/rng.ts";
import { UNKNOWN, type TokenGrid } from "../../shared/tokens.ts";
import type { Reporter } from "../../shared/train/reporter.ts";
import { drawSheet, type Mask, type Tile, type Tokenizer } from "../../stage1-tokenizer/index.ts";
import { drawsInRasterOrder, type DecodingOptions, type Prior } from "../../stage2-prior/index.ts";
import { decodeOpen, FRAMES } from "../film.ts";
import { drawGrids } from "../sampling.ts";
import { toRows, toTiles } from "../sheets.ts";
import { feather, tokensUnder } from "./mask.ts";
import { blend, cut, gather, paste, shade } from "./pixels.ts";
import { nearestKnown, planWindows, type Window } from "./windows.ts";

/** Who completes, and how. */
export interface Completing {
  readonly tokenizer: Tokenizer;
  readonly prior: Prior;
  readonly decoding: DecodingOptions;
  /** Completions, side by side. Completion i depends on (rng, i), not on how many there are. */
  readonly count: number;
  readonly rng: Rng;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal;
  /** Whether to show the first completions while they are being uncovered. */
  readonly film?: boolean;
}

export interface Canvas {
  /** At least as large as the tokenizer's pictures. */
  readonly picture: Tile;
  /** Its pixels to draw anew, at least one. */
  readonly open: Mask;
  /** Whether nothing stands in the open part yet. What does is encoded with the rest, so that kept tokens are those of the whole picture. */
  readonly blank: boolean;
}

export interface CompletedWindow extends Window {
  /** [count, h, w], `UNKNOWN` where tokens were drawn. */
  readonly known: TokenGrid;
  /** [count, h, w] */
  readonly tokens: TokenGrid;
}

export interface Completion {
  /** One a completion, of the canvas's size. */
  readonly tiles: readonly Tile[];
  readonly windows: readonly CompletedWindow[];
  /** Sheets of the first completions, from early to done; none unless a film was asked for. */
  readonly film: readonly Tile[];
}

/**
 * Kept tokens are those of the encoded canvas, exactly; pixels further from the open part than a token's patch are the canvas's, exactly.
 * @throws usage for what does not fit the prior; the signal's reason if interrupted
 */
export async function completeCanvas({ picture, open, blank }: Canvas, how: Completing): Promise<Completion> {
  const { tokenizer, count, signal, film = false } = how;
  const [height, width] = tokenizer.spec.imageSize;
  const windows = planWindows(open, { height, width }, patchOf(tokenizer));
  warnOfBlindness(windows, how);
  const framesEach = film ? Math.max(1, Math.floor(FRAMES / windows.length)) : 0;
  const done: CompletedWindow[] = [];
  const frames: Tile[] = [];
  let tiles: readonly Tile[] = Array.from({ length: count }, () => picture);
  for (const window of windows) {
    signal?.throwIfAborted();
    if (blank) tiles = fill(tiles, window.remaining);
    const drawn = await completeWindow(tiles, window, { ...how, rng: how.rng.fork("window", done.length), framesEach });
    for (const shown of drawn.film) frames.push(drawSheet({ rows: toRows(shown) }));
    tiles = drawn.tiles;
    done.push({ ...window, known: drawn.known, tokens: drawn.tokens });
  }
  return { tiles, windows: done, film: frames };
}

/** Pixels a token stands for, along one side. */
const patchOf = ({ spec }: Tokenizer): number => Math.floor(spec.imageSize[0] / spec.grid[0]);

/** What stands in a still open part before it is encoded: its nearest known pixels. */
function fill(canvases: readonly Tile[], open: Mask): Tile[] {
  const sources = nearestKnown(open);
  return canvases.map((canvas) => gather(canvas, sources));
}

interface DrawnWindow {
  /** Whole canvases. */
  readonly tiles: readonly Tile[];
  readonly known: TokenGrid;
  readonly tokens: TokenGrid;
  /** Whole canvases of the first completions, a row a frame. */
  readonly film: readonly (readonly Tile[])[];
}

async function completeWindow(
  canvases: readonly Tile[],
  window: Window,
  how: Completing & { readonly framesEach: number },
): Promise<DrawnWindow> {
  const { tokenizer, prior, decoding, count, rng, reporter, signal, framesEach } = how;
  const { grid, imageSize } = tokenizer.spec;
  const reach = patchOf(tokenizer);
  const encoded = await tokenizer.encode(Buffer.concat(canvases.map((canvas) => cut(canvas, window.place)))); // [count, h, w]
  const known = openTokens(encoded, tokensUnder(window.open, grid));
  const request = { ...decoding, count, rng, known, ...(signal !== undefined && { signal }) };
  const { tokens, frames } = await drawGrids(prior, request, { reporter, frames: framesEach });
  const film: Tile[][] = [];
  const waiting = canvases.slice(0, frames[0]?.shape[0] ?? 0).map((canvas) => shade(canvas, window.remaining));
  for (const frame of frames) film.push(blendInto(waiting, await decodeOpen(tokenizer, frame), window, reach));
  const decoded = toTiles(await tokenizer.decode(tokens), imageSize);
  return { tiles: blendInto(canvases, decoded, window, reach), known, tokens, film };
}

/** Decoded windows blended into the first of the canvases, as many as there are. */
function blendInto(
  canvases: readonly Tile[],
  decoded: readonly Tile[],
  { place, open }: Pick<Window, "place" | "open">,
  reach: number,
): Tile[] {
  const opacity = feather(open, reach);
  return canvases.flatMap((canvas, i) => {
    const above = decoded[i];
    return above === undefined ? [] : [paste(canvas, blend(above.pixels, cut(canvas, place), opacity), place)];
  });
}

/** Every grid with the same tokens open. */
function openTokens({ tokens, shape }: TokenGrid, open: Mask): TokenGrid {
  const { cells } = open;
  return { tokens: tokens.map((token, i) => (cells[i % cells.length] === 1 ? UNKNOWN : token)), shape };
}

/** Of what is kept, a prior of raster order is told nothing that comes after the gap. */
function warnOfBlindness(windows: readonly Window[], { prior, tokenizer, reporter }: Completing): void {
  if (!drawsInRasterOrder(prior.spec)) return;
  const blind = windows.some(({ open }) => {
    const { cells } = tokensUnder(open, tokenizer.spec.grid);
    return cells.includes(0, cells.indexOf(1));
  });
  if (!blind) return;
  reporter.warn(
    `${prior.name} draws row by row and sees earlier tokens alone: what is kept to the right and below is not looked at; a masked or diffusion prior looks at all of it`,
  );
}
