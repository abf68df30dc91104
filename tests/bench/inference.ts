/** Published models at work: encoding and decoding images, sampling priors. Ours runs the artefacts' graphs, as every user does. */
import { DTYPES, type Dtype } from "../../shared/onnx/quantize/dtype.ts";
import { Rng } from "../../shared/rng.ts";
import { gridOf, loadTokenizer, type Tokenizer } from "../../stage1-tokenizer/index.ts";
import { loadPrior, median, usualSampleProcesses, type Prior } from "../../stage2-prior/index.ts";
import { tokenizerFlops, transformerFlops } from "./arithmetic.ts";
import { noiseImages } from "./artifacts.ts";
import type { Row } from "./row.ts";
import { paperConfig, tokenizerShape, transformerConfig, transformerShape } from "./steps.ts";
import { medianSeconds } from "./timing.ts";
import { THREADS, type Artifacts, type Bench, type Comparison, type Report } from "./work.ts";

const BATCHES = [1, 16] as const;
const IMAGES = paperConfig();
const MASKED_STEPS = 12;

async function withTokenizer<T>(
  { artifacts }: Bench,
  dtype: Dtype,
  use: (tokenizer: Tokenizer) => Promise<T>,
): Promise<T> {
  const tokenizer = await loadTokenizer(await artifacts.tokenizer(), { threads: THREADS, dtype });
  try {
    return await use(tokenizer);
  } finally {
    await tokenizer.dispose();
  }
}

async function withPrior<T>(
  { artifacts }: Bench,
  { objective, dtype, processes = 1 }: { objective: "causal" | "masked"; dtype: Dtype; processes?: number },
  use: (prior: Prior) => Promise<T>,
): Promise<T> {
  const prior = await loadPrior(await artifacts.prior(objective), { threads: THREADS, dtype, processes });
  try {
    return await use(prior);
  } finally {
    await prior.dispose();
  }
}

function grids(batch: number) {
  const rng = Rng.fromSeed(0);
  const [height, width] = gridOf(IMAGES);
  const tokens = Int32Array.from({ length: batch * height * width }, () => rng.integer(IMAGES.codebookSize));
  return { tokens, shape: [batch, height, width] as const };
}

/** The peer computes in float32 beside either, and the ceiling is one of float32. */
const imageWorks = BATCHES.flatMap((batch) => DTYPES.flatMap((dtype) => imageWorksIn(dtype, batch)));

function imageWorksIn(dtype: Dtype, batch: number): Comparison[] {
  const suffix = dtype === "float32" ? `${batch}` : `${dtype}-${batch}`;
  const common = {
    unit: "ms",
    repeats: { warmUp: 2, timed: batch === 1 ? 15 : 7 },
    prepare: (artifacts: Artifacts) => artifacts.tokenizer(),
  } as const;
  const flops = tokenizerFlops(IMAGES);
  const work = (side: "encode" | "decode") =>
    dtype === "float32" ? ({ flops: batch * flops[side], ceiling: "conv" } as const) : {};
  const args = { batch, ...tokenizerShape(IMAGES) };
  return [
    {
      ...common,
      ...work("encode"),
      name: `encode-${suffix}`,
      ours: (bench, repeats) =>
        withTokenizer(bench, dtype, (tokenizer) => {
          const images = noiseImages(batch);
          return medianSeconds(() => tokenizer.encode(images), repeats);
        }),
      peer: { work: "encode", args },
    },
    {
      ...common,
      ...work("decode"),
      name: `decode-${suffix}`,
      ours: (bench, repeats) =>
        withTokenizer(bench, dtype, (tokenizer) => {
          const grid = grids(batch);
          return medianSeconds(() => tokenizer.decode(grid), repeats);
        }),
      peer: { work: "decode", args },
    },
  ];
}

/** The peer computes in float32 beside either. */
const sampleWorks = BATCHES.flatMap((batch) => DTYPES.flatMap((dtype) => sampleWorksIn(dtype, batch)));

function sampleWorksIn(dtype: Dtype, batch: number): Comparison[] {
  const suffix = dtype === "float32" ? `${batch}` : `${dtype}-${batch}`;
  const causal = transformerConfig("causal", "5m");
  const masked = transformerConfig("masked", "5m");
  const processes = usualSampleProcesses(batch, { threads: THREADS }); // as the commands do
  const sample = (prior: Prior, steps?: number) => (): Promise<unknown> =>
    prior.sample({ count: batch, batchSize: batch, rng: Rng.fromSeed(0), steps });
  return [
    {
      name: `sample-causal-${suffix}`,
      unit: "s",
      repeats: { warmUp: 0, timed: batch === 1 ? 2 : 1 },
      prepare: (artifacts) => artifacts.prior("causal"),
      ours: (bench, repeats) =>
        withPrior(bench, { objective: "causal", dtype, processes }, (prior) => medianSeconds(sample(prior), repeats)),
      peer: { work: "sample_causal", args: { batch, ...transformerShape(causal) } },
    },
    {
      name: `sample-masked-${suffix}`,
      unit: "s",
      repeats: { warmUp: batch === 1 ? 1 : 0, timed: batch === 1 ? 3 : 1 },
      prepare: (artifacts) => artifacts.prior("masked"),
      ours: (bench, repeats) => withPrior(bench, { objective: "masked", dtype, processes }, (prior) => medianSeconds(sample(prior, MASKED_STEPS), repeats)), // prettier-ignore
      peer: { work: "sample_masked", args: { batch, steps: MASKED_STEPS, ...transformerShape(masked) } },
      // The ceiling is one of float32.
      ...(dtype === "float32" && { flops: batch * MASKED_STEPS * transformerFlops(masked).forward, ceiling: "gemm" }),
    },
  ];
}

const POSITIONS = [10, 500, 1000] as const;
const AROUND = 5;

/** Milliseconds a token at a few positions of one decoding, each the median of its neighbours: what the growing cache costs. */
async function positionRows(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const batch of BATCHES) {
    const times = await withPrior(bench, { objective: "causal", dtype: "float32" }, (prior) =>
      timeOfEachToken(prior, batch),
    );
    for (const position of POSITIONS) {
      const near = times.slice(position - AROUND, position + AROUND + 1);
      rows.push({ work: `positions, batch ${batch}, at ${position}`, unit: "ms/token", ours: 1000 * median(near) });
    }
  }
  return rows;
}

async function timeOfEachToken(prior: Prior, batch: number): Promise<Float64Array> {
  const times: number[] = [];
  let last = performance.now();
  const steps = prior.steps({ count: batch, rng: Rng.fromSeed(0) });
  while ((await steps.next()).done !== true) {
    const now = performance.now();
    times.push((now - last) / 1000);
    last = now;
  }
  return Float64Array.from(times);
}

export const POSITIONS_REPORT: Report = { name: "positions", rows: positionRows };

export const INFERENCE: readonly Comparison[] = [...imageWorks, ...sampleWorks];
