/** One line of the report. */
export interface Row {
  readonly work: string;
  /** Named figures with their units in the name. */
  readonly figures: Readonly<Record<string, number>>;
  /** Ours over the peer's speed; absent where there is no peer. */
  readonly ratio?: number;
}
