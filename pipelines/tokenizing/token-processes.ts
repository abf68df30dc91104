/**
 * Tokens made by several processes, each of which decodes and encodes its batches with its own share of the threads, so that no thread waits for another
 * at the end of every operator. Records are read here and sent as they were read: a JPEG file as a JPEG file.
 */
import { availableParallelism } from "node:os";
import { scriptBeside, startProcesses } from "../../shared/process-pool.ts";
import type { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import { type LeftOut, type ReadImage, readImages, type TokenizedImage, type TokenMaker } from "./token-maker.ts";

export type TokenizerOptions = NonNullable<Parameters<typeof loadTokenizer>[1]>;

/** One is decoded while another is encoded. */
const BATCHES_A_PROCESS = 2;

/** Each takes memory of its own, and reading and writing remain here. */
const MOST_PROCESSES = 16;

/** What a process runs. */
export const TOKEN_SCRIPT = scriptBeside(import.meta.url, "token-process");

/** One a thread. */
export const usualProcesses = ({ threads = availableParallelism() }: TokenizerOptions): number =>
  Math.min(threads, MOST_PROCESSES);

export interface TokenProcessesOptions {
  /** Of the tokenizer. */
  readonly directory: string;
  /** What it is loaded with; `threads` are those of all processes together. */
  readonly loading: TokenizerOptions;
  readonly count: number;
  readonly script: URL | undefined;
}

export function startTokenProcesses({ directory, loading, count, script }: TokenProcessesOptions): TokenMaker {
  const threads = Math.max(1, Math.floor((loading.threads ?? availableParallelism()) / count));
  const pool = startProcesses<(ReadImage | LeftOut)[], (TokenizedImage | LeftOut)[]>({
    script,
    words: [directory, JSON.stringify({ ...loading, threads })],
    count,
    name: "a process that makes tokens",
  });
  return {
    ahead: BATCHES_A_PROCESS * count,
    make: async (records) => pool.ask(await readImages(records)),
    dispose: () => pool.close(),
  };
}
