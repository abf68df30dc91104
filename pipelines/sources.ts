/** Which images: the word a user gives after `--source`, and the split into training and held-out families. */
import type { Stats } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { z } from "zod";

import { type TesseraError, usageError } from "../shared/errors.ts";
import type { Reporter } from "../shared/train/reporter.ts";
import {
  createEmojiSource,
  expandShards,
  findImageFiles,
  openCifar,
  openFolderSource,
  openIdx,
  openLabelledSource,
  openParquet,
  openWebDataset,
  splitSource,
  type ImageSource,
  type Records,
  type RecordSet,
} from "../stage1-tokenizer/index.ts";
import { option } from "./options.ts";

interface Kind {
  readonly open: (location: string) => Promise<ImageSource>;
  /** Locations that are of this kind without saying so. */
  readonly names?: RegExp;
  /** Files in a folder that make the folder one of this kind; hidden ones do not count. */
  readonly holds?: RegExp;
}

const IDX_IMAGES = /idx3-ubyte(\.gz)?$/i;

/** What may stand before the colon of `--source kind:location`. */
const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["folder", { open: openFolderSource }],
  ["labels", { open: openLabelledSource, names: /\.(csv|tsv|jsonl|ndjson)$/i }],
  [
    "webdataset",
    {
      open: async (shards) => openWebDataset(await expandShards(shards)),
      names: /\.tar$|\{.*\}/i,
      holds: /\.tar$/i,
    },
  ],
  [
    "cifar10",
    { open: (path) => openCifar(path, "cifar10"), names: /_batch(_\d+)?\.bin$/, holds: /_batch(_\d+)?\.bin$/ },
  ],
  [
    "cifar100",
    { open: (path) => openCifar(path, "cifar100"), names: /\b(train|test)\.bin$/, holds: /^(train|test)\.bin$/ },
  ],
  ["mnist", { open: openIdx, names: IDX_IMAGES, holds: IDX_IMAGES }],
  ["parquet", { open: openParquet, names: /\.parquet$/i, holds: /\.parquet$/i }],
]);

export const sourceOptions = {
  source: option(z.string().min(1), {
    describe:
      '"emoji" (the embedded set); a folder of images, class = sub-folder; a .csv, .tsv or .jsonl list of images; ' +
      '.tar shards (WebDataset), "train-{000..009}.tar"; CIFAR in binary; MNIST as IDX, also .gz; Parquet. ' +
      `A kind may stand before it: ${[...KINDS.keys()].map((kind) => `${kind}:`).join(", ")}`,
  }),
  heldOut: option(z.number().min(0).lt(1).default(0.05), {
    describe: "Share of image families that training never sees",
  }),
};

/**
 * "emoji", "kind:location", or a location whose kind its name or content tells. What the source passed over is warned of.
 * @throws usage if the kind is unknown or cannot be told; bad-input if the source is missing, damaged or without an image.
 */
export async function openSource(word: string, reporter: Reporter): Promise<ImageSource> {
  const source = word === "emoji" ? createEmojiSource() : await openLocation(word);
  for (const note of source.notes ?? []) reporter.warn(note);
  return source;
}

async function openLocation(word: string): Promise<ImageSource> {
  const stats = await statIfThere(word);
  const [, prefix = "", location = ""] = /^(\w[\w-]+):(.*)$/s.exec(word) ?? []; // one letter is a drive
  const named = KINDS.get(prefix);
  if (named !== undefined && location !== "") return named.open(location);
  if (prefix !== "" && stats === undefined) throw unknownKind(word, location === "" ? "no path" : `the kind ${prefix}`);
  if (stats?.isDirectory() === true) return openDirectory(word);
  const kind = [...KINDS.values()].find(({ names }) => names?.test(word) === true);
  if (kind === undefined && stats !== undefined) throw unknownKind(word, "a file of no known kind");
  return (kind?.open ?? openFolderSource)(word);
}

/** A folder of one kind of files. @throws usage if its files are of several. */
async function openDirectory(path: string): Promise<ImageSource> {
  const entries = await readdir(path).catch(() => []); // openFolderSource says why
  const names = entries.filter((name) => !name.startsWith("."));
  const found = [...KINDS].flatMap(([name, { open, holds }]) => {
    const file = names.find((candidate) => holds?.test(candidate) === true);
    return file === undefined ? [] : [{ name, open, file }];
  });
  const [first, second] = found;
  if (first === undefined) return openFolderSource(path);
  if (second !== undefined) throw ambiguous(path, [first, second]);
  for await (const { key } of findImageFiles(await realpath(path)))
    throw ambiguous(path, [first, { name: "folder", file: key }]);
  return first.open(path);
}

function ambiguous(path: string, kinds: readonly { name: string; file: string }[]): TesseraError {
  return usageError({
    what: "folder holds files of several kinds",
    where: `--source ${path}`,
    got: kinds.map(({ file }) => file).join(" and "),
    todo: `Say which are meant: ${kinds.map(({ name }) => `${name}:${path}`).join(" or ")}`,
  });
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}

function unknownKind(word: string, got: string): TesseraError {
  const expected = `emoji, a path, or kind:path with one of the kinds ${[...KINDS.keys()].join(", ")}`;
  return usageError({ what: "is no source of images", where: `--source ${word}`, expected, got });
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
export async function openSplitSource(
  options: { source: string; heldOut: number },
  reporter: Reporter,
): Promise<SplitSource> {
  const source = await openSource(options.source, reporter);
  return { source, ...(await splitSource(source, { heldOutFraction: options.heldOut })) };
}
