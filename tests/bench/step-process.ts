/**
 * A process that does nothing but one training step, again and again: `step-process <step> <runs>`. Prints one line of JSON: seconds to trace
 * and compile it, and the largest resident memory of the process in MB.
 */
import { STEP_NAMES, STEPS } from "./steps.ts";

const [word, runs] = process.argv.slice(2);
const name = STEP_NAMES.find((candidate) => candidate === word);
if (name === undefined) throw new Error(`${word ?? "nothing"} is no step: ${STEP_NAMES.join(", ")}`);

const { batch, compile } = STEPS[name].prepare();
const start = performance.now();
const trainer = await compile();
const compileSeconds = (performance.now() - start) / 1000;
for (let i = 0; i < Number(runs); i++) await trainer.step(batch);
await trainer.dispose();
const peakMegabytes = process.resourceUsage().maxRSS / 1024;
process.stdout.write(`${JSON.stringify({ compileSeconds, peakMegabytes })}\n`);
