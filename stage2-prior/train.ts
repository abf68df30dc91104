/** Trains a prior: token sets in, state and held-out bits/token out. Knows no command line and publishes nothing. */
import type { Engine } from "../shared/engine/engine.ts";
import { canonicalJson, sha256Hex } from "../shared/fingerprint.ts";
import { group, prefix, sizeOf, type InitialState } from "../shared/nn/state.ts";
import { Rng } from "../shared/rng.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { runLoop, type Batch } from "../shared/train/loop.ts";
import { keepRun, startingPoint, stepsForTime, type RunEnd, type RunOptions } from "../shared/train/run.ts";
import type { PriorConfig } from "./config.ts";
import type { TrainedPrior } from "./export.ts";
import { heldOutBatches } from "./held-out.ts";
import { createTokenBatches, loadSplit, type TokenData } from "./token-data.ts";
import { createPriorStep, evaluationWeights, initialPriorState, lossOf, priorBatch } from "./training-step.ts";

export interface TrainPriorOptions extends RunOptions {
  readonly config: PriorConfig;
  readonly training: TokenSet;
  /** Measured on; the last 5 % of the training set (then not trained on) where there is none. */
  readonly heldOut?: TokenSet;
}

/** A finished run, or one that was interrupted and left its checkpoint. `step` counts finished steps. */
export type PriorRun = (TrainedPrior & RunEnd<false>) | RunEnd<true>;

const labelOf = ({ objective }: PriorConfig): string => `${objective} prior`;

/** @throws mismatch if the held-out tokens are of another making or a checkpoint is of another run; numerical if the loss stops being finite. */
export async function trainPrior(options: TrainPriorOptions): Promise<PriorRun> {
  const { engine, reporter, training } = options;
  const rng = Rng.fromSeed(options.seed).fork("prior", options.config.objective);
  const data = await loadSplit(options);
  const config = await withSteps(options, data.training, rng);
  const configFingerprint = runFingerprint(options, config);
  const start = await startingPoint({
    label: labelOf(config),
    folder: options.folder,
    configFingerprint,
    fresh: () => Promise.resolve(initialPriorState(config, rng.fork("initial"))),
    reporter,
  });
  const kept = await keepRun(options.folder, {
    spec: start.state.spec,
    configFingerprint,
    steps: config.steps,
    firstStep: start.step,
  });
  const trainer = await engine.createTrainer(createPriorStep(config), start.state, priorBatch(config).spec);
  try {
    const run = await runLoop({
      trainer,
      batch: trainingBatches(config, data.training, rng),
      firstStep: start.step,
      steps: config.steps,
      reporter,
      label: labelOf(config),
      unitsPerStep: { count: config.batchSize * data.training.length, unit: "tokens" },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...kept.options,
    });
    if (run.interrupted) return { step: run.step, interrupted: true };
    const state = { spec: start.state.spec, values: await trainer.state() };
    const bitsPerToken = await evaluate({ config, state, engine, data: data.heldOut });
    const parameters = Object.values(group(state.spec, "weight")).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const { fingerprint, classes } = training.header;
    return {
      config,
      fingerprint,
      classes,
      state,
      bitsPerToken,
      parameters,
      step: run.step,
      interrupted: false,
    };
  } finally {
    await trainer.dispose();
  }
}

function trainingBatches(config: PriorConfig, data: TokenData, rng: Rng): (step: number) => Promise<Batch> {
  const rows = createTokenBatches(data, config.batchSize, rng);
  return (step) => {
    const batch = rows(step);
    return Promise.resolve({
      arrays: priorBatch(config).prepare(batch, rng.fork("step", step)),
      keys: batch.keys,
    });
  };
}

/** The configuration with the number of steps that fit into `seconds`, if a time was asked for. */
async function withSteps(options: TrainPriorOptions, data: TokenData, rng: Rng): Promise<PriorConfig> {
  const { config, engine, seconds, reporter, folder } = options;
  if (seconds === undefined) return config;
  const { warmupSteps } = config;
  const step = createPriorStep({ ...config, steps: Math.max(config.steps, warmupSteps + 1) });
  const steps = await stepsForTime({
    label: labelOf(config),
    seconds,
    warmupSteps,
    folder,
    reporter,
    probe: () => engine.createTrainer(step, initialPriorState(config, rng.fork("probe")), priorBatch(config).spec),
    batch: trainingBatches(config, data, rng),
  });
  return { ...config, steps };
}

/** What a checkpoint must agree on to be continued: everything that decides the next weights but, where the rate allows, the number of steps. */
function runFingerprint({ seed, training }: TrainPriorOptions, config: PriorConfig): string {
  const horizon = config.schedule === "warmup-cosine" ? config.steps : 0;
  const { files, fingerprint = "" } = training.manifest;
  return sha256Hex(canonicalJson({ ...config, steps: horizon, seed, fingerprint, tokens: files }));
}

/** Bits a token over all of `data` by the weights of its positions, under the averaged weights. */
async function evaluate(run: {
  config: PriorConfig;
  state: InitialState;
  engine: Engine;
  data: TokenData;
}): Promise<number> {
  const { config, engine, data } = run;
  const spec = prefix(evaluationWeights(run.state.spec), "weight");
  const values = prefix(evaluationWeights(run.state.values), "weight");
  const compiled = await engine.compile(
    (inputs) => {
      const { nats, weight } = lossOf(group(inputs, "weight"), inputs, config, "evaluation");
      return { nats, weight };
    },
    { ...spec, ...priorBatch(config).evaluationSpec },
  );
  let [nats, weight] = [0, 0];
  const { tokens, labels } = data;
  const heldOut = { tokens: { tokens, shape: [labels.length, ...config.grid] as const }, labels };
  for (const batch of heldOutBatches(heldOut, config, config.batchSize)) {
    const result = await compiled.run({ ...values, ...batch });
    const here = result["weight"]?.[0] ?? 0;
    nats += (result["nats"]?.[0] ?? NaN) * here;
    weight += here;
  }
  await compiled.dispose();
  return nats / weight / Math.LN2;
}
