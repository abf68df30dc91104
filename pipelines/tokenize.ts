/** Images → token files, streaming: memory does not grow with the number of images. */
import { createProvenance } from "../shared/artifact.ts";
import { createTokenWriter, type TokenIndex } from "../shared/token-file/index.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  describeImageFailure,
  type ImageFailure,
  type ImageRecord,
  streamImages,
  type Tokenizer,
} from "../stage1-tokenizer/index.ts";

export interface TokenizeOptions {
  readonly tokenizer: Tokenizer;
  readonly records: AsyncIterable<ImageRecord>;
  /** For progress; unknown for endless sources. */
  readonly total?: number;
  readonly classes: readonly string[];
  /** Said in the manifest: "emoji, training families". */
  readonly from: string;
  readonly directory: string;
  readonly batchSize?: number;
  readonly overwrite?: boolean;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal;
}

export interface TokenizeResult {
  readonly index: TokenIndex;
  readonly failures: number;
}

/**
 * A bad image is recorded in `failures.jsonl` and the run goes on.
 * @throws usage if the directory exists; failure if the disk refuses; the signal's reason if interrupted (nothing is published).
 */
export async function tokenizeImages(options: TokenizeOptions): Promise<TokenizeResult> {
  const { tokenizer, reporter, directory, batchSize = 16, signal } = options;
  const { fingerprint, grid, codebookSize } = tokenizer.spec;
  const length = grid[0] * grid[1];
  const writer = await createTokenWriter({
    directory,
    header: { fingerprint, preprocessing: tokenizer.preprocessing, grid, codebookSize, classes: [...options.classes] },
    provenance: createProvenance({
      from: { images: options.from, tokenizer: tokenizer.directory, dtype: tokenizer.dtype },
    }),
    overwrite: options.overwrite ?? false,
    discardPartial: true,
  });
  let done = 0;
  let failures = 0;
  const failing: Promise<void>[] = [];
  const onFailure = (failure: ImageFailure): void => {
    failures++;
    reporter.warn(describeImageFailure(failure));
    failing.push(writer.fail({ key: failure.key, reason: failure.error.message }));
  };
  reporter.start("tokenize", options.total ?? 0, { unitsPerStep: { count: 1, unit: "images" } });
  try {
    const { records, preprocessing } = { ...options, preprocessing: tokenizer.preprocessing };
    for await (const { images, keys, labels } of streamImages({ records, preprocessing, batchSize, onFailure })) {
      signal?.throwIfAborted();
      const { tokens } = await tokenizer.encode(images);
      for (const [i, key] of keys.entries()) {
        const label = labels[i] ?? -1;
        await writer.append({
          key,
          tokens: tokens.subarray(i * length, (i + 1) * length),
          ...(label < 0 ? {} : { label }),
        });
      }
      await Promise.all(failing.splice(0));
      done += keys.length;
      reporter.progress(done);
    }
    await Promise.all(failing.splice(0));
    return { index: await writer.finish(), failures };
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    reporter.finish();
  }
}
