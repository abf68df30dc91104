/**
 * How many values the bytes of a Parquet page really stand for: walks through runs and blocks by the counts written in them, and
 * believes none. Decodes levels, because they say how many values there are, and no value.
 */

/** Encodings by their number; the others have no counts of their own. */
const INDICES: readonly (number | undefined)[] = [2, 8];
const TRUTH_VALUES = 3;
/** Differences; lengths as differences; shared beginnings and lengths as differences. */
const DELTA_STREAMS: ReadonlyMap<number | undefined, number> = new Map([
  [5, 1],
  [6, 1],
  [7, 2],
]);
const LARGEST_I32 = 2 ** 31 - 1;

/**
 * Of `values` values, how many are not null. @param levels the level of those, 1 or 2
 * @throws Error if there is not a level for each.
 */
export function countPresent(bytes: Uint8Array, levels: number, values: number): number {
  const width = levels > 1 ? 2 : 1;
  let present = 0;
  const { seen, end } = walkRuns(bytes, width, values, (at, length, packed) => {
    if (!packed) {
      if (bytes[at] === levels) present += length;
      return;
    }
    for (let i = 0; i < length; i++) {
      const level = ((bytes[at + Math.floor((i * width) / 8)] ?? 0) >> ((i * width) % 8)) & (2 ** width - 1);
      if (level === levels) present++;
    }
  });
  if (seen < values || end > bytes.length) throw new Error(`page has levels for fewer than ${values} values`);
  return present;
}

/** @throws Error if `bytes` stand for other than `present` values of this encoding, as far as it counts them itself. */
export function checkValues(bytes: Uint8Array, encoding: number | undefined, present: number): void {
  if (encoding === TRUTH_VALUES) throw new Error("column holds truth values");
  if (INDICES.includes(encoding)) {
    const width = bytes[0] ?? 0;
    if (width > 32) throw new Error(`indices have ${width} bits`);
    walkRuns(bytes.subarray(1), width, present);
  }
  let offset = 0;
  for (let streams = DELTA_STREAMS.get(encoding) ?? 0; streams > 0; streams--) {
    offset = skipDeltas(bytes, offset, present);
  }
}

type OnRun = (at: number, length: number, packed: boolean) => void;

/** Runs of one repeated value, or of values side by side in groups of eight, until there are `values`, or no more bytes. */
function walkRuns(bytes: Uint8Array, width: number, values: number, onRun?: OnRun): { seen: number; end: number } {
  let [offset, seen] = [0, 0];
  while (seen < values && offset < bytes.length) {
    const { value: head, end } = readVarint(bytes, offset);
    const packed = head % 2 === 1;
    const length = Math.floor(head / 2) * (packed ? 8 : 1);
    const left = values - seen;
    if (length > left + (packed ? 7 : 0)) throw new Error(`run of ${length} values where ${left} are left`);
    onRun?.(end, Math.min(length, left), packed);
    seen += length;
    offset = end + (packed ? (length / 8) * width : Math.ceil(width / 8));
  }
  return { seen, end: offset };
}

/** Differences in blocks of blocks, each of the inner ones with a width of its own. @returns where they end */
function skipDeltas(bytes: Uint8Array, start: number, values: number): number {
  const block = readVarint(bytes, start);
  const parts = readVarint(bytes, block.end);
  const total = readVarint(bytes, parts.end);
  const size = block.value / parts.value;
  if (!(size > 0 && size % 8 === 0)) throw new Error(`blocks of ${block.value} values in ${parts.value} parts`);
  if (total.value !== values) throw new Error(`page has ${total.value} differences of ${values}`);
  let offset = skipVarint(bytes, total.end);
  for (let seen = 1; seen < values;) {
    const widths = skipVarint(bytes, offset);
    offset = widths + parts.value;
    if (offset > bytes.length) throw new Error("page is cut off");
    for (let part = 0; part < parts.value && seen < values; part++) {
      const width = bytes[widths + part] ?? 0;
      if (width > 64) throw new Error(`differences have ${width} bits`);
      offset += (size / 8) * width;
      seen += size;
    }
  }
  return offset;
}

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } {
  const end = skipVarint(bytes, start);
  let value = 0;
  for (let at = end - 1; at >= start; at--) value = value * 128 + ((bytes[at] ?? 0) & 127);
  if (value > LARGEST_I32) throw new Error("page has a number out of range");
  return { value, end };
}

function skipVarint(bytes: Uint8Array, start: number): number {
  for (let at = start; at < start + 10; at++) {
    const byte = bytes[at];
    if (byte === undefined) throw new Error("page is cut off");
    if (byte < 128) return at + 1;
  }
  throw new Error("page has a number out of range");
}
