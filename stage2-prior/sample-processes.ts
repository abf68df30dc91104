/**
 * Batches drawn by several processes, each with the prior and its share of the threads: the many small operators of a token, and the draws, which no
 * thread can share, then run side by side. Knows no network.
 */
import { availableParallelism } from "node:os";
import { invariant } from "../shared/errors.ts";
import { type ProcessPool, scriptBeside, startProcesses } from "../shared/process-pool.ts";
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

export interface SampleProcesses {
  /** Batches that keep all of them busy. */
  readonly count: number;
  /** @throws what loading the prior throws there */
  ready(): Promise<void>;
  /** A batch that is aborted ends the processes; the next one starts them again. */
  readonly draw: DrawBatch;
  dispose(): Promise<void>;
}

export function startSampleProcesses(options: SampleProcessesOptions): SampleProcesses {
  const { count } = options;
  let pool: Pool | undefined = startPool(options);
  const close = async (): Promise<void> => {
    const closing = pool;
    pool = undefined;
    await closing?.close();
  };
  return {
    count,
    async ready() {
      const current = (pool ??= startPool(options));
      await Promise.all(Array.from({ length: count }, () => current.ask(READY))); // to the least busy: one each
    },
    async draw({ rng, signal, ...batch }, asked, onProgress) {
      signal?.throwIfAborted();
      const current = (pool ??= startPool(options));
      const stop = (): void => void close();
      signal?.addEventListener("abort", stop, { once: true });
      try {
        const question = { count: batch.count, firstIndex: batch.firstIndex, key: rng.key, known: batch.known, asked };
        const grid = await current.ask(question, onProgress);
        invariant(grid !== undefined, "a batch was answered without a grid");
        return grid;
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        signal?.removeEventListener("abort", stop);
      }
    },
    dispose: close,
  };
}

type Pool = ProcessPool<Question, Answer, number>;

function startPool({ directory, loading, count, script = SAMPLE_SCRIPT }: SampleProcessesOptions): Pool {
  const threads = Math.max(1, Math.floor((loading.threads ?? availableParallelism()) / count));
  return startProcesses({
    script,
    words: [directory, JSON.stringify({ ...loading, threads })],
    count,
    name: "a process that samples",
  });
}
