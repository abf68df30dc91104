/**
 * Prior graphs as the functions samplers take. The causal one owns the key–value cache: onnxruntime copies every output, so the graph
 * returns only the new rows, which are appended here to buffers that were allocated once; the graph is fed views of them.
 */
import { invariant } from "../shared/errors.ts";
import { createSession, type OnnxSession, type SessionOptions, type TensorValue } from "../shared/onnx/session.ts";
import type { IdsToLogits } from "./held-out.ts";
import { pastNames, presentNames, type LearntObjective } from "./signature.ts";
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

interface LayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** [H, Dh] */
  readonly rowShape: readonly [heads: number, headDimension: number];
}

/** The causal graph, loaded twice. */
export interface CausalSessions {
  /** Optimised: product and transpose fused, which reads the cache where it lies. */
  readonly growing: OnnxSession;
  /**
   * For the empty cache of the first call: onnxruntime 1.30's fused product divides by the cache's length and takes the process down with it
   * (SIGFPE). The graph as written, without that fusion, has no such trouble.
   */
  readonly empty: OnnxSession;
}

/** Sessions of a prior's graph; of any other than a causal one both are the same. */
export interface PriorSessions extends CausalSessions {
  dispose(): Promise<void>;
}

/** @throws failure if the runtime cannot load the graph */
export async function openSessions(
  graph: Uint8Array,
  objective: LearntObjective,
  options: SessionOptions,
): Promise<PriorSessions> {
  const growing = await createSession(graph, options);
  let empty = growing;
  try {
    if (objective === "causal") empty = await createSession(graph, { ...options, optimization: "basic" });
  } catch (error) {
    await growing.dispose();
    throw error;
  }
  return {
    growing,
    empty,
    dispose: async () => {
      await growing.dispose();
      if (empty !== growing) await empty.dispose();
    },
  };
}

/** All positions of whole grids at once: teacher forcing, for the causal signature under an empty cache. */
export function createFullPass(
  { empty }: Pick<CausalSessions, "empty">,
  { codebookSize, length }: { codebookSize: number; length: number },
): IdsToLogits {
  return async (ids, classIds) => {
    const count = classIds.length;
    const feeds = feedsOf(empty, {
      tokens: int64(ids, [count, length]),
      class: int64(classIds, [count]),
      ...cacheFeeds(allocateCaches(empty, count, 0), 0, count),
    });
    const { logits } = await empty.run(feeds, ["logits"]);
    const values = floats(logits, "logits");
    checkLogits(values, [count, length, codebookSize]);
    return values;
  };
}

/** A fresh network for one call of the sampler: its cache starts empty and is never rewound. */
export function createCausalNetwork(
  sessions: CausalSessions,
  options: { codebookSize: number; length: number; classIds: Int32Array },
): CausalTokensToLogits {
  const { codebookSize, length, classIds } = options;
  const count = classIds.length;
  const caches = allocateCaches(sessions.growing, count, length);
  let past = 0;
  return async (previous) => {
    const steps = previous.length / count;
    const session = past === 0 ? sessions.empty : sessions.growing;
    const outputs = await session.run(
      feedsOf(session, {
        tokens: int64(toIds(previous, codebookSize), [count, steps]),
        class: int64(classIds, [count]),
        ...cacheFeeds(caches, past, count),
      }),
    );
    for (const [layer, cache] of caches.entries()) {
      const rowLength = count * cache.rowShape[0] * cache.rowShape[1];
      const names = presentNames(layer);
      cache.keys.set(floats(outputs[names.keys], names.keys), past * rowLength);
      cache.values.set(floats(outputs[names.values], names.values), past * rowLength);
    }
    past += steps;
    return lastPosition(floats(outputs["logits"], "logits"), { count, steps, codebookSize });
  };
}

/** Room for every position, time-major [L, N, H, Dh], so that the first P rows are one contiguous view. */
function allocateCaches(session: OnnxSession, count: number, length: number): LayerCache[] {
  const caches: LayerCache[] = [];
  for (;;) {
    const name = pastNames(caches.length).keys;
    const info = session.inputs.find((input) => input.name === name);
    if (info === undefined) return caches;
    const [, , heads, headDimension] = info.shape;
    invariant(
      typeof heads === "number" && typeof headDimension === "number",
      `${name} must have fixed heads and head dimension`,
    );
    const size = length * count * heads * headDimension;
    caches.push({ keys: new Float32Array(size), values: new Float32Array(size), rowShape: [heads, headDimension] });
  }
}

function cacheFeeds(caches: readonly LayerCache[], past: number, count: number): Record<string, TensorValue> {
  return Object.fromEntries(
    caches.flatMap(({ keys, values, rowShape }, layer) => {
      const shape = [past, count, ...rowShape];
      const end = past * count * rowShape[0] * rowShape[1];
      const names = pastNames(layer);
      return [
        [names.keys, { type: "float32", shape, data: keys.subarray(0, end) }],
        [names.values, { type: "float32", shape, data: values.subarray(0, end) }],
      ] as const;
    }),
  );
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
