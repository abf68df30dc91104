/**
 * The keys and values of the positions that a causal graph was asked before: onnxruntime copies every output, so the graph returns new rows alone,
 * and they are kept here. Knows no tokens.
 *
 * A head's rows lie one after the other, [N, H, R, Dh], for that is the order in which products read them; so room for more rows moves all heads
 * apart, which is done every few positions. Rows that hold nothing yet cost as much to read as others: there is never room for many of them.
 */
import { invariant } from "../shared/errors.ts";
import type { OnnxSession, TensorValue } from "../shared/onnx/session.ts";
import { PAST_LENGTH, pastNames, presentNames } from "./signature.ts";

/** Rows that the room grows by: moving everything seldom against reading little that is empty. */
const ROOM_STEP = 64;

export interface KeyValueCache {
  /** Views, good until the next `append`: the graph's `past_*`. */
  feeds(): Record<string, TensorValue>;
  /** The outputs that `append` takes. */
  readonly present: readonly PresentRows[];
  /** @param outputs with T = `steps` new rows of every layer */
  append(outputs: Readonly<Record<string, TensorValue>>, steps: number): void;
}

export interface PresentRows {
  readonly name: string;
  /** Of T new rows, float32 [N, H, T, Dh]. */
  readonly shapeOf: (steps: number) => readonly number[];
}

export interface CacheOptions {
  /** N */
  readonly count: number;
  /** L, the most positions there will be */
  readonly length: number;
  /** What rows hold that hold nothing yet (0): a graph must not look at them. */
  readonly filler?: number;
}

/** Keys or values of one layer. */
interface Rows {
  readonly past: string;
  readonly present: string;
  /** Room for every position; the first N·H·R·Dh numbers are in use. */
  readonly data: Float32Array;
  /** H */
  readonly heads: number;
  /** Dh */
  readonly headDimension: number;
}

/** For a graph of the causal signature; for any other it holds and feeds nothing. */
export function createCache(session: OnnxSession, { count, length, filler = 0 }: CacheOptions): KeyValueCache {
  const all = rowsOf(session, { count, length, filler });
  let past = 0;
  let room = Math.min(ROOM_STEP, length);
  return {
    present: all.map(({ present: name, heads, headDimension }) => ({
      name,
      shapeOf: (steps) => [count, heads, steps, headDimension],
    })),
    feeds() {
      if (all.length === 0) return {};
      const feeds: Record<string, TensorValue> = {
        [PAST_LENGTH]: { type: "int64", shape: [1], data: BigInt64Array.of(BigInt(past)) },
      };
      for (const { past: name, data, heads, headDimension } of all) {
        const shape = [count, heads, room, headDimension];
        feeds[name] = { type: "float32", shape, data: data.subarray(0, count * heads * room * headDimension) };
      }
      return feeds;
    },
    append(outputs, steps) {
      const needed = past + steps;
      invariant(needed <= length, `the cache has room for ${length} positions`);
      const wider = Math.min(length, Math.max(room, Math.ceil(needed / ROOM_STEP) * ROOM_STEP));
      for (const rows of all) {
        if (wider > room) moveApart(rows, { count, past, from: room, to: wider });
        const added = outputs[rows.present]?.data;
        invariant(added instanceof Float32Array, `the prior's output "${rows.present}" must be float32`);
        copyRows(rows, added, { count, past, room: wider, steps });
      }
      [past, room] = [needed, wider];
    },
  };
}

function rowsOf({ inputs }: OnnxSession, { count, length, filler }: Required<CacheOptions>): Rows[] {
  const all: Rows[] = [];
  for (;;) {
    const layer = all.length / 2;
    const [past, present] = [pastNames(layer), presentNames(layer)];
    const shape = inputs.find(({ name }) => name === past.keys)?.shape;
    if (shape === undefined) return all;
    const [, heads, , headDimension] = shape;
    invariant(
      typeof heads === "number" && typeof headDimension === "number",
      `${past.keys} must have fixed heads and head dimension`,
    );
    for (const what of ["keys", "values"] as const) {
      const data = new Float32Array(count * heads * length * headDimension);
      if (filler !== 0) data.fill(filler); // the memory of zeros is taken only when it is written to
      all.push({ past: past[what], present: present[what], data, heads, headDimension });
    }
  }
}

/** Every head's rows to where they lie with more room, the last head first: none is overwritten before it has moved. */
function moveApart(
  { data, heads, headDimension }: Rows,
  { count, past, from, to }: { count: number; past: number; from: number; to: number },
): void {
  for (let head = count * heads - 1; head > 0; head--) {
    const start = head * from * headDimension;
    data.copyWithin(head * to * headDimension, start, start + past * headDimension);
  }
}

/** New rows behind those that each head has. A plain loop: a call of `set` costs more than the few numbers of a head's row. */
function copyRows(
  { data, heads, headDimension }: Rows,
  added: Float32Array,
  { count, past, room, steps }: { count: number; past: number; room: number; steps: number },
): void {
  const size = steps * headDimension;
  invariant(added.length === count * heads * size, `${steps} new rows of each head are appended`);
  for (let head = 0; head < count * heads; head++) {
    const [to, from] = [(head * room + past) * headDimension, head * size];
    for (let i = 0; i < size; i++) data[to + i] = added[from + i] ?? NaN;
  }
}
