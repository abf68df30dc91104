/**
 * What every bottleneck leaf must do: `testBottleneck` for all of them, and beside it `testNearestCodes` for those that choose the nearest of
 * codes in the encoder's space. A leaf's test file calls them with a way to make it.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Arrays, Signature, Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { group, sizeOf } from "../../shared/nn/state.ts";
import { Rng } from "../../shared/rng.ts";
import type {
  Bottleneck,
  CodebookSize,
  ContinuousBottleneck,
  DiscreteBottleneck,
  KMeansStart,
} from "../../stage1-tokenizer/bottleneck/bottleneck.ts";
import { totalLoss } from "../../stage1-tokenizer/losses.ts";

export const SIZE: CodebookSize = { codebookSize: 5, codeDimension: 3 };
export const GRID: [height: number, width: number] = [4, 3];
export const BATCH_SIZE = 2;
export const BATCH_TOKENS = 24;

export const toTensors = (spec: Signature, values: Arrays): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(spec).map(([name, { shape, dtype }]) => [
      name,
      tf.tensor(values[name] ?? [], [...shape], dtype === "float32" ? "float32" : "int32"),
    ]),
  );

/** Five well separated codes. */
export const CENTROIDS = Float32Array.of(0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 3, 3, 3, 3);

const noise = (seed: number, channels: number): tf.Tensor =>
  tf.tensor(
    Rng.fromSeed(seed).fill(BATCH_TOKENS * channels, (rng) => 2 * rng.normal()),
    [BATCH_SIZE, ...GRID, channels],
  );

/** The state a step sees: the leaf's own entries and the loop's `step`. */
const stateOf = (bottleneck: Bottleneck): Tensors => {
  const { spec, values } = bottleneck.initialState(Rng.fromSeed(1));
  return { ...toTensors(spec, values), step: tf.scalar(3) };
};
const batchOf = ({ drawn }: Bottleneck, seed = 1): Tensors => toTensors(drawn.spec, drawn.draw(Rng.fromSeed(seed)));
const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];

export function testBottleneck(bottleneck: Bottleneck): void {
  const initial = bottleneck.initialState(Rng.fromSeed(1));
  const zE = (seed = 2): tf.Tensor => noise(seed, bottleneck.encoderChannels);
  const owned = Object.keys(initial.spec).filter((name) => name.startsWith("codebook/"));

  /** A loss as training makes it, with a weighted sum of z in the place of reconstruction. */
  const lossOf = (x: tf.Tensor, state: Tensors): tf.Tensor => {
    const bottled = bottleneck.forward(x, state, batchOf(bottleneck));
    const perImage = tf.mean(tf.mul(bottled.z, noise(3, bottleneck.decoderChannels)), [1, 2, 3]); // [B]
    const after = bottled.afterDecoding?.(tf.tensor1d([0.3, 1.7]));
    return totalLoss(tf.mean(perImage), { ...bottled.terms, ...after?.terms });
  };

  describe(`bottleneck contract: ${bottleneck.name}`, () => {
    beforeAll(async () => {
      await tf.setBackend("cpu");
    });

    test("declares its state: one value array of the right length per entry, in a known group", () => {
      expect(Object.keys(initial.values).sort()).toEqual(Object.keys(initial.spec).sort());
      for (const [name, { shape }] of Object.entries(initial.spec)) {
        expect(initial.values[name]).toHaveLength(sizeOf(shape));
        expect(name).toMatch(/^(weight\/codebook\.|codebook\/)/);
      }
      expect(Object.keys(group(initial.spec, "weight")).length + owned.length).toBe(Object.keys(initial.spec).length);
    });

    test("draws by the spec, the same from the same stream and others from another", () => {
      const { spec, draw } = bottleneck.drawn;
      const draws = draw(Rng.fromSeed(9));
      expect(Object.keys(draws)).toEqual(Object.keys(spec));
      for (const [name, { shape }] of Object.entries(spec)) expect(draws[name]).toHaveLength(sizeOf(shape));
      expect(draw(Rng.fromSeed(9))).toEqual(draws);
      if (Object.keys(spec).length > 0) expect(draw(Rng.fromSeed(10))).not.toEqual(draws);
    });

    test("gives the decoder its channels at every position, and finite scalars beside it", () => {
      const { z, terms, metrics } = bottleneck.forward(zE(), stateOf(bottleneck), batchOf(bottleneck));
      expect(z.shape).toEqual([BATCH_SIZE, ...GRID, bottleneck.decoderChannels]);
      expect(values(z).every(Number.isFinite)).toBe(true);
      for (const scalar of [...Object.values(terms).map(({ value }) => value), ...Object.values(metrics)]) {
        expect(scalar.shape).toEqual([]);
        expect(Number.isFinite(scalar.dataSync()[0])).toBe(true);
      }
    });

    test("is a function of its inputs: the same draw gives the same z", () => {
      const state = stateOf(bottleneck);
      const pass = (): number[] => values(bottleneck.forward(zE(), state, batchOf(bottleneck)).z);
      expect(pass()).toEqual(pass());
    });

    test("lets a gradient of the loss reach zE, and every weight of its own", () => {
      const state = stateOf(bottleneck);
      const names = Object.keys(group(initial.spec, "weight")).map((name) => `weight/${name}`);
      const weights = names.map((name) => state[name] as tf.Tensor);
      const gradients = tf.grads((x: tf.Tensor, ...own: tf.Tensor[]) =>
        lossOf(x, { ...state, ...Object.fromEntries(own.map((tensor, i) => [names[i] ?? "", tensor])) }),
      )([zE(), ...weights]);
      for (const gradient of gradients) {
        expect(values(gradient).every(Number.isFinite)).toBe(true);
        expect(values(gradient).some((value) => value !== 0)).toBe(true);
      }
    });

    test("an update returns every entry of codebook/ in its shape, finite, and nothing else", () => {
      const state = stateOf(bottleneck);
      const { statistics, afterDecoding } = bottleneck.forward(zE(), state, batchOf(bottleneck));
      const after = afterDecoding?.(tf.tensor1d([0.3, 1.7]));
      const next = bottleneck.updateState(state, { ...statistics, ...after?.statistics });
      expect(Object.keys(next).sort()).toEqual(owned.sort());
      for (const [name, tensor] of Object.entries<tf.Tensor>(next)) {
        expect(tensor.shape).toEqual(initial.spec[name]?.shape);
        expect(values(tensor).every(Number.isFinite)).toBe(true);
      }
    });

    test("refuses a zE of another width", () => {
      const wide = tf.zeros([BATCH_SIZE, ...GRID, bottleneck.encoderChannels + 1]);
      expect(() => bottleneck.forward(wide, stateOf(bottleneck), batchOf(bottleneck))).toThrow(
        `[B, h, w, ${bottleneck.encoderChannels}], got [2, 4, 3, ${bottleneck.encoderChannels + 1}]`,
      );
    });

    test("leaks no tensor", () => {
      const [state, x, drawn] = [stateOf(bottleneck), zE(), batchOf(bottleneck)];
      const before = tf.memory().numTensors;
      tf.tidy(() => {
        const { statistics, afterDecoding } = bottleneck.forward(x, state, drawn);
        const after = afterDecoding?.(tf.tensor1d([0.3, 1.7]));
        bottleneck.updateState(state, { ...statistics, ...after?.statistics });
      });
      expect(tf.memory().numTensors).toBe(before);
    });

    if (bottleneck.kind === "discrete") testDiscrete(bottleneck, zE);
    else testContinuous(bottleneck, zE);
  });
}

function testDiscrete(bottleneck: DiscreteBottleneck, zE: (seed?: number) => tf.Tensor): void {
  const { codebookSize } = bottleneck;
  const everyCode = (): tf.Tensor => tf.reshape(tf.range(0, codebookSize, 1, "int32"), [1, codebookSize, 1]);

  test("assigns every position one of the K codes, whatever was drawn", () => {
    const tokens = bottleneck.assign(zE(), stateOf(bottleneck));
    expect(tokens.dtype).toBe("int32");
    expect(tokens.shape).toEqual([BATCH_SIZE, ...GRID]);
    expect(values(tokens).every((token) => Number.isInteger(token) && token >= 0 && token < codebookSize)).toBe(true);
    expect(new Set(values(tokens)).size).toBeGreaterThan(1);
  });

  test("counts the positions of the batch among its statistics", () => {
    const { counts } = bottleneck.forward(zE(), stateOf(bottleneck), batchOf(bottleneck)).statistics;
    expect(counts?.shape).toEqual([codebookSize]);
    expect(values(counts ?? tf.scalar(NaN)).reduce((sum, count) => sum + count, 0)).toBe(BATCH_TOKENS);
  });

  test("looks up a code of its own for each token", () => {
    const codes = bottleneck.lookup(everyCode(), stateOf(bottleneck));
    expect(codes.shape).toEqual([1, codebookSize, 1, bottleneck.decoderChannels]);
    const rows = (codes.reshape([codebookSize, -1]).arraySync() as number[][]).map((row) => row.join());
    expect(new Set(rows).size).toBe(codebookSize);
  });
}

function testContinuous(bottleneck: ContinuousBottleneck, zE: (seed?: number) => tf.Tensor): void {
  test("without noise z is what its latent gives", () => {
    const state = stateOf(bottleneck);
    const still = Object.fromEntries(
      Object.entries(bottleneck.drawn.spec).map(([name, { shape }]) => [name, tf.zeros([...shape])]),
    );
    const latent = bottleneck.latent(zE(), state);
    expect(latent.shape).toEqual([BATCH_SIZE, ...bottleneck.latentShape]);
    expect(values(bottleneck.fromLatent(latent, state))).toEqual(values(bottleneck.forward(zE(), state, still).z));
  });

  test("a posterior has the latent as its mean", () => {
    const state = stateOf(bottleneck);
    const { mean, logVariance } = bottleneck.posterior?.(zE(), state) ?? {};
    if (mean === undefined || logVariance === undefined) expect(bottleneck.drawn.spec).toEqual({});
    else {
      expect(values(mean)).toEqual(values(bottleneck.latent(zE(), state)));
      expect(logVariance.shape).toEqual(mean.shape);
    }
  });
}

/** For leaves whose codes live in the encoder's space and are not normalised: made with `SIZE`. */
export function testNearestCodes(bottleneck: DiscreteBottleneck & { readonly kMeansStart: KMeansStart }): void {
  const clusters = { centroids: CENTROIDS, counts: Float32Array.of(4, 1, 0, 2, 1) };
  const started = (): Tensors => {
    const { spec, values: initial } = bottleneck.initialState(Rng.fromSeed(1));
    return toTensors(spec, { ...initial, ...bottleneck.kMeansStart.startFrom(clusters) });
  };
  const zE = (): tf.Tensor => noise(2, 3);

  describe(`nearest codes: ${bottleneck.name}`, () => {
    beforeAll(async () => {
      await tf.setBackend("cpu");
    });

    test("start at the clusters and touch no entry they do not own", () => {
      const { values: initial } = bottleneck.initialState(Rng.fromSeed(1));
      for (const [name, array] of Object.entries(bottleneck.kMeansStart.startFrom(clusters)))
        expect(array).toHaveLength(initial[name]?.length ?? -1);
      const codes = bottleneck.lookup(tf.tensor([0, 1, 2, 3, 4], [1, 5, 1], "int32"), started());
      expect(values(codes)).toEqual([...CENTROIDS]);
    });

    test("are the nearest, and z, assign, lookup and counts agree", () => {
      const state = started();
      const rows = zE().dataSync();
      const nearest = Array.from({ length: BATCH_TOKENS }, (_, i) => {
        const distances = Array.from({ length: 5 }, (_, k) =>
          [0, 1, 2].reduce((sum, j) => sum + ((rows[3 * i + j] ?? 0) - (CENTROIDS[3 * k + j] ?? 0)) ** 2, 0),
        );
        return distances.indexOf(Math.min(...distances));
      });
      const { z, statistics } = bottleneck.forward(zE(), state, batchOf(bottleneck));
      const tokens = bottleneck.assign(zE(), state);
      expect(values(tokens)).toEqual(nearest);
      expect(values(bottleneck.lookup(tokens, state))).toEqual(values(z));
      expect(values(statistics["counts"] ?? tf.scalar(NaN))).toEqual(
        [0, 1, 2, 3, 4].map((k) => nearest.filter((index) => index === k).length),
      );
    });

    test("are fixed points: assign(lookup(tokens)) = tokens", () => {
      const tokens = tf.tensor([4, 3, 2, 1, 0, 0], [1, 2, 3], "int32");
      const state = started();
      expect(values(bottleneck.assign(bottleneck.lookup(tokens, state), state))).toEqual(values(tokens));
    });

    test("pass the gradient of z to zE unchanged", () => {
      const state = started();
      const weight = noise(3, 3);
      const copied = tf.grad((x: tf.Tensor) =>
        tf.sum(tf.mul(weight, bottleneck.forward(x, state, batchOf(bottleneck)).z)),
      )(zE());
      expect(values(copied)).toEqual(values(weight));
    });

    test("charge a commitment of mean (zE − zQ)², whose gradient is 2(zE − zQ)/n", () => {
      const state = started();
      const commitment = (x: tf.Tensor): tf.Tensor =>
        bottleneck.forward(x, state, batchOf(bottleneck)).terms["commitmentLoss"]?.value ?? tf.scalar(NaN);
      const error = tf.sub(zE(), bottleneck.forward(zE(), state, batchOf(bottleneck)).z);
      const { value, grad } = tf.valueAndGrad(commitment)(zE());
      expect(value.dataSync()[0]).toBeCloseTo(tf.mean(tf.square(error)).dataSync()[0] ?? NaN, 5);
      const expected = tf.mul(error, 2 / error.size).dataSync();
      grad.dataSync().forEach((got, i) => expect(got).toBeCloseTo(expected[i] ?? NaN, 6));
    });
  });
}
