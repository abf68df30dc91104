/** Images → token files, streaming, in one process or several: memory does not grow with the number of images. */
import { createProvenance } from "../shared/artifact.ts";
import { atLeast, inBatches, inOrder } from "../shared/in-order.ts";
import { createTokenWriter, type TokenIndex } from "../shared/token-file/index.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  checkBatchSize,
  describeImageFailure,
  type ImageRecord,
  noImage,
  type Tokenizer,
} from "../stage1-tokenizer/index.ts";
import { createTokenMaker, type TokenMaker } from "./tokenizing/token-maker.ts";
import { startTokenProcesses, TOKEN_SCRIPT, usualProcesses } from "./tokenizing/token-processes.ts";

export interface TokenizeOptions {
  readonly tokenizer: Tokenizer;
  /** Threads of several processes together; of one, the tokenizer has its own. */
  readonly threads?: number | undefined;
  /**
   * Processes that decode and encode; one a thread unless said otherwise, and this one alone for fewer than `FEW_IMAGES`, or where sources are run
   * without a build.
   */
  readonly processes?: number;
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
  /** The script of a process, if not the one of this program. */
  readonly script?: URL;
}

export interface TokenizeResult {
  readonly index: TokenIndex;
  readonly failures: number;
}

/** Starting processes takes longer than these few. */
const FEW_IMAGES = 256;

/** A larger batch is cut, so that memory does not depend on the batch size. */
const MOST_IN_A_BATCH = 32;

/**
 * A bad image is recorded in `failures.jsonl` and the run goes on. The files are the same, byte for byte, whatever the number of processes.
 * @throws usage if the directory exists; bad-input if no image can be decoded; failure if the disk refuses or a process dies; the signal's
 * reason if interrupted (nothing is published).
 */
export async function tokenizeImages(options: TokenizeOptions): Promise<TokenizeResult> {
  const { tokenizer, reporter, directory, batchSize = 16, signal } = options;
  checkBatchSize(batchSize);
  const { fingerprint, grid, codebookSize } = tokenizer.spec;
  const writer = await createTokenWriter({
    directory,
    header: { fingerprint, preprocessing: tokenizer.preprocessing, grid, codebookSize, classes: [...options.classes] },
    provenance: createProvenance({
      from: { images: options.from, tokenizer: tokenizer.directory, dtype: tokenizer.dtype },
    }),
    overwrite: options.overwrite ?? false,
    discardPartial: true,
  });
  let maker: TokenMaker | undefined;
  let done = 0;
  let failures = 0;
  reporter.start("tokenize", options.total ?? 0, { unitsPerStep: { count: 1, unit: "images" } });
  try {
    const { many, items } = await atLeast(options.records, FEW_IMAGES);
    const { ahead, make } = (maker = createMaker(options, many));
    const batches = inBatches(items, Math.min(batchSize, MOST_IN_A_BATCH));
    for await (const images of inOrder(batches, ahead, make)) {
      signal?.throwIfAborted();
      for (const image of images) {
        if ("tokens" in image) {
          await writer.append(image);
          done++;
          continue;
        }
        reporter.warn(describeImageFailure({ key: image.key, error: { message: image.reason } }));
        await writer.fail(image);
        failures++;
      }
      reporter.progress(done);
    }
    if (done === 0) throw noImage("no image of the source can be decoded");
    return { index: await writer.finish(), failures };
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    await maker?.dispose();
    reporter.finish();
  }
}

function createMaker(options: TokenizeOptions, many: boolean): TokenMaker {
  const { tokenizer, threads, script = TOKEN_SCRIPT } = options;
  const usual = many && script !== undefined ? usualProcesses(threads) : 1;
  const count = options.processes ?? usual;
  if (count === 1) return createTokenMaker(tokenizer);
  return startTokenProcesses(tokenizer, { threads, count, script });
}
