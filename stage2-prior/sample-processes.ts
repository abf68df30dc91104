/**
 * Batches drawn by several processes, each with the prior and its share of the threads: the many small operators of a token, and the draws, which no
 * thread can share, then run side by side. Knows no network.
 */
import { availableParallelism } from "node:os";
import { failure, invariant } from "../shared/errors.ts";
import { type ProcessPool, scriptBeside, startProcesses, threadShare } from "../shared/process-pool.ts";
import type { RngKey } from "../shared/rng.ts";
import type { TokenGrid } from "../shared/tokens.ts";
import type { Batch, DecodingOptions } from "./decoding.ts";
import type { LearntOptions } from "./learnt.ts";

/** Decodes one batch and reports how many tokens each step fixed. */
export type DrawBatch = (
  batch: Batch,
  asked: DecodingOptions,
  onProgress: ((newTokens: number) => void) | undefined,
) => Promise<TokenGrid>;

/** What a process is asked: a batch, as plain data. */
export interface BatchQuestion {
  readonly count: number;
  readonly firstIndex: number;
  readonly key: RngKey;
  readonly known: TokenGrid | undefined;
  readonly asked: DecodingOptions;
}

/** Asked first, so that what a process cannot load is known before anything is drawn. */
export const READY = "ready";
export type Question = typeof READY | BatchQuestion;
/** Of `READY`, nothing. */
export type Answer = TokenGrid | undefined;

/** A process takes half a second to start and a few hundred MB: with fewer images than these it does not pay. */
const IMAGES_A_PROCESS = 8;
const MOST_PROCESSES = 8;

/** What a process runs. */
const SAMPLE_SCRIPT = scriptBeside(import.meta.url, "sample-process");

/** Processes that pay for so many images: one where there are few, one thread, or sources without a build. */
export function usualSampleProcesses(
  count: number,
  {
    threads = availableParallelism(),
    script = SAMPLE_SCRIPT,
  }: { threads?: number | undefined; script?: URL | undefined } = {},
): number {
  if (script === undefined) return 1;
  return Math.max(1, Math.min(threads, MOST_PROCESSES, Math.floor(count / IMAGES_A_PROCESS)));
}

export interface SampleProcessesOptions {
  /** Of the prior. */
  readonly directory: string;
  /** What it is loaded with; `threads` are those of all processes together. */
  readonly loading: LearntOptions;
  readonly count: number;
  /** What a process runs, if not the script beside this file. */
  readonly script?: URL | undefined;
}

/** The batches of one sample, being drawn. */
export interface Drawing {
  readonly draw: DrawBatch;
  /** Whatever became of it. */
  end(): Promise<void>;
}

export interface SampleProcesses {
  /** Batches that keep all of them busy. */
  readonly count: number;
  /** @throws what loading the prior throws there */
  ready(): Promise<void>;
  /**
   * A sample that is aborted stops at once. Its processes are ended with it, unless they draw for another one; the next sample starts them again.
   * @throws failure once disposed; the signal's reason
   */
  begin(signal: AbortSignal | undefined): Drawing;
  dispose(): Promise<void>;
}

export function startSampleProcesses(options: SampleProcessesOptions): SampleProcesses {
  const { count } = options;
  let pool: Pool | undefined = startPool(options);
  let disposed = false;
  let underWay = 0;
  const close = async (): Promise<void> => {
    const closing = pool;
    pool = undefined;
    await closing?.close();
  };
  const open = (): Pool => {
    if (disposed) throw failure({ what: "the prior was disposed", todo: "Load it again" });
    return (pool ??= startPool(options));
  };
  return {
    count,
    async ready() {
      const current = open();
      await Promise.all(Array.from({ length: count }, () => current.ask(READY))); // to the least busy: one each
    },
    begin(signal) {
      signal?.throwIfAborted();
      const current = open();
      const aborted = whenAborted(signal);
      underWay++;
      return {
        async draw({ count: images, firstIndex, rng, known }, asked, onProgress) {
          const question = { count: images, firstIndex, key: rng.key, known, asked };
          const tell = (newTokens: number): void => {
            if (signal?.aborted !== true) onProgress?.(newTokens);
          };
          const grid = await Promise.race([current.ask(question, tell), aborted.promise]);
          invariant(grid !== undefined, "a batch was answered without a grid");
          return grid;
        },
        async end() {
          aborted.forget();
          underWay--;
          if (signal?.aborted === true && underWay === 0) await close();
        },
      };
    },
    async dispose() {
      disposed = true;
      await close();
    },
  };
}

/** A promise of nothing but the signal's reason, and how to let go of the signal. */
function whenAborted(signal: AbortSignal | undefined): {
  readonly promise: Promise<never>;
  readonly forget: () => void;
} {
  let forget = (): void => undefined;
  const promise = new Promise<never>((_, reject) => {
    const stop = (): void => reject(signal?.reason); // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors -- whatever the signal says
    signal?.addEventListener("abort", stop, { once: true });
    forget = () => signal?.removeEventListener("abort", stop);
  });
  promise.catch(() => undefined); // no batch may be waiting for it
  return { promise, forget };
}

type Pool = ProcessPool<Question, Answer, number>;

function startPool({ directory, loading, count, script = SAMPLE_SCRIPT }: SampleProcessesOptions): Pool {
  return startProcesses({
    script,
    words: [directory, JSON.stringify({ ...loading, threads: threadShare(loading.threads, count) })],
    count,
    name: "a process that samples",
  });
}
