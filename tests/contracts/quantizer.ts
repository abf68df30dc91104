/** What every quantizer leaf must do. A leaf's test file calls `testQuantizer` with a way to make it. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Arrays, Signature, Tensors } from "../../shared/engine/engine.ts";
import { tf } from "../../shared/engine/tf.ts";
import { group, sizeOf } from "../../shared/nn/state.ts";
import { Rng } from "../../shared/rng.ts";
import type { Quantizer, QuantizerSize } from "../../stage1-tokenizer/quantizer/quantizer.ts";

export const SIZE: QuantizerSize = { codebookSize: 5, codeDimension: 3 };
const ZE_SHAPE: [number, number, number, number] = [2, 4, 3, 3];
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

export function testQuantizer(create: (size: QuantizerSize) => Quantizer): void {
  const quantizer = create(SIZE);
  const noise = (seed: number): tf.Tensor =>
    tf.tensor(
      Rng.fromSeed(seed).fill(sizeOf(ZE_SHAPE), (rng) => 2 * rng.normal()),
      ZE_SHAPE,
    );
  const initial = quantizer.initialState(Rng.fromSeed(1));
  const started = (): Tensors => {
    const clusters = { centroids: CENTROIDS, counts: Float32Array.of(4, 1, 0, 2, 1) };
    return toTensors(initial.spec, { ...initial.values, ...quantizer.startFrom(clusters) });
  };
  const batch = (seed = 1): Tensors => toTensors(quantizer.drawn.spec, quantizer.drawn.draw(Rng.fromSeed(seed)));

  describe(`quantizer contract: ${quantizer.name}`, () => {
    beforeAll(async () => {
      await tf.setBackend("cpu");
    });

    test("declares its state: one value array of the right length per entry, in a known group", () => {
      expect(Object.keys(initial.values).sort()).toEqual(Object.keys(initial.spec).sort());
      for (const [name, { shape }] of Object.entries(initial.spec)) {
        expect(initial.values[name]).toHaveLength(sizeOf(shape));
        expect(name).toMatch(/^(weight|codebook)\//);
      }
    });

    test("starts the codebook at the clusters and touches no entry it does not own", () => {
      const clusters = { centroids: CENTROIDS, counts: Float32Array.of(4, 1, 0, 2, 1) };
      for (const [name, values] of Object.entries(quantizer.startFrom(clusters)))
        expect(values).toHaveLength(initial.values[name]?.length ?? -1);
      const codes = quantizer.lookup(tf.tensor([0, 1, 2, 3, 4], [1, 5, 1], "int32"), started());
      expect(codes.shape).toEqual([1, 5, 1, 3]);
      expect([...codes.dataSync()]).toEqual([...CENTROIDS]);
    });

    test("draws by the spec, the same from the same stream", () => {
      const draws = quantizer.drawn.draw(Rng.fromSeed(9));
      expect(Object.keys(draws)).toEqual(Object.keys(quantizer.drawn.spec));
      for (const [name, { shape }] of Object.entries(quantizer.drawn.spec))
        expect(draws[name]).toHaveLength(sizeOf(shape));
      expect(quantizer.drawn.draw(Rng.fromSeed(9))).toEqual(draws);
    });

    test("chooses the nearest code, and zQ, indices, assign and lookup agree", () => {
      const state = started();
      const zE = noise(2);
      const { zQ, indices, counts } = quantizer.quantize(zE, state, batch());
      const rows = zE.dataSync();
      const nearest = Array.from({ length: BATCH_TOKENS }, (_, i) => {
        const distances = Array.from({ length: 5 }, (_, k) =>
          [0, 1, 2].reduce((sum, j) => sum + ((rows[3 * i + j] ?? 0) - (CENTROIDS[3 * k + j] ?? 0)) ** 2, 0),
        );
        return distances.indexOf(Math.min(...distances));
      });
      expect(indices.dtype).toBe("int32");
      expect(indices.shape).toEqual([2, 4, 3]);
      expect([...indices.dataSync()]).toEqual(nearest);
      expect([...quantizer.assign(zE, state).dataSync()]).toEqual(nearest);
      expect([...quantizer.lookup(indices, state).dataSync()]).toEqual([...zQ.dataSync()]);
      expect([...counts.dataSync()]).toEqual([0, 1, 2, 3, 4].map((k) => nearest.filter((index) => index === k).length));
    });

    test("codes are fixed points: assign(lookup(tokens)) = tokens", () => {
      const tokens = tf.tensor([4, 3, 2, 1, 0, 0], [1, 2, 3], "int32");
      const state = started();
      expect([...quantizer.assign(quantizer.lookup(tokens, state), state).dataSync()]).toEqual([...tokens.dataSync()]);
    });

    test("the gradient of zQ reaches zE unchanged", () => {
      const state = started();
      const weight = noise(3);
      const copied = tf.grad((zE: tf.Tensor) => tf.sum(tf.mul(weight, quantizer.quantize(zE, state, batch()).zQ)))(
        noise(2),
      );
      expect([...copied.dataSync()]).toEqual([...weight.dataSync()]);
    });

    test("the commitment loss is mean (zE − zQ)², and its gradient 2(zE − zQ)/n", () => {
      const state = started();
      const zE = noise(2);
      const zQ = quantizer.quantize(zE, state, batch()).zQ;
      const error = tf.sub(zE, zQ);
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => quantizer.quantize(x, state, batch()).commitmentLoss)(
        zE,
      );
      expect(value.dataSync()[0]).toBeCloseTo(tf.mean(tf.square(error)).dataSync()[0] ?? NaN, 5);
      const expected = tf.mul(error, 2 / zE.size).dataSync();
      grad.dataSync().forEach((got, i) => expect(got).toBeCloseTo(expected[i] ?? NaN, 6));
    });

    test("an update returns every entry of codebook/ in its shape, finite, and nothing else", () => {
      const state = started();
      const next = quantizer.updateState(state, quantizer.quantize(noise(2), state, batch()).statistics);
      const owned = Object.keys(initial.spec).filter((name) => name.startsWith("codebook/"));
      expect(Object.keys(next).sort()).toEqual(owned.sort());
      for (const [name, tensor] of Object.entries(next)) {
        expect(tensor.shape).toEqual(initial.spec[name]?.shape);
        expect([...tensor.dataSync()].every(Number.isFinite)).toBe(true);
      }
      expect(Object.keys(group(initial.spec, "weight")).length + owned.length).toBe(Object.keys(initial.spec).length);
    });

    test("refuses a zE of another width", () => {
      expect(() => quantizer.assign(tf.zeros([1, 2, 2, 4]), started())).toThrow(/\[B, h, w, 3\], got \[1, 2, 2, 4\]/);
    });

    test("leaks no tensor", () => {
      const state = started();
      const zE = noise(2);
      const drawn = batch();
      const before = tf.memory().numTensors;
      tf.tidy(() => {
        quantizer.updateState(state, quantizer.quantize(zE, state, drawn).statistics);
      });
      expect(tf.memory().numTensors).toBe(before);
    });
  });
}
