/** Options that do not fit together are refused before anything is opened or written. */
import { expect, test } from "vitest";
import { silentReporter } from "../../shared/train/reporter.ts";
import { command } from "../../pipelines/commands/train-prior.ts";

test("--heads with a pixelcnn is a usage error (2)", async () => {
  const options = command.args.parse({ objective: "pixelcnn", tokens: "none", out: "none", heads: 4 });
  const { signal } = new AbortController();
  const run = command.run(options, { reporter: silentReporter, print: () => undefined, signal });
  await expect(run).rejects.toMatchObject({ exitCode: 2, message: expect.stringMatching(/--heads/) as string });
});
