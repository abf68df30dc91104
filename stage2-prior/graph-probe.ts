/**
 * Asks a graph of anybody's making for the logits of a few rows, and checks that the answer has the signature's shape. Knows not what the rows
 * are for.
 */
import { mismatch, numericalError, TesseraError, type ErrorSentence } from "../shared/errors.ts";
import type { OnnxSession, TensorValue } from "../shared/onnx/session.ts";
import { int64, type CausalSessions } from "./networks.ts";
import { pastNames, presentNames, type PriorShape } from "./signature.ts";
import { nullClassId } from "./vocabulary.ts";

/** A graph and what it is said to be. */
export interface Probed {
  readonly sessions: CausalSessions;
  readonly shape: PriorShape;
  /** Name of the file, for error sentences. */
  readonly where: string;
  readonly signal?: AbortSignal | undefined;
}

export interface Question {
  /** [N][T] ids */
  readonly rows: readonly Int32Array[];
  /** [N]; the null class where there is none. */
  readonly classIds?: Int32Array;
  /** Of the positions before; none: the row begins. Causal only. */
  readonly cache?: Cache | undefined;
  /** What it means if the runtime refuses. */
  readonly failing?: Pick<ErrorSentence, "what" | "expected" | "todo"> | undefined;
}

/** Float32 [P, N, H, Dh] by the name of the input. */
export type Cache = Readonly<Record<string, TensorValue>>;

export interface Answer {
  /** [N] of logits [T, K] */
  readonly images: readonly Float32Array[];
  /** With the new rows. */
  readonly cache: Cache;
}

/**
 * One run of the graph.
 * @throws mismatch if the runtime refuses or the answer is of another shape; numerical if it is not finite; the signal's reason
 */
export async function ask(options: Probed, question: Question): Promise<Answer> {
  const { sessions, shape, signal } = options;
  signal?.throwIfAborted();
  const { rows, classIds = new Int32Array(rows.length).fill(nullClassId(shape.classes.length)) } = question;
  const [count, steps] = [rows.length, rows[0]?.length ?? 0];
  const session = question.cache === undefined ? sessions.empty : sessions.growing;
  const past = question.cache ?? emptyCache(session, count);
  const tokens = int64(Int32Array.from(rows.flatMap((row) => [...row])), [count, steps]);
  const feeds = { tokens, ...(shape.classes.length === 0 ? {} : { class: int64(classIds, [count]) }), ...past };
  const caches = cacheNames(session).map((names) => ({ ...names, held: past[names.past] }));
  const fetches = ["logits", ...caches.map(({ present }) => present)];
  const outputs = await run(session, feeds, { fetches, failing: question.failing, where: options.where });
  const logits = floatsOf(outputs, "logits", { shape: [count, steps, shape.codebookSize], where: options.where });
  const grown = caches.map(({ past: name, present, held }) => {
    const rowShape = held?.shape.slice(1) ?? [];
    const added = floatsOf(outputs, present, { shape: [steps, ...rowShape], where: options.where });
    return [name, appended(held, added, [steps, ...rowShape])] as const;
  });
  const images = rows.map((_, i) => logits.subarray((i * logits.length) / count, ((i + 1) * logits.length) / count));
  return { images, cache: Object.fromEntries(grown) };
}

async function run(
  session: OnnxSession,
  feeds: Readonly<Record<string, TensorValue>>,
  { fetches, failing, where }: { fetches: readonly string[]; failing: Question["failing"]; where: string },
): Promise<Record<string, TensorValue>> {
  try {
    return await session.run(feeds, fetches);
  } catch (cause) {
    if (!(cause instanceof TesseraError)) throw cause;
    const got = cause.message.replace(/[.]$/, "");
    throw mismatch({ what: "the graph cannot be run as its signature says", ...failing, where, got, cause });
  }
}

/** Inputs of the cache and the outputs that add to them, layer by layer. */
function cacheNames({ inputs }: OnnxSession): { past: string; present: string }[] {
  const names: { past: string; present: string }[] = [];
  for (let layer = 0; inputs.some(({ name }) => name === pastNames(layer).keys); layer++) {
    const [past, present] = [pastNames(layer), presentNames(layer)];
    names.push({ past: past.keys, present: present.keys }, { past: past.values, present: present.values });
  }
  return names;
}

function emptyCache(session: OnnxSession, count: number): Cache {
  const entries = cacheNames(session).map(({ past }) => {
    const [, , ...rowShape] = session.inputs.find(({ name }) => name === past)?.shape ?? [];
    return [past, { type: "float32", shape: [0, count, ...rowShape.map(Number)], data: new Float32Array(0) }] as const;
  });
  return Object.fromEntries(entries);
}

/** Caches grow along their first axis, time, and so by appending. */
function appended(held: TensorValue | undefined, added: Float32Array, shape: readonly number[]): TensorValue {
  const before = held?.data.length ?? 0;
  const data = new Float32Array(before + added.length);
  if (held?.data instanceof Float32Array) data.set(held.data);
  data.set(added, before);
  return { type: "float32", shape: [(held?.shape[0] ?? 0) + (shape[0] ?? 0), ...shape.slice(1)], data };
}

/** @throws mismatch for another type or shape; numerical if a number is not finite */
function floatsOf(
  outputs: Readonly<Record<string, TensorValue>>,
  name: string,
  { shape, where }: { shape: readonly number[]; where: string },
): Float32Array {
  const got = outputs[name];
  if (!(got?.data instanceof Float32Array) || got.shape.join() !== shape.join()) {
    throw mismatch({
      what: `the graph's ${name} come in another shape than the signature says`,
      where,
      expected: `float32 [${shape.join(", ")}]`,
      got: got === undefined ? "nothing" : `${got.type} [${got.shape.join(", ")}]`,
      todo:
        name === "logits"
          ? "Logits are of every position that is asked, over the K codes alone."
          : "Return the new rows only, time first.",
    });
  }
  const wrong = got.data.findIndex((number) => !Number.isFinite(number));
  if (wrong < 0) return got.data;
  throw numericalError({
    what: `the graph's ${name} are not finite`,
    where,
    got: `${got.data[wrong] ?? NaN} at ${wrong} of [${shape.join(", ")}]`,
    todo: "Export a checkpoint whose weights are finite.",
  });
}
