/**
 * Asks a graph of anybody's making for the logits of a few rows, and checks that the answer has the signature's shape. Knows not what the rows
 * are for.
 */
import { mismatch, numericalError, TesseraError, type ErrorSentence } from "../shared/errors.ts";
import type { OnnxSession, TensorValue } from "../shared/onnx/session.ts";
import { sizeOf } from "../shared/records.ts";
import { createCache, type KeyValueCache } from "./key-value-cache.ts";
import { int64 } from "./networks.ts";
import type { PriorShape } from "./signature.ts";
import { nullClassId } from "./vocabulary.ts";

/** A graph and what it is said to be. */
export interface Probed {
  readonly session: OnnxSession;
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
  /** Of the positions before, and takes the new rows; none: the row begins. Causal only. */
  readonly cache?: KeyValueCache | undefined;
  /** What it means if the runtime refuses. */
  readonly failing?: Pick<ErrorSentence, "what" | "expected" | "todo"> | undefined;
}

/** Stands where a cache holds nothing yet: a graph that looks there shows. */
const FILLER = 1;

export const emptyCache = ({ session, shape }: Probed, count: number): KeyValueCache =>
  createCache(session, { count, length: sizeOf(shape.grid), filler: FILLER });

/**
 * One run of the graph.
 * @returns [N] of logits [T, K]
 * @throws mismatch if the runtime refuses or the answer is of another shape; numerical if it is not finite; the signal's reason
 */
export async function ask(options: Probed, question: Question): Promise<readonly Float32Array[]> {
  const { session, shape, signal, where } = options;
  signal?.throwIfAborted();
  const { rows, classIds = new Int32Array(rows.length).fill(nullClassId(shape.classes.length)), failing } = question;
  const [count, steps] = [rows.length, rows[0]?.length ?? 0];
  const cache = question.cache ?? emptyCache(options, count);
  const tokens = int64(Int32Array.from(rows.flatMap((row) => [...row])), [count, steps]);
  const feeds = {
    tokens,
    ...(shape.classes.length === 0 ? {} : { class: int64(classIds, [count]) }),
    ...cache.feeds(),
  };
  const fetches = ["logits", ...cache.present.map(({ name }) => name)];
  const outputs = await run(session, feeds, { fetches, failing, where });
  for (const { name, shapeOf } of cache.present) floatsOf(outputs, name, { shape: shapeOf(steps), where });
  const logits = floatsOf(outputs, "logits", { shape: [count, steps, shape.codebookSize], where });
  cache.append(outputs, steps);
  return rows.map((_, i) => logits.subarray((i * logits.length) / count, ((i + 1) * logits.length) / count));
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
          : "Return the new rows only, [N, H, T, Dh].",
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
