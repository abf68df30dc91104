/** Times of things that are done again and again. Knows nothing of what they are. */
import { median } from "../../stage2-prior/index.ts";

export interface Repeats {
  /** Runs whose time is not taken: the first of a graph allocates its memory. */
  readonly warmUp: number;
  readonly timed: number;
}

export async function seconds(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}

export async function secondsEach(run: () => Promise<unknown>, { warmUp, timed }: Repeats): Promise<number[]> {
  for (let i = 0; i < warmUp; i++) await run();
  const times: number[] = [];
  for (let i = 0; i < timed; i++) times.push(await seconds(run));
  return times;
}

export async function medianSeconds(run: () => Promise<unknown>, repeats: Repeats): Promise<number> {
  return median(Float64Array.from(await secondsEach(run, repeats)));
}
