/**
 * A process that does nothing but one work: `work-process <work> <folder of what works read> <runs>`. Prints one line of JSON: the largest resident
 * memory of the process and of those it started, in MB, each at its own largest.
 */
import { readFileSync } from "node:fs";
import { openArtifacts } from "./artifacts.ts";
import { COMPARISONS } from "./comparisons.ts";

const [word, folder = "", runs] = process.argv.slice(2);
const work = COMPARISONS.find(({ name }) => name === word);
if (work === undefined)
  throw new Error(`${word ?? "nothing"} is no work: ${COMPARISONS.map(({ name }) => name).join()}`);

/** MB, by process. */
const peaks = new Map<number, number>();
const watch = setInterval(lookAtChildren, 50);
await work.ours({ artifacts: openArtifacts(folder), repeats: (usual) => usual }, { warmUp: 0, timed: Number(runs) });
clearInterval(watch);
peaks.set(process.pid, peakOf(process.pid) ?? process.resourceUsage().maxRSS / 1024);
const peakMegabytes = [...peaks.values()].reduce((sum, peak) => sum + peak, 0);
process.stdout.write(`${JSON.stringify({ peakMegabytes })}\n`);

/** Linux alone says what other processes hold; elsewhere children do not count. */
function lookAtChildren(): void {
  for (const pid of childrenOf(process.pid)) {
    const peak = peakOf(pid);
    if (peak !== undefined) peaks.set(pid, peak);
  }
}

/** Of its own program: `maxRSS` begins with what the process held that started it. */
function peakOf(pid: number): number | undefined {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
}

function childrenOf(pid: number): number[] {
  const words = read(`/proc/${pid}/task/${pid}/children`).split(" ");
  return words.flatMap((word) => (word === "" ? [] : [Number(word)]));
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // no such system, or no such process any more
  }
}
