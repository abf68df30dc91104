/**
 * Tokens made by several processes, each of which decodes and encodes its batches with its own share of the threads, so that no thread waits for another
 * at the end of every operator. Records are read here and sent as they were read: a JPEG file as a JPEG file.
 */
import { availableParallelism } from "node:os";
import { scriptBeside, startProcesses, threadShare } from "../../shared/process-pool.ts";
import type { loadTokenizer, Tokenizer } from "../../stage1-tokenizer/index.ts";
import { type LeftOut, type ReadImage, readImages, type TokenizedImage, type TokenMaker } from "./token-maker.ts";

/** What a process loads the tokenizer with. */
export type TokenizerOptions = NonNullable<Parameters<typeof loadTokenizer>[1]>;

/** One is decoded while another is encoded. */
const BATCHES_A_PROCESS = 2;

/** Each takes memory of its own, and reading and writing remain here. */
const MOST_PROCESSES = 16;

/** What a process runs. */
export const TOKEN_SCRIPT = scriptBeside(import.meta.url, "token-process");

/** One a thread. */
export const usualProcesses = (threads: number = availableParallelism()): number => Math.min(threads, MOST_PROCESSES);

export interface TokenProcessesOptions {
  /** Of all processes together; default: one for every core. */
  readonly threads: number | undefined;
  readonly count: number;
  readonly script: URL | undefined;
}

/** They compute in the arithmetic that `tokenizer` computes in. */
export function startTokenProcesses(
  { directory, dtype }: Pick<Tokenizer, "directory" | "dtype">,
  { threads, count, script }: TokenProcessesOptions,
): TokenMaker {
  const loading: TokenizerOptions = { threads: threadShare(threads, count), dtype };
  const pool = startProcesses<(ReadImage | LeftOut)[], (TokenizedImage | LeftOut)[]>({
    script,
    words: [directory, JSON.stringify(loading)],
    count,
    name: "a process that makes tokens",
  });
  return {
    ahead: BATCHES_A_PROCESS * count,
    make: async (records) => pool.ask(await readImages(records)),
    dispose: () => pool.close(),
  };
}
