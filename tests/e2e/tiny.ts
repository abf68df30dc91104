/** A tiny world for whole runs: images of a few pixels, and the command line as a function. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import sharp from "sharp";

import { main } from "../../pipelines/main.ts";
import { Rng } from "../../shared/rng.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of standard output, parsed; undefined if it is no JSON. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

/** `tessera <words>` in this process, on two threads where a command takes them. */
export async function tessera(...words: readonly (string | number)[]): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(words.map(String), {
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    env: {},
    installInterrupts: () => ({
      signal: new AbortController().signal,
      exitCode: () => undefined,
      dispose: () => undefined,
    }),
  });
  const stdout = out.join("");
  return { code, stdout, stderr: err.join(""), json: parse(stdout.trimEnd().split("\n").at(-1) ?? "") };
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

export const SIDE = 16;

/** A PNG of two colours with a slanted border between them, drawn from `seed`. */
export function drawPng(seed: number, side = SIDE): Promise<Buffer> {
  const rng = Rng.fromSeed(seed);
  const colours = Array.from({ length: 6 }, () => rng.integer(256));
  const [slope, offset] = [rng.uniform() * 2 - 1, rng.integer(side)];
  const pixels = Uint8Array.from({ length: side * side * 3 }, (_, at) => {
    const [channel, x, y] = [at % 3, Math.floor(at / 3) % side, Math.floor(at / 3 / side)];
    return colours[channel + (y > slope * x + offset ? 3 : 0)] ?? 0;
  });
  return sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

/** A folder with `count` images in each class. */
export async function drawFolder(
  folder: string,
  classes: readonly string[] = ["east", "west"],
  count = 12,
): Promise<string> {
  for (const [c, name] of classes.entries()) {
    await mkdir(join(folder, name), { recursive: true });
    for (let i = 0; i < count; i++) await writeFile(join(folder, name, `${i}.png`), await drawPng(c * 1000 + i));
  }
  return folder;
}

/** Words that make every model tiny. */
export const TINY_TOKENIZER = ["--image-size", SIDE, "--hidden", 8, "--codebook-size", 16, "--code-dimension", 4, "--batch-size", 4, "--threads", 2] as const; // prettier-ignore
export const TINY_PRIOR = ["--width", 16, "--heads", 2, "--layers", 1, "--batch-size", 2, "--threads", 2] as const;

export interface TinyWorld {
  readonly images: string;
  readonly tokenizer: string;
  readonly training: string;
  readonly heldOut: string;
  readonly causal: string;
  readonly masked: string;
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** Every artefact once, made by the commands a user would type. */
export async function buildTinyWorld(root: string): Promise<TinyWorld> {
  const images = await drawFolder(join(root, "images"));
  const at = (name: string): string => join(root, name);
  const world = {
    images,
    tokenizer: at("tokenizer"),
    training: at("training"),
    heldOut: at("held-out"),
    causal: at("causal"),
    masked: at("masked"),
  };
  const outcomes: Record<string, Outcome> = {};
  const source = ["--source", images, "--held-out", 0.25];
  outcomes["tokenizer"] = await tessera(
    "train-tokenizer",
    ...source,
    "--out",
    world.tokenizer,
    "--steps",
    30,
    ...TINY_TOKENIZER,
    "--json",
  );
  for (const split of ["training", "held-out"] as const) {
    const out = split === "training" ? world.training : world.heldOut;
    outcomes[split] = await tessera(
      "tokenize",
      "--tokenizer",
      world.tokenizer,
      ...source,
      "--split",
      split,
      "--out",
      out,
      "--json",
    );
  }
  for (const objective of ["causal", "masked"] as const) {
    const sets = ["--tokens", world.training, "--held-out", world.heldOut, "--conditional"];
    outcomes[objective] = await tessera(
      "train-prior",
      "--objective",
      objective,
      ...sets,
      "--out",
      world[objective],
      "--steps",
      20,
      ...TINY_PRIOR,
      "--json",
    );
  }
  return { ...world, outcomes };
}
