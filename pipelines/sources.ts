/** Which images: the word a user gives after `--source`, and the split into training and held-out families. */
import { z } from "zod";

import { usageError } from "../shared/errors.ts";
import {
  createEmojiSource,
  openFolderSource,
  splitSource,
  type ImageRecord,
  type ImageSource,
  type RecordSet,
} from "../stage1-tokenizer/index.ts";
import { option } from "./options.ts";

export const sourceOptions = {
  source: option(z.string().min(1), {
    describe: '"emoji" (the embedded set) or a folder of images, class = sub-folder',
  }),
  heldOut: option(z.number().min(0).lt(1).default(0.05), {
    describe: "Share of image families that training never sees",
  }),
};

/** @throws bad-input if the folder is missing or holds no image. */
export async function openSource(name: string): Promise<ImageSource> {
  return name === "emoji" ? createEmojiSource() : openFolderSource(name);
}

export interface SplitSource {
  readonly source: ImageSource;
  readonly training: RecordSet;
  readonly heldOut: RecordSet;
}

const SPLITS = ["all", "training", "held-out"] as const;
export type Split = (typeof SPLITS)[number];

export const splitOptionWith = (preset: Split) => ({
  split: option(z.enum(SPLITS).default(preset), { describe: "Which families to take" }),
});
export const splitOption = splitOptionWith("all");

/** Records that can be gone through again and again. */
export type Records = Pick<RecordSet, "count" | "records">;

/** At most `count` of them, spread evenly: sources are ordered by class, and the first records would be images of one. */
export function takeEvenly(all: Records, count: number): Records {
  if (count >= all.count) return all;
  const taken = (before: number): number => Math.floor((before * count) / all.count);
  async function* records(): AsyncGenerator<ImageRecord> {
    let position = 0;
    for await (const record of all.records()) {
      position++;
      if (taken(position) > taken(position - 1)) yield record;
    }
  }
  return { count, records };
}

/** The records of one side of the split, or all. @throws usage if that side is empty. */
export function recordsOf({ source, training, heldOut }: SplitSource, split: Split): Records {
  const all = { count: training.count + heldOut.count, records: () => source.records() };
  const records = { all, training, "held-out": heldOut }[split];
  if (records.count > 0) return records;
  throw usageError({
    what: `no image is on the ${split} side of the split`,
    where: "--held-out",
    got: `${training.count} for training, ${heldOut.count} held out`,
    todo: "Give another share, or --split all",
  });
}

/** @throws as `openSource`; bad-input if a key occurs twice. */
export async function openSplitSource(options: { source: string; heldOut: number }): Promise<SplitSource> {
  const source = await openSource(options.source);
  return { source, ...(await splitSource(source, { heldOutFraction: options.heldOut })) };
}
