/** What can be measured, as data: a comparison with a peer, or a report of our own. Knows no model and prints nothing. */
import type { Artifacts } from "./artifacts.ts";
import type { PeerCall } from "./peer.ts";
import type { Row } from "./row.ts";
import type { Repeats } from "./timing.ts";

/** Threads on either side of every comparison. */
export const THREADS = 2;

/** Whose best rate a work is held against. */
export type Ceiling = "gemm" | "conv";

export interface Bench {
  /** What works need on disk, made when it is first asked for. */
  readonly artifacts: Artifacts;
  /** All of the usual repetitions, or half of them. */
  readonly repeats: (usual: Repeats) => Repeats;
}

/** Ours beside the peer's, both measured with the same repetitions. */
export interface Comparison {
  readonly name: string;
  readonly unit: "ms" | "s" | "MB";
  readonly repeats: Repeats;
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
