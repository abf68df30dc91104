/**
 * How noisy a bottleneck's gradient estimator is: the same batch and weights, many draws of the bottleneck's noise, and the spread of the
 * encoder's gradient over them. What a straight-through estimator saves in variance it pays in bias, which this does not show.
 */
import type { Arrays, Engine } from "../shared/engine/engine.ts";
import type { InitialState } from "../shared/nn/state.ts";
import { Rng } from "../shared/rng.ts";
import type { TokenizerConfig } from "./config.ts";
import { pixelVariance } from "./metrics.ts";
import { createTokenizerStep, initialTokenizerState, tokenizerBatch } from "./training-step.ts";

export interface EstimatorNoiseOptions {
  readonly config: TokenizerConfig;
  readonly engine: Engine;
  /** [B, H, W, 3], B the configuration's batch size. */
  readonly images: Uint8Array;
  /** Weights to measure at; the first ones of a run with this seed unless given. */
  readonly state?: InitialState;
  readonly seed: number;
  readonly draws: number;
}

export interface EstimatorNoise {
  /** E‖g − E g‖² over the draws, g the gradient of all encoder weights. */
  readonly variance: number;
  /** ‖E g‖², without what the noise adds to a mean of few draws; never below that part, which hides a smaller one. */
  readonly squaredMean: number;
  /**
   * variance / squaredMean: 0 for an estimator that draws nothing, 1 where noise is as long as the signal. At most the number of draws: that
   * value says that the noise is at least so large.
   */
  readonly relative: number;
}

export async function estimatorNoise(options: EstimatorNoiseOptions): Promise<EstimatorNoise> {
  const { config, engine, images, seed, draws } = options;
  const rng = Rng.fromSeed(seed).fork("tokenizer");
  const state = options.state ?? initialTokenizerState(config, rng.fork("initial"));
  const batch = tokenizerBatch(config);
  const step = createTokenizerStep(config, { variance: pixelVariance([images]) });
  const trainer = await engine.createTrainer(step, state, batch.spec);
  const spread = createSpread();
  try {
    for (let draw = 0; draw < draws; draw++) {
      const { gradients } = await trainer.gradients({ images, ...batch.draw(rng.fork("noise", draw)) });
      spread.add(gradients);
    }
  } finally {
    await trainer.dispose();
  }
  return spread.result();
}

/** Σg and Σ‖g‖² over the encoder's gradients, in float64. */
function createSpread() {
  const sums = new Map<string, Float64Array>();
  let [count, squares] = [0, 0];
  return {
    add(gradients: Arrays): void {
      count++;
      for (const [name, values] of Object.entries(gradients)) {
        if (!name.startsWith("encoder.")) continue;
        const sum = sums.get(name) ?? new Float64Array(values.length);
        sums.set(name, sum);
        values.forEach((value, i) => {
          sum[i] = (sum[i] ?? 0) + value;
          squares += value * value;
        });
      }
    },
    result(): EstimatorNoise {
      const ofMean = [...sums.values()].reduce((total, sum) => total + squaredNorm(sum), 0) / count ** 2; // ‖E g‖² + variance / count
      const spread = Math.max(0, squares / count - ofMean) * (count / Math.max(1, count - 1));
      // Rounding leaves some 1e-14 of the squares where every draw gives the same gradient.
      const variance = spread < 1e-10 * ofMean ? 0 : spread;
      const squaredMean = Math.max(ofMean - variance / count, variance / count);
      return { variance, squaredMean, relative: variance === 0 ? 0 : Math.min(count, variance / squaredMean) };
    },
  };
}

const squaredNorm = (values: Float64Array): number => values.reduce((total, value) => total + value * value, 0);
