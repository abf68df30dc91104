/** What works read from disk, in a temporary folder: an untrained tokenizer, untrained priors of 5 M parameters, a folder of JPEG files. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { Rng } from "../../shared/rng.ts";
import { publishTokenizer } from "../../stage1-tokenizer/export.ts";
import { publishPrior } from "../../stage2-prior/export.ts";
import { untrained as untrainedTokenizer } from "../stage1-tokenizer/tiny-artifact.ts";
import { untrained as untrainedPrior } from "../stage2-prior/tiny-artifact.ts";
import { paperConfig, transformerConfig } from "./steps.ts";
import type { Artifacts } from "./work.ts";

const JPEG_COUNT = 2_000;
/** Noise is alike everywhere: a few images say how large activations become. */
const RANGE_IMAGES = 16;

export const createArtifacts = async (): Promise<Artifacts> =>
  openArtifacts(await mkdtemp(join(tmpdir(), "tessera-bench-")));

/** What lies in the folder already, whoever made it, is not made again. */
export function openArtifacts(folder: string): Artifacts {
  const made = new Map<string, Promise<string>>();
  let serial = 0;
  /** Made once, by whoever asks first. */
  const once = (name: string, make: (directory: string) => Promise<unknown>): Promise<string> => {
    const directory = join(folder, name);
    const promise = made.get(name) ?? (existsSync(directory) ? Promise.resolve(directory) : make(directory).then(() => directory)); // prettier-ignore
    made.set(name, promise);
    return promise;
  };
  let fingerprint: Promise<string> | undefined;
  const publish = (): Promise<string> => (fingerprint ??= publishTokenizer({ ...untrainedTokenizer(paperConfig()), rangeImages: noiseImages(RANGE_IMAGES) }, { directory: join(folder, "tokenizer") })); // prettier-ignore
  return {
    folder,
    tokenizer: () => once("tokenizer", publish),
    prior: (objective) =>
      once(objective, async (directory) => {
        const prior = untrainedPrior(transformerConfig(objective, "5m"));
        await publishPrior({ ...prior, classes: [], fingerprint: await publish() }, { directory });
      }),
    jpegs: () => once("jpegs", writeJpegs),
    fresh: (name) => join(folder, `${name}-${process.pid}-${serial++}`),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

/** uint8 [count, H, W, 3] of the tokenizer's size. */
export function noiseImages(count: number): Uint8Array {
  const rng = Rng.fromSeed(0);
  return Uint8Array.from({ length: count * paperConfig().imageSize ** 2 * 3 }, () => rng.integer(256));
}

const SIDE = 256;
const AT_ONCE = 16;

/** Picture i: gradients in three colours under a noise of its own. */
async function writeJpegs(directory: string): Promise<void> {
  await mkdir(directory);
  const rng = Rng.fromSeed(0);
  const noise = Int8Array.from(rng.fork("noise").fillUniform(SIDE * SIDE * 4), (value) => (value - 0.5) * 48);
  for (let first = 0; first < JPEG_COUNT; first += AT_ONCE) {
    const indices = Array.from({ length: Math.min(AT_ONCE, JPEG_COUNT - first) }, (_, i) => first + i);
    await Promise.all(
      indices.map(async (i) => {
        const pixels = drawPicture(rng.fork("picture", i), noise);
        const image = sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } });
        const bytes = await image.jpeg({ quality: 90 }).toBuffer();
        await writeFile(join(directory, `${String(i).padStart(5, "0")}.jpg`), bytes);
      }),
    );
  }
}

function drawPicture(rng: Rng, noise: Int8Array): Uint8ClampedArray {
  const slopes = rng.fill(6, (stream) => stream.uniform() - 0.5);
  const shift = rng.integer(SIDE * SIDE);
  const pixels = new Uint8ClampedArray(SIDE * SIDE * 3);
  for (let at = 0; at < pixels.length; at++) {
    const [channel, x, y] = [at % 3, Math.floor(at / 3) % SIDE, Math.floor(at / 3 / SIDE)];
    const gradient = (x - SIDE / 2) * (slopes[channel] ?? 0) + (y - SIDE / 2) * (slopes[channel + 3] ?? 0);
    pixels[at] = 128 + gradient + (noise[at + shift] ?? 0);
  }
  return pixels;
}
