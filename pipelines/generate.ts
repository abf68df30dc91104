/** Prior → tokens → images. Any prior of the tokenizer will do: that is what the two-stage design is for. */
import { checkFingerprint, type TokenGrid } from "../shared/tokens.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import type { Rng } from "../shared/rng.ts";
import type { Prior } from "../stage2-prior/index.ts";
import type { Tile, Tokenizer } from "../stage1-tokenizer/index.ts";

export interface GenerateOptions {
  readonly tokenizer: Tokenizer;
  readonly prior: Prior;
  readonly count: number;
  readonly rng: Rng;
  /** Softmax temperature; 1 = the distribution learnt. */
  readonly temperature?: number | undefined;
  /** Steps of a masked prior. */
  readonly steps?: number | undefined;
  readonly choiceTemperature?: number | undefined;
  /** Class of every image, by name; unconditional where absent. */
  readonly className?: string | undefined;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal;
}

export interface Generated {
  readonly tokens: TokenGrid;
  /** One [H, W, 3] tile an image. */
  readonly tiles: readonly Tile[];
  /** Sampling and decoding, without loading. */
  readonly secondsPerImage: number;
}

/** @throws mismatch (exit 4) if the prior learnt the tokens of another tokenizer; usage for a class that does not exist. */
export async function generate(options: GenerateOptions): Promise<Generated> {
  const { tokenizer, prior, count, rng, reporter } = options;
  checkFingerprint(tokenizer.spec.fingerprint, prior.spec.fingerprint, `prior ${prior.directory}`);
  const start = performance.now();
  let sampled = 0;
  reporter.start(`sample ${prior.name}`, count * prior.spec.grid[0] * prior.spec.grid[1], {
    unitsPerStep: { count: 1, unit: "tokens" },
  });
  const tokens = await prior.sample({
    count,
    rng,
    temperature: options.temperature,
    steps: options.steps,
    choiceTemperature: options.choiceTemperature,
    className: options.className,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onProgress: (newTokens) => reporter.progress((sampled += newTokens)),
  });
  reporter.finish();
  const images = await tokenizer.decode(tokens);
  const secondsPerImage = (performance.now() - start) / 1000 / count;
  return { tokens, tiles: toTiles(images, tokenizer.spec.imageSize), secondsPerImage };
}

/** uint8 [N, H, W, 3] as N tiles (views). */
export function toTiles(images: Uint8Array, [height, width]: readonly [number, number]): Tile[] {
  const length = height * width * 3;
  return Array.from({ length: images.length / length }, (_, i) => ({
    pixels: images.subarray(i * length, (i + 1) * length),
    height,
    width,
  }));
}
