/** `tessera tokenize`: images → token files. */
import { z } from "zod";

import type { Reporter } from "../../shared/train/reporter.ts";
import { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import { artifactPath, outputOptions } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { dtypeOption, graphOptions, threadsOption } from "../engines.ts";
import { option } from "../options.ts";
import { openSource, openSplitSource, recordsOf, sourceOptions, splitOption, type Split } from "../sources.ts";
import { tokenizeImages } from "../tokenize.ts";

export const command = defineCommand({
  meta: {
    name: "tokenize",
    summary: "Turn images into token files with a trained tokenizer.",
    examples: [
      [
        "tessera tokenize --tokenizer emoji --source emoji --split training --out emoji-training",
        "what a prior learns from",
      ],
      ["tessera tokenize --tokenizer photos --source photos --out photos", "every image of a folder"],
    ],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    ...sourceOptions,
    ...splitOption,
    batchSize: option(z.int().min(1).max(1024).default(16), { describe: "Images read, encoded and written together" }),
    ...outputOptions("token set"),
    ...dtypeOption,
    ...threadsOption,
    processes: option(z.int().min(1).max(256).optional(), {
      describe: "Processes that share the threads (default: one a thread; one for a few images)",
    }),
  }),
  async run(options, { reporter, signal }) {
    const tokenizer = await loadTokenizer(artifactPath("tokenizer", options.tokenizer), graphOptions(options));
    const directory = artifactPath("tokens", options.out);
    const { source, records, total } = await select(options, reporter);
    const { index, failures } = await tokenizeImages({
      tokenizer,
      threads: options.threads,
      records,
      classes: source.classes,
      from: `${source.name}, ${options.split}`,
      directory,
      batchSize: options.batchSize,
      overwrite: options.overwrite,
      reporter,
      signal,
      ...(options.processes === undefined ? {} : { processes: options.processes }),
      ...(total === undefined ? {} : { total }),
    });
    await tokenizer.dispose();
    return {
      json: {
        path: directory,
        images: index.count,
        failures,
        shards: index.shards.length,
        fingerprint: tokenizer.spec.fingerprint,
      },
      text: formatTable([
        ["token set", directory],
        ["images", String(index.count)],
        ["left out", failures === 0 ? "0" : `${failures}, see failures.jsonl`],
        ["tokenizer", tokenizer.spec.fingerprint],
      ]),
    };
  },
});

/** All records are streamed and never listed; a split needs the list. */
async function select(options: { source: string; heldOut: number; split: Split }, reporter: Reporter) {
  if (options.split === "all") {
    const source = await openSource(options.source, reporter);
    return { source, records: source.records(), total: undefined };
  }
  const split = await openSplitSource(options, reporter);
  const chosen = recordsOf(split, options.split);
  return { source: split.source, records: chosen.records(), total: chosen.count };
}
