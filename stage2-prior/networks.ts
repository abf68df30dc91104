/** Prior graphs as the functions samplers take. Keys and values of the causal one are the business of key-value-cache.ts. */
import { invariant } from "../shared/errors.ts";
import type { OnnxSession, TensorValue } from "../shared/onnx/session.ts";
import type { IdsToLogits } from "./held-out.ts";
import { createCache } from "./key-value-cache.ts";
import { createHistory } from "./sample/history.ts";
import { checkLogits, type CausalTokensToLogits, type TokensToLogits } from "./sample/sampler.ts";
import { toIds } from "./vocabulary.ts";

/** A feed of ids or classes. */
export const int64 = (values: Int32Array, shape: readonly number[]): TensorValue => ({
  type: "int64",
  shape,
  data: BigInt64Array.from(values, BigInt),
});

function floats(value: TensorValue | undefined, name: string): Float32Array {
  invariant(value?.data instanceof Float32Array, `the prior's output "${name}" must be float32`);
  return value.data;
}

/** @param classIds [N], one an image, the null class where unconditional */
export function createMaskedNetwork(
  session: OnnxSession,
  options: { codebookSize: number; classIds: Int32Array },
): TokensToLogits {
  const { codebookSize, classIds } = options;
  return async (tokens) => {
    const length = tokens.length / classIds.length;
    const ids = toIds(tokens, codebookSize);
    const outputs = await session.run(
      feedsOf(session, { tokens: int64(ids, [classIds.length, length]), class: int64(classIds, [classIds.length]) }),
    );
    return floats(outputs["logits"], "logits");
  };
}

/**
 * A graph of the whole grid as a network that is asked position after position: it keeps the tokens so far and runs the graph once a call. Only
 * for graphs whose logits at t depend on the tokens before t alone.
 */
export function createRasterNetwork(
  session: OnnxSession,
  options: { codebookSize: number; length: number; classIds: Int32Array },
): CausalTokensToLogits {
  const { codebookSize, length, classIds } = options;
  const count = classIds.length;
  const network = createMaskedNetwork(session, options);
  const remember = createHistory({ count, length });
  return async (previous) => {
    const { tokens, position } = remember(previous);
    const logits = await network(tokens); // [N, L, K]
    checkLogits(logits, [count, length, codebookSize]);
    const asked = new Float32Array(count * codebookSize); // [N, K]
    for (let image = 0; image < count; image++) {
      const start = (image * length + position) * codebookSize;
      asked.set(logits.subarray(start, start + codebookSize), image * codebookSize);
    }
    return asked;
  };
}

/** All positions of whole grids at once: teacher forcing, for the causal signature with nothing cached. */
export function createFullPass(
  session: OnnxSession,
  { codebookSize, length }: { codebookSize: number; length: number },
): IdsToLogits {
  return async (ids, classIds) => {
    const count = classIds.length;
    const feeds = feedsOf(session, {
      tokens: int64(ids, [count, length]),
      class: int64(classIds, [count]),
      ...createCache(session, { count, length: 1 }).feeds(),
    });
    const { logits } = await session.run(feeds, ["logits"]);
    const values = floats(logits, "logits");
    checkLogits(values, [count, length, codebookSize]);
    return values;
  };
}

/** A fresh network for one call of the sampler: its cache starts empty and is never rewound. */
export function createCausalNetwork(
  session: OnnxSession,
  options: { codebookSize: number; length: number; classIds: Int32Array },
): CausalTokensToLogits {
  const { codebookSize, length, classIds } = options;
  const count = classIds.length;
  const cache = createCache(session, { count, length });
  return async (previous) => {
    const steps = previous.length / count;
    const outputs = await session.run(
      feedsOf(session, {
        tokens: int64(toIds(previous, codebookSize), [count, steps]),
        class: int64(classIds, [count]),
        ...cache.feeds(),
      }),
    );
    cache.append(outputs, steps);
    return lastPosition(floats(outputs["logits"], "logits"), { count, steps, codebookSize });
  };
}

/** logits [N, T, K] → [N, K] of the last position. */
function lastPosition(
  logits: Float32Array,
  size: { count: number; steps: number; codebookSize: number },
): Float32Array {
  const { count, steps, codebookSize } = size;
  if (steps === 1) return logits;
  const last = new Float32Array(count * codebookSize);
  for (let i = 0; i < count; i++) {
    const start = ((i + 1) * steps - 1) * codebookSize;
    last.set(logits.subarray(start, start + codebookSize), i * codebookSize);
  }
  return last;
}

/** An unconditional graph has no input for the class: feed only what is there. */
function feedsOf(session: OnnxSession, feeds: Readonly<Record<string, TensorValue>>): Record<string, TensorValue> {
  const known = new Set(session.inputs.map(({ name }) => name));
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => known.has(name)));
}
