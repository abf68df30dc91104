/** `tessera reconstruct`: what a tokenizer keeps of images, as figures and as a sheet. */
import { dirname } from "node:path";
import { z } from "zod";

import { describeImageFailure, loadTokenizer, writeSheet } from "../../stage1-tokenizer/index.ts";
import { artifactPath, makeFolder } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { dtypeOption, graphOptions, threadsOption } from "../engines.ts";
import { option } from "../options.ts";
import { reconstruct } from "../reconstruct.ts";
import { pairRows } from "../sheets.ts";
import { openSplitSource, recordsOf, sourceOptions, splitOption } from "../sources.ts";
import { figureRows } from "../tables.ts";

export const command = defineCommand({
  meta: {
    name: "reconstruct",
    summary: "Encode and decode images, measure what is lost, and draw originals above reconstructions.",
    examples: [["tessera reconstruct --tokenizer emoji --source emoji --split held-out", "images it has never seen"]],
  },
  args: z.strictObject({
    tokenizer: option(z.string().min(1), { describe: "Name or path of the tokenizer", alias: "t" }),
    ...sourceOptions,
    ...splitOption,
    tiles: option(z.int().min(0).max(256).default(32), { describe: "Images on the sheet" }),
    sheet: option(z.string().min(1).default("artifacts/generated/reconstructions.png"), { describe: "PNG to write" }),
    ...dtypeOption,
    ...threadsOption,
  }),
  async run(options, { reporter, signal }) {
    await makeFolder(dirname(options.sheet));
    const tokenizer = await loadTokenizer(artifactPath("tokenizer", options.tokenizer), graphOptions(options));
    const records = recordsOf(await openSplitSource(options, reporter), options.split);
    const { figures, originals, reconstructions } = await reconstruct({
      tokenizer,
      records: records.records(),
      tiles: options.tiles,
      onFailure: (failure) => reporter.warn(describeImageFailure(failure)),
      signal,
    });
    await tokenizer.dispose();
    if (originals.length > 0) await writeSheet({ path: options.sheet, rows: pairRows(originals, reconstructions) });
    return {
      json: { images: records.count, sheet: options.sheet, ...figures },
      text: formatTable([
        ["images", String(records.count)],
        ...figureRows(figures, options.split === "all" ? "" : options.split),
        ["sheet", options.sheet],
      ]),
    };
  },
});
