/** A process that compiles one training step: `compile-process <step>`. Prints one line of JSON: seconds to trace and compile it. */
import { STEP_NAMES, STEPS } from "./steps.ts";

const [word] = process.argv.slice(2);
const name = STEP_NAMES.find((candidate) => candidate === word);
if (name === undefined) throw new Error(`${word ?? "nothing"} is no step: ${STEP_NAMES.join(", ")}`);

const { compile } = STEPS[name].prepare();
const start = performance.now();
const trainer = await compile();
const compileSeconds = (performance.now() - start) / 1000;
await trainer.dispose();
process.stdout.write(`${JSON.stringify({ compileSeconds })}\n`);
