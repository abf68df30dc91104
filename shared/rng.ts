/**
 * The only source of randomness: a counter-based generator (Threefry-2x32, 20 rounds) whose stream is a pure function of its key.
 * Keys are derived by name, so a draw depends on (seed, purpose, step, index) and on nothing drawn before it.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
 */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** One Threefry-2x32-20 block: writes two uint32 words to `out[0..1]`. */
export function threefry2x32(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  const keys = [key0, key1, key0 ^ key1 ^ PARITY];
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let round = 0; round < 20; round++) {
    const r = ROTATIONS[round % 8] ?? 0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x0 = (x0 + (keys[injection % 3] ?? 0)) | 0;
      x1 = (x1 + (keys[(injection + 1) % 3] ?? 0) + injection) | 0;
    }
  }
  out[0] = x0;
  out[1] = x1;
}

/** FNV-1a over UTF-16 code units, twice with different offsets: 64 bits that name a label. */
function hashLabel(label: string | number): [number, number] {
  const text = typeof label === "number" ? `#${label}` : label;
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x85ebca6b) ^ (b >>> 13);
  }
  return [a >>> 0, b >>> 0];
}

/** Two words of 32 bits. */
export type RngKey = readonly [key0: number, key1: number];

export class Rng {
  readonly #key0: number;
  readonly #key1: number;
  readonly #block = new Uint32Array(2);
  #counter = 0;

  private constructor(key0: number, key1: number) {
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /** @param seed any integer below 2^53; equal seeds give equal streams on every machine. */
  static fromSeed(seed: number): Rng {
    return new Rng(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
  }

  /** The stream that has this key, from its start: `fork` of it is the same in any process. */
  static fromKey([key0, key1]: RngKey): Rng {
    return new Rng(key0, key1);
  }

  /** What names this stream, wherever in it one stands; plain data. */
  get key(): RngKey {
    return [this.#key0, this.#key1];
  }

  /** An independent stream named by `labels`; does not advance this one. `rng.fork("dropout", step, index)`. */
  fork(...labels: readonly (string | number)[]): Rng {
    let [key0, key1] = [this.#key0, this.#key1];
    const out = new Uint32Array(2);
    for (const label of labels) {
      const [a, b] = hashLabel(label);
      threefry2x32(key0, key1, a, b, out);
      [key0, key1] = [out[0] ?? 0, out[1] ?? 0];
    }
    return new Rng(key0, key1);
  }

  uint32(): number {
    const word = this.#counter & 1;
    if (word === 0)
      threefry2x32(this.#key0, this.#key1, this.#counter >>> 1, Math.floor(this.#counter / 2 ** 32), this.#block);
    this.#counter++;
    return this.#block[word] ?? 0;
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    return ((this.uint32() >>> 5) * 0x4000000 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** Uniform integer in [0, limit), without modulo bias. `limit` must be an integer in 1 … 2^32. */
  integer(limit: number): number {
    if (!(Number.isInteger(limit) && limit >= 1 && limit <= 2 ** 32)) {
      throw new RangeError(`Rng.integer: limit must be an integer in 1 … 2^32, got ${limit}.`);
    }
    const threshold = 2 ** 32 - (2 ** 32 % limit);
    let word = this.uint32();
    while (word >= threshold) word = this.uint32();
    return word % limit;
  }

  /** Standard normal (Box–Muller; two uniforms a draw, so that the stream stays countable). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Standard Gumbel: −log(−log U). */
  gumbel(): number {
    return -Math.log(-Math.log(Math.max(this.uniform(), Number.MIN_VALUE)));
  }

  /** Fisher–Yates permutation of 0 … n−1. */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
    }
    return order;
  }

  /** Uniform in (0, 1), never an end, in the 24 bits a float32 holds: for noise by the million, at one word a draw. */
  fillUniform(length: number): Float32Array {
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = ((this.uint32() >>> 9) + 0.5) / 2 ** 23;
    return values;
  }

  /** Float32Array of `length` draws. */
  fill(length: number, draw: (rng: Rng) => number): Float32Array {
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = draw(this);
    return values;
  }
}
