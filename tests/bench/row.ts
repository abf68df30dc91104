/** One line of the report. `ours`, `peer` and the figures behind them are in `unit`. */
export interface Row {
  readonly work: string;
  readonly unit: string;
  /** The mean of `runs` where there are several. */
  readonly ours: number;
  /** Ours before and after the peer: a machine that drifts shows in the difference. */
  readonly runs?: readonly number[];
  readonly peer?: number;
  /** The peer's figure over ours: above 1 we are faster, or hold less. Absent where there is no peer. */
  readonly ratio?: number;
  /** FLOP by arithmetic / time / the machine's best, measured in the same run; of compute-bound works only. */
  readonly ceilingShare?: number;
  readonly growth?: Growth;
  readonly note?: string;
}

/** How a figure grows along an axis, beside how the arithmetic does. */
export interface Growth {
  readonly points: readonly (readonly [at: number, value: number])[];
  /** Slope of log value on log at. */
  readonly exponent: number;
  /** The same of the FLOP count at the same points. */
  readonly arithmetic: number;
}
