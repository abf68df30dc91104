/**
 * Scaled dot-product attention (Vaswani et al. 2017, eq. 1) for a machine whose limit is memory traffic: queries go in blocks, so that a
 * block of scores is written and read while it is warm, and a causal block stops at its own last key, which halves the work.
 * Knows no weights and no positions.
 *
 * The gradient is written out: with O = P·V, dS = P ∘ (dO·Vᵀ − rowsum(dO ∘ O)), because rowsum(dP ∘ P) = rowsum(dO ∘ O) (Dao et al. 2022,
 * "FlashAttention", eq. 4): one pass over the scores less.
 */
import { tf } from "../engine/tf.ts";

/** Added to the scores of keys that a query must not see; finite, so that no row can become NaN. */
const HIDDEN = -1e9;

/** Queries in a block: 128 rows of 1,024 scores are half a megabyte a head. */
const BLOCK = 128;

interface Block {
  readonly start: number;
  readonly size: number;
  /** Keys 0 … keys−1 are seen. */
  readonly keys: number;
}

function blocksOf(length: number, causal: boolean): Block[] {
  const count = Math.ceil(length / BLOCK);
  return Array.from({ length: count }, (_, i) => {
    const start = i * BLOCK;
    const size = Math.min(BLOCK, length - start);
    return { start, size, keys: causal ? start + size : length };
  });
}

/** Masks by (queries, keys): one array for all heads, layers and steps, so that a traced graph holds it once. */
const masks = new Map<string, Float32Array>();

/** [size, keys]: the last `size` keys are the block's own; query i sees its own keys up to i. */
function causalMask(size: number, keys: number): tf.Tensor {
  const name = `${size},${keys}`;
  const values =
    masks.get(name) ??
    new Float32Array(size * keys).map((_, at) => (at % keys > keys - size + Math.floor(at / keys) ? HIDDEN : 0));
  masks.set(name, values);
  return tf.tensor(values, [size, keys]);
}

const rowsOf = (x: tf.Tensor, start: number, size: number): tf.Tensor =>
  tf.slice(x, [0, 0, start, 0], [-1, -1, size, -1]);

/** A product of [N, H, a, b] and [N, H, b, c]. */
const product = (a: tf.Tensor, b: tf.Tensor, transposeA = false, transposeB = false): tf.Tensor =>
  tf.matMul(a, b, transposeA, transposeB);

/**
 * @param q queries, already divided by √Dh @param k keys @param v values, all [N, H, L, Dh]
 * @returns [N, H, L, Dh]
 */
export function attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, options: { causal: boolean }): tf.Tensor {
  const length = q.shape[2] ?? 0;
  const blocks = blocksOf(length, options.causal);
  const apply = tf.customGrad((queries, keys, values, save) => {
    const [Q, K, V] = [queries as tf.Tensor, keys as tf.Tensor, values as tf.Tensor];
    const weights = blocks.map((block) => {
      const scores = product(rowsOf(Q, block.start, block.size), rowsOf(K, 0, block.keys), false, true); // [N, H, size, keys]
      return tf.softmax(options.causal ? tf.add(scores, causalMask(block.size, block.keys)) : scores);
    });
    const outputs = blocks.map((block, i) => product(weights[i] as tf.Tensor, rowsOf(V, 0, block.keys)));
    const value = tf.concat(outputs, 2);
    (save as tf.GradSaveFunc)([Q, K, V, value, ...weights]);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => attentionGradient(dy, saved, blocks) };
  });
  return apply(q, k, v);
}

function attentionGradient(dO: tf.Tensor, saved: readonly tf.Tensor[], blocks: readonly Block[]): tf.Tensor[] {
  const [Q, K, V, O, ...weights] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, ...tf.Tensor[]];
  const rowSums = tf.sum(tf.mul(dO, O), -1, true); // [N, H, L, 1]
  const parts = blocks.map((block, i) => {
    const P = weights[i] as tf.Tensor; // [N, H, size, keys]
    const dOut = rowsOf(dO, block.start, block.size);
    const dP = product(dOut, rowsOf(V, 0, block.keys), false, true);
    const dS = tf.mul(P, tf.sub(dP, rowsOf(rowSums, block.start, block.size)));
    return {
      dQ: product(dS, rowsOf(K, 0, block.keys)),
      dK: product(dS, rowsOf(Q, block.start, block.size), true), // [N, H, keys, Dh]
      dV: product(P, dOut, true),
    };
  });
  return [tf.concat(parts.map(({ dQ }) => dQ), 2), overKeys(parts.map(({ dK }) => dK)), overKeys(parts.map(({ dV }) => dV))]; // prettier-ignore
}

/** The sum of [N, H, keys, Dh], each with as many keys as the one before or more; zeros stand for keys that a block did not see. */
const overKeys = (parts: readonly tf.Tensor[]): tf.Tensor =>
  parts.reduce((sum, part) => {
    const missing = (part.shape[2] ?? 0) - (sum.shape[2] ?? 0);
    return tf.add(missing === 0 ? sum : tf.pad(sum, [[0, 0], [0, 0], [0, missing], [0, 0]]), part); // prettier-ignore
  });

/** Rows already computed, a head's one after the other in memory: [N, H, R, Dh] each, of which the first P count. */
export interface AttentionCache {
  readonly keys: tf.Tensor;
  readonly values: tf.Tensor;
}

/**
 * Attention of T new positions to those cached and, causally, to each other. The caches are never copied: scores and outputs are the
 * sums of a part over the past and a part over the new rows. Sizes T and R may be open (traced as symbols).
 * @param q [N, H, T, Dh]; products of queries and keys come already divided by √Dh
 * @param past R ≥ 1 rows, finite also where they are hidden @param present new keys and values [N, H, T, Dh]
 * @param hidden [T, R + T]: see `hiddenKeys`
 * @returns [N, H, T, Dh]
 */
export function cachedAttention(
  q: tf.Tensor,
  past: AttentionCache,
  present: AttentionCache,
  hidden: tf.Tensor,
): tf.Tensor {
  const [held = 0, newLength = 0] = [past.keys.shape[2], q.shape[2]];
  const toKeys = (keys: tf.Tensor): tf.Tensor => product(q, keys, false, true);
  const scores = tf.concat([toKeys(past.keys), toKeys(present.keys)], 3); // [N, H, T, R + T]
  const weights = tf.softmax(tf.add(scores, hidden));
  const toPast = tf.slice(weights, [0, 0, 0, 0], [-1, -1, -1, held]);
  const toPresent = tf.slice(weights, [0, 0, 0, held], [-1, -1, -1, newLength]);
  return tf.add(product(toPast, past.values), product(toPresent, present.values));
}

/** The position, after all others, of a row that holds nothing. */
const NEVER = 1 << 30;

/**
 * Additive mask of the cached rows and, behind them, the new ones, for each new one: rows that hold nothing yet are hidden, and new ones that
 * come later.
 * @param length int32 [1]: P, how many cached rows count @param held int32 [R]: 0 … R−1 @param positions int32 [T]: P … P+T−1
 * @returns [T, R + T]
 */
export function hiddenKeys(length: tf.Tensor, held: tf.Tensor, positions: tf.Tensor): tf.Tensor {
  const inCache = tf.where(tf.greaterEqual(held, length), tf.scalar(NEVER, "int32"), tf.scalar(0, "int32")); // [R]
  const later = tf.greater(tf.concat([inCache, positions]), tf.expandDims(positions, 1)); // [T, R + T]
  return tf.where(later, tf.scalar(HIDDEN), tf.scalar(0));
}
