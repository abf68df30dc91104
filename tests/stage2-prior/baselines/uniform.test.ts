/** The uniform prior: the contract, and log2 K exactly. */
import { expect, test } from "vitest";
import { fitCounting } from "../../../stage2-prior/baselines/counting-prior.ts";
import { uniform } from "../../../stage2-prior/baselines/uniform.ts";
import { describeCountingPrior, noise } from "../../contracts/baseline.ts";

describeCountingPrior(uniform);

test.each([1, 2, 3, 512])("costs log2 %d bits, whatever the tokens", (codebookSize) => {
  const fitted = fitCounting(uniform, noise([2, 3, 3], 1), codebookSize);
  expect(fitted.bitsPerToken(noise([4, 2, 2], codebookSize))).toBe(Math.log2(codebookSize));
});
