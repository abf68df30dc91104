/** Which images: the word a user gives after `--source`, and the split into training and held-out families. */
import { z } from "zod";

import { usageError } from "../shared/errors.ts";
import {
  createEmojiSource,
  listRecords,
  openFolderSource,
  splitByFamily,
  type ImageRecord,
  type ImageSource,
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
  readonly training: readonly ImageRecord[];
  readonly heldOut: readonly ImageRecord[];
}

const SPLITS = ["all", "training", "held-out"] as const;
export type Split = (typeof SPLITS)[number];

export const splitOptionWith = (preset: Split) => ({
  split: option(z.enum(SPLITS).default(preset), { describe: "Which families to take" }),
});
export const splitOption = splitOptionWith("all");

/** The records of one side of the split, or all. @throws usage if that side is empty. */
export function recordsOf({ training, heldOut }: SplitSource, split: Split): readonly ImageRecord[] {
  const records = { all: [...training, ...heldOut], training, "held-out": heldOut }[split];
  if (records.length > 0) return records;
  throw usageError({
    what: `no image is on the ${split} side of the split`,
    where: "--held-out",
    got: `${training.length} for training, ${heldOut.length} held out`,
    todo: "Give another share, or --split all",
  });
}

export async function openSplitSource(options: { source: string; heldOut: number }): Promise<SplitSource> {
  const source = await openSource(options.source);
  return { source, ...splitByFamily(await listRecords(source), { heldOutFraction: options.heldOut }) };
}
