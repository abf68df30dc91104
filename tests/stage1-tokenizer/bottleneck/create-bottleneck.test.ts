/** The line where a leaf is chosen: every name has its own, and it fits the sizes of the configuration. */
import { describe, expect, test } from "vitest";
import { sizeOf } from "../../../shared/nn/state.ts";
import { Rng } from "../../../shared/rng.ts";
import {
  createBottleneck,
  createContinuous,
  createDiscrete,
} from "../../../stage1-tokenizer/bottleneck/create-bottleneck.ts";
import { BOTTLENECKS, makesTokens } from "../../../stage1-tokenizer/config.ts";
import { tinyConfig } from "../tiny-config.ts";

describe.each(BOTTLENECKS)("%s", (name) => {
  const config = tinyConfig({ bottleneck: name, ...(name === "fsq" && { levels: [2, 4] }) });

  test("is chosen by its name, of the kind the configuration says", () => {
    const bottleneck = createBottleneck(config);
    expect(bottleneck.name).toBe(name);
    expect(bottleneck.kind).toBe(makesTokens(config) ? "discrete" : "continuous");
    const [right, wrong] = makesTokens(config)
      ? [createDiscrete, createContinuous]
      : [createContinuous, createDiscrete];
    expect(right(config).name).toBe(name);
    expect(() => wrong(config)).toThrow(name);
  });

  test("draws for a whole batch, and has as many codes as the configuration", () => {
    const bottleneck = createBottleneck(config);
    const drawn = bottleneck.drawn.draw(Rng.fromSeed(1));
    for (const [entry, { shape }] of Object.entries(bottleneck.drawn.spec))
      expect(drawn[entry]).toHaveLength(sizeOf(shape));
    if (bottleneck.kind === "discrete") expect(bottleneck.codebookSize).toBe(8);
    else expect(bottleneck.latentShape).toEqual(name === "gaussian-vector" ? [4] : [4, 4, 4]);
  });
});
