/** CIFAR records and IDX arrays, written from the formats' descriptions. Shares nothing with the readers under test. */

const PLANE = 32 * 32;

/** Red counts up from `seed`, green down, blue is constant. */
function record(labels: readonly number[], seed: number): Uint8Array {
  const at = (i: number) => (i < PLANE ? seed + i : i < 2 * PLANE ? seed - i : 7);
  return Uint8Array.from([...labels, ...Array.from({ length: 3 * PLANE }, (_, i) => at(i))]);
}

/** CIFAR-10: a label and three planes a record; record i has the seed `seed` + i. */
export const cifarBatch = (labels: readonly number[], seed = 0): Uint8Array =>
  Buffer.concat(labels.map((label, i) => record([label], seed + i)));

/** CIFAR-100: coarse label 3, the fine label, three planes; all alike but for the label. */
export const cifarFineBatch = (labels: readonly number[]): Uint8Array =>
  Buffer.concat(labels.map((label) => record([3, label], 0)));

/** Header and values; type 0x08 is bytes. */
export function idx(dimensions: readonly number[], array: Iterable<number>, type = 0x08): Uint8Array {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.set([0, 0, type, dimensions.length]);
  dimensions.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, Uint8Array.from(array)]);
}
