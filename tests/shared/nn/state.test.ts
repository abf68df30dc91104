import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { group, initialise, joinStates, layer, prefix, uniform, zeros, zerosLike } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";

describe("groups of the flat record", () => {
  test("group undoes prefix and sees nothing else", () => {
    const names = fc.dictionary(fc.stringMatching(/^[a-z.]{1,8}$/), fc.integer());
    fc.assert(
      fc.property(names, names, (weights, moments) => {
        const record = { ...prefix(weights, "weight"), ...prefix(moments, "adam.m"), step: 0 };
        expect(group(record, "weight")).toEqual(weights);
        expect(group(record, "adam.m")).toEqual(moments);
      }),
    );
  });

  test("layer reads one layer's weights and not those of a namesake", () => {
    const weights = { "conv1.kernel": 1, "conv1.bias": 2, "conv10.kernel": 3 };
    expect(layer(weights, "conv1")).toEqual({ kernel: 1, bias: 2 });
  });
});

describe("initialise", () => {
  const conv = { shape: [3, 4], init: uniform(0.5) };

  test("draws each weight from its own stream: another layer changes nothing", () => {
    const alone = initialise({ conv }, Rng.fromSeed(1));
    const beside = initialise({ other: { shape: [7], init: zeros }, conv }, Rng.fromSeed(1));
    expect(beside.values["conv"]).toEqual(alone.values["conv"]);
    expect(initialise({ conv }, Rng.fromSeed(2)).values["conv"]).not.toEqual(alone.values["conv"]);
  });

  test("fills the shape within the bound", () => {
    const { spec, values } = initialise({ conv }, Rng.fromSeed(1));
    expect(spec).toEqual({ conv: { shape: [3, 4], dtype: "float32" } });
    expect(values["conv"]).toHaveLength(12);
    expect(Math.max(...(values["conv"] ?? [9]).map(Math.abs))).toBeLessThanOrEqual(0.5);
  });

  test("a scalar has one value", () => {
    expect(zerosLike({ step: { shape: [], dtype: "float32" } }).values["step"]).toEqual(new Float32Array(1));
  });

  test("a name declared twice is refused", () => {
    const part = zerosLike({ step: { shape: [], dtype: "float32" } });
    expect(() => joinStates(part, part)).toThrow(/step is declared twice/);
  });
});
