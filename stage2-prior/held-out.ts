/**
 * Held-out bits/token: which rows are asked of a prior and how much each position counts, the same while training as of a published graph; and
 * what its logits make of them, on the host. Knows no runtime: a network is a function from ids to logits.
 */
import { badInput, invariant, mismatch, numericalError } from "../shared/errors.ts";
import { sizeOf } from "../shared/records.ts";
import { Rng } from "../shared/rng.ts";
import type { TokenGrid } from "../shared/tokens.ts";
import { objectives, type PrepareShape } from "./objectives/index.ts";
import type { LearntObjective } from "./signature.ts";
import { toClassIds } from "./vocabulary.ts";

/** Images to measure on. */
export interface HeldOutTokens {
  /** [n, h, w], codes only. */
  readonly tokens: TokenGrid;
  /** [n], −1 for none; unconditional priors do not look at them. */
  readonly labels: Int32Array;
}

/** What decides how a prior is measured; a training configuration is one. */
export interface HeldOutShape extends PrepareShape {
  readonly objective: LearntObjective;
  /** C; 0 = unconditional. */
  readonly classes: number;
}

/** A type, not an interface: engines take it as a record of arrays. */
export type HeldOutBatch = {
  /** [B, L]: what the network sees, 0 … K. */
  readonly ids: Int32Array;
  /** [B, L]: the codes that it is to predict. */
  readonly targets: Int32Array;
  /** float32 [B, L]: how much a position counts. */
  readonly counted: Float32Array;
  /** [B], C for no class. */
  readonly classes: Int32Array;
};

/**
 * Every image once a pass, in batches of one size: the last of a pass is filled up with rows that do not count. What is drawn for an image depends
 * on the pass and on its place in it, not on the batch.
 * @throws bad-input for anything but codes, or a label that is no class
 */
export function* heldOutBatches(
  data: HeldOutTokens,
  shape: HeldOutShape,
  batchSize: number,
): Generator<HeldOutBatch, void, undefined> {
  const { tokens } = data.tokens;
  const [count, length] = [data.labels.length, sizeOf(shape.grid)];
  const objective = objectives[shape.objective];
  const passes = objective.evaluationPasses;
  const classIds = shape.classes === 0 ? new Int32Array(count) : toClassIds(data.labels, shape.classes);
  const rng = Rng.fromSeed(0).fork("evaluation");
  for (let pass = 0; pass < passes; pass++) {
    // What is drawn by place must not go by the order of the set, which may be that of the classes.
    const order = passes === 1 ? [...classIds.keys()] : [...rng.fork("order", pass).permutation(count)];
    for (let start = 0; start < count; start += batchSize) {
      const batch = emptyBatch(batchSize, length);
      for (let row = 0; row < batchSize; row++) {
        const place = Math.min(start + row, count - 1);
        const image = order[place] ?? 0;
        const own = tokens.subarray(image * length, (image + 1) * length); // [L]
        const { ids, counted } = objective.prepare(own, rng.fork("pass", pass).fork(place), {
          config: shape,
          mode: "evaluation",
          place: { first: pass * count + place, of: passes * count },
        });
        batch.ids.set(ids, row * length);
        batch.targets.set(own, row * length);
        if (start + row < count) batch.counted.set(counted, row * length);
        batch.classes[row] = classIds[image] ?? 0;
      }
      yield batch;
    }
  }
}

const emptyBatch = (size: number, length: number): HeldOutBatch => ({
  ids: new Int32Array(size * length),
  targets: new Int32Array(size * length),
  counted: new Float32Array(size * length),
  classes: new Int32Array(size),
});

/** Model-side ids [N, L] and class ids [N] → logits [N, L, K] of every position at once. */
export type IdsToLogits = (ids: Int32Array, classIds: Int32Array) => Promise<Float32Array>;

export interface MeasureOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after every batch with the share of the work that is done, 0 … 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/** Images run side by side at most, and numbers in their logits or attention scores: bounds memory. */
const [MOST_IMAGES, MOST_NUMBERS] = [16, 2 ** 22];

/**
 * Bits a token over all images, by the weights of their positions.
 * @throws bad-input if there is no image or a token or label cannot be; mismatch for another grid; numerical if a logit is not finite; the
 * signal's reason
 */
export async function measureBitsPerToken(
  network: IdsToLogits,
  data: HeldOutTokens,
  shape: HeldOutShape,
  { signal, onProgress }: MeasureOptions = {},
): Promise<number> {
  checkImages(data, shape);
  const count = data.labels.length;
  const length = sizeOf(shape.grid);
  const fitting = Math.floor(MOST_NUMBERS / (length * Math.max(shape.codebookSize, length)));
  const batchSize = Math.max(1, Math.min(MOST_IMAGES, count, fitting));
  const batches = Math.ceil(count / batchSize) * objectives[shape.objective].evaluationPasses;
  let [nats, weight, done] = [0, 0, 0];
  for (const batch of heldOutBatches(data, shape, batchSize)) {
    signal?.throwIfAborted();
    const logits = await network(batch.ids, batch.classes); // [N, L, K]
    batch.counted.forEach((counts, position) => {
      if (counts === 0) return;
      nats += counts * natsOf(logits.subarray(position * shape.codebookSize, (position + 1) * shape.codebookSize), batch.targets[position] ?? 0); // prettier-ignore
      weight += counts;
    });
    onProgress?.(++done / batches);
  }
  return nats / weight / Math.LN2;
}

/** −log softmax(logits)[target], in double precision. */
function natsOf(logits: Float32Array, target: number): number {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  let [total, mass] = [0, 0]; // Σ (logit − largest): finite if and only if every logit is
  for (const logit of logits) {
    total += logit - largest;
    mass += Math.exp(logit - largest);
  }
  if (Number.isFinite(total)) return largest + Math.log(mass) - (logits[target] ?? NaN);
  throw numericalError({
    what: "the prior gives logits that are not finite",
    where: "held-out tokens",
    todo: "Its weights are damaged or its training diverged.",
  });
}

/** @throws bad-input if there is no image; mismatch for another grid */
export function checkImages({ tokens, labels }: HeldOutTokens, { grid }: Pick<HeldOutShape, "grid">): void {
  const [count, ...got] = tokens.shape;
  invariant(labels.length === count, `${count} images have ${labels.length} labels`);
  const where = "held-out tokens";
  if (count === 0) throw badInput({ what: "there is no image to measure on", where });
  if (got.join("×") === grid.join("×")) return;
  throw mismatch({ what: "the grid is of another size", where, expected: grid.join("×"), got: got.join("×") });
}
