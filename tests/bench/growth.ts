/** How the time of a training step grows with each size, beside how its arithmetic grows. Ours alone: the question is whether anything is superlinear. */
import { fitExponent } from "./arithmetic.ts";
import type { Row } from "./row.ts";
import { priorStep, secondsOfStep, tokenizerStep, transformerConfig, type Step } from "./steps.ts";
import type { Bench, Report } from "./work.ts";

interface Axis {
  readonly name: string;
  readonly values: readonly number[];
  readonly step: (value: number) => Step;
}

const STRIDE = 4;

/** The paper's network at 128 px and batch 4, one size at a time. */
const tokenizerAxes: readonly Axis[] = [
  { name: "batch", values: [2, 4, 8, 16], step: (batchSize) => tokenizerStep({ batchSize }) },
  {
    name: "grid side",
    values: [16, 32, 64],
    step: (side) => tokenizerStep({ batchSize: 4, imageSize: STRIDE * side }),
  },
  {
    name: "K",
    values: [256, 1024, 4096, 16384],
    step: (codebookSize) => tokenizerStep({ batchSize: 4, codebookSize }),
  },
  { name: "width", values: [32, 64, 128, 256], step: (hidden) => tokenizerStep({ batchSize: 4, hidden }) },
];

const transformerStep = (changes: Parameters<typeof transformerConfig>[2]): Step =>
  priorStep(transformerConfig("causal", "1m", { batchSize: 2, ...changes }));

const HEAD_DIMENSION = 32;
/** Inner width of the feed-forward layer for a width of 4. */
const FEED_FORWARD_OF_4 = 11;

/** The causal Transformer of 1 M parameters at batch 2, one size at a time. */
const transformerAxes: readonly Axis[] = [
  { name: "batch", values: [1, 2, 4, 8], step: (batchSize) => transformerStep({ batchSize }) },
  { name: "grid side", values: [16, 32, 64], step: (side) => transformerStep({ batchSize: 1, grid: [side, side] }) },
  { name: "K", values: [256, 1024, 4096, 16384], step: (codebookSize) => transformerStep({ codebookSize }) },
  {
    name: "width",
    values: [64, 128, 256, 512],
    step: (width) =>
      transformerStep({ width, heads: width / HEAD_DIMENSION, feedForward: (width / 4) * FEED_FORWARD_OF_4 }),
  },
];

async function measureAxis({ repeats }: Bench, work: string, { name, values, step }: Axis): Promise<Row> {
  const points: [number, number][] = [];
  for (const value of values) {
    process.stderr.write(`  ${work}, ${name} ${value}\n`);
    points.push([value, 1000 * (await secondsOfStep(step(value), repeats({ warmUp: 1, timed: 4 })))]);
  }
  const exponent = fitExponent(points);
  const arithmetic = fitExponent(values.map((value) => [value, step(value).flops]));
  return { work: `${work}, ${name}`, unit: "exponent", ours: exponent, growth: { points, exponent, arithmetic } };
}

const report = (name: string, axes: readonly Axis[]): Report => ({
  name,
  async rows(bench) {
    const rows: Row[] = [];
    for (const axis of axes) rows.push(await measureAxis(bench, name, axis));
    return rows;
  },
});

export const GROWTH: readonly Report[] = [
  report("growth-vqvae", tokenizerAxes),
  report("growth-causal", transformerAxes),
];
