import { createOnnxEngine } from "../shared/engine/onnx-engine.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "../stage1-tokenizer/training-step.ts";
import { tokenizerConfig } from "../stage1-tokenizer/config.ts";
import { Rng } from "../shared/rng.ts";
const preset = process.argv[2] ?? "paper128";
const prof = process.argv[3];
const config = tokenizerConfig(preset, process.argv[4] ? JSON.parse(process.argv[4]) : {});
const rng = Rng.fromSeed(1);
const t0 = performance.now();
const init = initialTokenizerState(config, rng);
const t1 = performance.now();
const batch = tokenizerBatch(config);
const engine = createOnnxEngine({ threads: 2, ...(prof ? { profilePrefix: prof } : {}) });
const trainer = await engine.createTrainer(createTokenizerStep(config, { variance: 0.08 }), init, batch.spec);
const t2 = performance.now();
console.log("init", t1 - t0, "compile", t2 - t1);
const images = new Uint8Array(config.batchSize * config.imageSize ** 2 * 3).map(
  (_, i) => (i * 7 + ((i * i) >> 7)) & 255,
);
const ts: number[] = [];
for (let i = 0; i < 8; i++) {
  const b = { images, ...batch.draw(rng.fork(i)) };
  const s = performance.now();
  const m = await trainer.step(b);
  ts.push(performance.now() - s);
  if (i < 2 || i === 7)
    console.log(
      Object.entries(m)
        .map(([k, v]) => `${k} ${v[0]}`)
        .join(" "),
    );
}
console.log(ts.map((x) => x.toFixed(0)).join(" "), "rss", (process.memoryUsage().rss / 1e6).toFixed(0));
if (prof) (trainer as any).endProfiling();
