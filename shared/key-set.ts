/**
 * Which keys have been seen, in 16 to 32 bytes a key however long they are. Remembers 64 bits of each key's sha256: among a
 * million keys two different ones are taken for the same with probability 3e-8. Knows no file.
 */
import { createHash } from "node:crypto";

export class KeySet {
  /** Open addressing: two words a slot, both 0 when free. */
  #slots = new Uint32Array(2 * 1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(key: string): boolean {
    const [a, b] = digestOf(key);
    return this.#slots[find(this.#slots, a, b)] !== 0;
  }

  /** @returns false if the key was there already. */
  add(key: string): boolean {
    const [a, b] = digestOf(key);
    const slot = find(this.#slots, a, b);
    if (this.#slots[slot] !== 0) return false;
    this.#slots[slot] = a;
    this.#slots[slot + 1] = b;
    this.#size++;
    if (this.#size * 4 > this.#slots.length) this.#grow();
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Uint32Array(old.length * 2);
    for (let i = 0; i < old.length; i += 2) {
      const [a, b] = [old[i] ?? 0, old[i + 1] ?? 0];
      if (a === 0) continue;
      const slot = find(slots, a, b);
      slots[slot] = a;
      slots[slot + 1] = b;
    }
    this.#slots = slots;
  }
}

/** The first word is never 0, which marks a free slot. */
function digestOf(key: string): [number, number] {
  const digest = createHash("sha256").update(key).digest();
  return [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4)];
}

/** The slot that holds (a, b), or the free one where it belongs. */
function find(slots: Uint32Array, a: number, b: number): number {
  const mask = slots.length - 1;
  let slot = (b * 2) & mask;
  while (slots[slot] !== 0 && !(slots[slot] === a && slots[slot + 1] === b)) slot = (slot + 2) & mask;
  return slot;
}
