/**
 * Which records are held out from training. Knows names only: a record's side is a hash of its family, so it never moves when
 * others are added, removed or reordered.
 */
import { createHash } from "node:crypto";
import { usageError } from "../../shared/errors.ts";

/** Chosen so that 5.1 % of the embedded emoji, and of their families, are held out at a fraction of 0.05. */
export const DEFAULT_SALT = "tessera-34";

export interface SplitOptions {
  /** Share of the families to hold out, 0 … 1 (exclusive). */
  readonly heldOutFraction: number;
  /** Another salt gives another, independent split. */
  readonly salt?: string;
}

/**
 * True if a family is held out: the first 48 bits of sha256(salt, family), as a fraction of 2^48, lie below `heldOutFraction`.
 * A family held out at one fraction is held out at every larger one.
 */
export function isHeldOut(family: string, options: SplitOptions): boolean {
  const { heldOutFraction, salt = DEFAULT_SALT } = options;
  const digest = createHash("sha256").update(`${salt}\0${family}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48 < heldOutFraction;
}

/**
 * Divides records by family, keeping their order.
 * @throws usage error unless 0 ≤ heldOutFraction < 1.
 */
export function splitByFamily<T extends { readonly family: string }>(
  records: readonly T[],
  options: SplitOptions,
): { readonly training: T[]; readonly heldOut: T[] } {
  checkFraction(options.heldOutFraction);
  const training: T[] = [];
  const heldOut: T[] = [];
  for (const record of records) (isHeldOut(record.family, options) ? heldOut : training).push(record);
  return { training, heldOut };
}

/** @throws usage error unless 0 ≤ heldOutFraction < 1. */
export function checkFraction(heldOutFraction: number): void {
  if (heldOutFraction >= 0 && heldOutFraction < 1) return;
  throw usageError({
    what: "held-out fraction is out of range",
    where: "heldOutFraction",
    expected: "0 ≤ fraction < 1",
    got: String(heldOutFraction),
  });
}
