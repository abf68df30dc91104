/** A small token set with everything in it: labels and none, text beyond ASCII, two shards, a failure. */
import { createTokenWriter, type TokenHeader, type TokenWriterOptions } from "../../../shared/token-file/index.ts";

export const header: TokenHeader = {
  fingerprint: "f".repeat(64),
  preprocessing: { size: 8, fit: "cover", scale: 0.5 },
  grid: [2, 3],
  codebookSize: 1000,
  classes: ["cat", "dög"],
};

export const records = ["a/1.png", "b/Ü.png", "c", "d", "e"].map((key, i) => ({
  key,
  label: (i % 3) - 1,
  tokens: Int32Array.from({ length: 6 }, (_, j) => (997 * i + 131 * j) % 1000),
}));

export const failure = { key: "broken.png", reason: "It is cut off." };

export async function writeSmallSet(directory: string, more: Partial<TokenWriterOptions> = {}): Promise<void> {
  const writer = await createTokenWriter({ directory, header, recordsPerShard: 3, ...more });
  for (const record of records) await writer.append(record);
  await writer.fail(failure);
  await writer.finish();
}
