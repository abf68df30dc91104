/** Ranges of a graph's activations, measured by running it in float32. Knows no image and no file. */
import type { OnnxModel } from "../model.ts";
import { createSession, type SessionOptions, type TensorValue } from "../session.ts";
import { encodeModel } from "../write.ts";
import { activationNames, extremesOf, type Range, type Ranges } from "./convolutions.ts";
import { invariant } from "../../errors.ts";

export interface RangeMeter {
  /** Runs the graph, and returns what it returns. @throws as `OnnxSession.run` */
  run(feeds: Readonly<Record<string, TensorValue>>): Promise<Record<string, TensorValue>>;
  /** The smallest and largest number of each activation in all runs; 0 is in every range. */
  ranges(): Ranges;
  dispose(): Promise<void>;
}

export async function createRangeMeter(model: OnnxModel, options: SessionOptions = {}): Promise<RangeMeter> {
  const names = activationNames(model);
  const watched = names.map((name) => ({ name, type: "float32" as const, shape: ["", "", "", ""] })); // of convolutions: rank 4
  const session = await createSession(encodeModel({ ...model, outputs: [...model.outputs, ...watched] }), options);
  const ranges = new Map<string, Range>(names.map((name) => [name, [0, 0]]));
  return {
    async run(feeds) {
      const results = await session.run(feeds);
      for (const [name, [least, largest]] of ranges) {
        const data = results[name]?.data;
        invariant(data instanceof Float32Array, `activation "${name}" must be float32`);
        const [from, to] = extremesOf(data);
        ranges.set(name, [Math.min(least, from), Math.max(largest, to)]);
      }
      return results;
    },
    ranges: () => Object.fromEntries(ranges),
    dispose: () => session.dispose(),
  };
}
