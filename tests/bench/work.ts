/** What can be measured, as data: a comparison with a peer, or a report of our own. Knows no model and prints nothing. */
import type { PeerCall } from "./peer.ts";
import type { Row } from "./row.ts";
import type { Repeats } from "./timing.ts";

/** Threads on either side of every comparison. */
export const THREADS = 2;

/** Whose best rate a work is held against. */
export type Ceiling = "gemm" | "conv";

/** What works read from disk. */
export interface Artifacts {
  /** Where it lies, for other processes. */
  readonly folder: string;
  /** 128 px to 32×32 tokens of 512 codes. */
  tokenizer(): Promise<string>;
  /** Over that tokenizer's tokens. */
  prior(objective: "causal" | "masked"): Promise<string>;
  /** 2,000 JPEG files of 256 px. */
  jpegs(): Promise<string>;
  /** A path that nothing lies at yet. */
  fresh(name: string): string;
  dispose(): Promise<void>;
}

export interface Bench {
  /** Made when it is first asked for. */
  readonly artifacts: Artifacts;
  /** All of the usual repetitions, or half of them. */
  readonly repeats: (usual: Repeats) => Repeats;
}

/** Ours beside the peer's, both measured with the same repetitions. */
export interface Comparison {
  readonly name: string;
  readonly unit: "ms" | "s" | "MB";
  readonly repeats: Repeats;
  /** Makes what is read from disk, before anything is measured. */
  readonly prepare?: (artifacts: Artifacts) => Promise<unknown>;
  /** Seconds, or megabytes. */
  readonly ours: (bench: Bench, repeats: Repeats) => Promise<number>;
  readonly peer?: PeerCall | ((bench: Bench) => Promise<PeerCall>);
  /** Of what is timed, by arithmetic; with the ceiling it is held against. */
  readonly flops?: number;
  readonly ceiling?: Ceiling;
}

/** Ours alone, where one measurement gives several figures. */
export interface Report {
  readonly name: string;
  readonly rows: (bench: Bench) => Promise<Row[]>;
}

export type Work = Comparison | Report;
