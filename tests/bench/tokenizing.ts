/** A folder of JPEG files to a token set: what `tessera tokenize` does from reading the tokenizer to publishing, without the start of the process. */
import { rm } from "node:fs/promises";
import { DTYPES, type Dtype } from "../../shared/onnx/quantize/dtype.ts";
import { silentReporter } from "../../shared/train/reporter.ts";
import { tokenizeImages } from "../../pipelines/tokenize.ts";
import { loadTokenizer, openFolderSource } from "../../stage1-tokenizer/index.ts";
import { paperConfig, tokenizerShape } from "./steps.ts";
import { medianSeconds } from "./timing.ts";
import { THREADS, type Bench, type Comparison } from "./work.ts";

const BATCH = 16;

async function tokenizeFolder({ artifacts }: Bench, dtype: Dtype): Promise<void> {
  const directory = artifacts.fresh("tokens");
  const tokenizer = await loadTokenizer(await artifacts.tokenizer(), { threads: THREADS, dtype });
  try {
    const source = await openFolderSource(await artifacts.jpegs());
    await tokenizeImages({
      tokenizer,
      threads: THREADS,
      records: source.records(),
      classes: source.classes,
      from: source.name,
      directory,
      batchSize: BATCH,
      reporter: silentReporter,
    });
  } finally {
    await tokenizer.dispose();
    await rm(directory, { recursive: true, force: true });
  }
}

export const TOKENIZING = DTYPES.map((dtype): Comparison => {
  return {
    name: dtype === "float32" ? "tokenize" : `tokenize-${dtype}`,
    unit: "s",
    repeats: { warmUp: 0, timed: 1 },
    prepare: (artifacts) => Promise.all([artifacts.tokenizer(), artifacts.jpegs()]),
    ours: (bench, repeats) => medianSeconds(() => tokenizeFolder(bench, dtype), repeats),
    peer: async ({ artifacts }) => ({
      work: "tokenize",
      args: {
        batch: BATCH,
        folder: await artifacts.jpegs(),
        out: artifacts.fresh("peer-tokens"),
        ...tokenizerShape(paperConfig()),
      },
    }),
  };
});
