/** What lossless files weigh: they hold what was put in, and noise weighs more than a plain colour. */
import { expect, test } from "vitest";
import { losslessBytes } from "../../../stage1-tokenizer/images/index.ts";
import { Rng } from "../../../shared/rng.ts";

test("noise takes all its bits, one colour next to none", async () => {
  const side = 32;
  const rng = Rng.fromSeed(1);
  const noise = Uint8Array.from({ length: side * side * 3 }, () => rng.integer(256));
  const [loud, plain] = await Promise.all(
    [noise, new Uint8Array(noise.length).fill(7)].map((pixels) => losslessBytes({ pixels, height: side, width: side })),
  );
  for (const format of ["png", "webp"] as const) {
    expect(loud?.[format]).toBeGreaterThan(noise.length * 0.98);
    expect(plain?.[format]).toBeLessThan(200);
    expect(plain?.[format]).toBeGreaterThan(10);
  }
});
