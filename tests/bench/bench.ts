/**
 * `npm run bench [-- works…] [--quick] [--json]`: measures and reports, asserts nothing. `cifar` and `mnist` take `--data DIR` and `--steps N`. A
 * comparison runs both sides in one go on the same threads and prints their ratio; absolute times on shared machines are noise. See README.md
 * beside this file.
 */
import { parseArgs } from "node:util";
import { TesseraError, usageError } from "../../shared/errors.ts";
import { createArtifacts } from "./artifacts.ts";
import { ceilingRows, measureCeilings } from "./ceiling.ts";
import { describePeer } from "./peer.ts";
import { runPublished } from "./published.ts";
import type { Row } from "./row.ts";
import { formatRows } from "./table.ts";
import type { Repeats } from "./timing.ts";
import type { Work } from "./work.ts";
import { measure, selectWorks } from "./works.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    data: { type: "string" },
    steps: { type: "string" },
    seed: { type: "string", default: "0" },
  },
});
const published = positionals.filter((name) => name === "cifar" || name === "mnist");

try {
  const names = positionals.filter((name) => !published.some((other) => other === name));
  const works = published.length > 0 && names.length === 0 ? [] : selectWorks(names);
  if (published.length > 0 && values.data === undefined)
    throw usageError({
      what: "there is no data set to train on",
      where: "--data",
      todo: "Give the folder of its files",
    });
  for (const name of published) {
    const steps = values.steps === undefined ? undefined : Number(values.steps);
    await runPublished(name, { data: values.data ?? "", steps, json: values.json, seed: Number(values.seed) });
  }
  if (works.length > 0) await report(works);
} catch (error) {
  if (!(error instanceof TesseraError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.exitCode;
}

async function report(works: readonly Work[]): Promise<void> {
  process.stderr.write(`${describePeer()}\n`);
  const artifacts = await createArtifacts();
  const half = ({ warmUp, timed }: Repeats): Repeats => ({ warmUp, timed: Math.ceil(timed / 2) });
  const bench = { artifacts, repeats: (usual: Repeats) => (values.quick ? half(usual) : usual) };
  try {
    const ceilings = await measureCeilings();
    const rows: Row[] = ceilingRows(ceilings);
    for (const work of works) {
      process.stderr.write(`${work.name} …\n`);
      const measured = await measure(work, bench, ceilings);
      process.stderr.write(`${formatRows(measured)}\n`);
      rows.push(...measured);
    }
    process.stdout.write(`${values.json ? JSON.stringify(rows) : formatRows(rows)}\n`);
  } finally {
    await artifacts.dispose();
  }
}
