import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createLimiter } from "../../../stage1-tokenizer/images/limiter.ts";

test("never more than the limit at once, all of them in the end, failures included, in order of arrival", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(3)), async (limit, waits) => {
      const limiter = createLimiter(limit);
      const started: number[] = [];
      let running = 0;
      let most = 0;
      const task = async (i: number, turns: number) => {
        started.push(i);
        most = Math.max(most, ++running);
        for (let k = 0; k <= turns; k++) await turn();
        running--;
        if (turns === 3) throw new Error("failed");
        return i;
      };
      const results = await Promise.allSettled(waits.map((turns, i) => limiter(() => task(i, turns))));
      expect(most).toBe(Math.min(limit, waits.length));
      expect(started).toEqual(waits.map((_, i) => i));
      expect(results.map(({ status }) => status)).toEqual(
        waits.map((turns) => (turns === 3 ? "rejected" : "fulfilled")),
      );
      expect(await limiter(() => Promise.resolve("free again"))).toBe("free again");
    }),
    { numRuns: 30 },
  );
});
