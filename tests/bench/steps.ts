/** Our side of the training comparisons: the shapes of torch_peer.py, through the engine that trains. */
import { createOnnxEngine } from "../../shared/engine/onnx-engine.ts";
import type { Arrays, Trainer } from "../../shared/engine/engine.ts";
import { Rng } from "../../shared/rng.ts";
import { tokenizerConfig } from "../../stage1-tokenizer/presets.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "../../stage1-tokenizer/training-step.ts";
import { priorConfig } from "../../stage2-prior/config.ts";
import { createPriorStep, initialPriorState, priorBatch } from "../../stage2-prior/training-step.ts";

const THREADS = 2;

async function medianMilliseconds(
  trainer: Trainer,
  batch: Arrays,
  runs: { warmup: number; timed: number },
): Promise<number> {
  for (let i = 0; i < runs.warmup; i++) await trainer.step(batch);
  const times: number[] = [];
  for (let i = 0; i < runs.timed; i++) {
    const start = performance.now();
    await trainer.step(batch);
    times.push(performance.now() - start);
  }
  await trainer.dispose();
  return times.sort((a, b) => a - b)[Math.floor(runs.timed / 2)] ?? NaN;
}

/** VQ-VAE, 128 px, h = 128, r = 32, D = 64, K = 512, batch 16, gradient codebook, Adam. */
export async function tokenizerStep(): Promise<number> {
  const config = tokenizerConfig("paper128", { bottleneck: "vq" });
  const rng = Rng.fromSeed(0);
  const { spec, draw } = tokenizerBatch(config);
  const images = Uint8Array.from({ length: config.batchSize * config.imageSize ** 2 * 3 }, () => rng.integer(256));
  const engine = createOnnxEngine({ threads: THREADS });
  const trainer = await engine.createTrainer(
    createTokenizerStep(config, { variance: 1 / 12 }),
    initialTokenizerState(config, rng),
    spec,
  );
  return medianMilliseconds(trainer, { images, ...draw(rng) }, { warmup: 2, timed: 7 });
}

/** Causal Transformer, 6 layers, width 256, 8 heads, 4 × 1,024 tokens, K = 512, AdamW: at least the peer's parameters. */
export async function causalStep(): Promise<number> {
  const size = { width: 256, layers: 6, heads: 8, feedForward: 704, batchSize: 4, dropout: 0, weightEmaDecay: 0 };
  const config = priorConfig("base", { objective: "causal", codebookSize: 512, grid: [32, 32], classes: 0, ...size });
  const rng = Rng.fromSeed(0);
  const form = priorBatch(config);
  const tokens = Int32Array.from({ length: 4 * 1024 }, () => rng.integer(512));
  const batch = form.prepare({ tokens, labels: new Int32Array(4).fill(-1), keys: [] }, rng);
  const engine = createOnnxEngine({ threads: THREADS });
  const trainer = await engine.createTrainer(createPriorStep(config), initialPriorState(config, rng), form.spec);
  return medianMilliseconds(trainer, batch, { warmup: 1, timed: 3 });
}
