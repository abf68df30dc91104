/**
 * A small data set of every kind of source that lies on a disk, as a user would have it, and what is to be found in it. Knows the
 * formats' writers beside it, and no reader.
 */
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { Rng } from "../../../../shared/rng.ts";
import { huggingFace } from "./parquet-fixtures.ts";
import { cifarBatch, cifarFineBatch, idx } from "./raw-fixtures.ts";
import { archive, file } from "./tar-writer.ts";

export interface SmallSet {
  /** What may stand before the colon of `--source`. */
  readonly kind: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** What follows the folder's path in each word for this set; all tell the kind without naming it. */
  readonly locations: readonly string[];
  readonly classes: readonly string[];
  /** Key and class of every record, in order. */
  readonly records: readonly (readonly [key: string, label: string | undefined])[];
}

/** [side, side, 3] of random pixels, as PNG. */
export function noisePng(seed: number, side = 8): Promise<Buffer> {
  return sharp(noise(seed, side * side * 3), { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

function noise(seed: number, length: number): Uint8Array {
  const rng = Rng.fromSeed(seed);
  return Uint8Array.from({ length }, () => rng.integer(256));
}

const SIZE = 13;
const pngs = await Promise.all(Array.from({ length: SIZE }, (_, i) => noisePng(i)));

/** `of` every image's number and PNG. */
const each = <T>(of: (i: number, png: Buffer) => T): T[] => pngs.map((png, i) => of(i, png));
const digits = (i: number, length: number): string => String(i).padStart(length, "0");
/** As many as there are images. */
const inTurn = <T extends string | number>(names: readonly T[]): T[] =>
  each((i) => names.slice(i % names.length, (i % names.length) + 1)).flat();

const inFolder = (i: number): string => (i < SIZE - 1 ? `${i < 5 ? "east" : "west"}/${digits(i, 2)}.png` : "zoo.png");
const folder: SmallSet = {
  kind: "folder",
  files: Object.fromEntries(each((i, png) => [inFolder(i), png])),
  locations: [""],
  classes: ["east", "west"],
  records: each((i) => [inFolder(i), i < SIZE - 1 ? (i < 5 ? "east" : "west") : undefined]),
};

const animals = inTurn(["dog", "", "cat"]);
const labels: SmallSet = {
  kind: "labels",
  files: {
    "list.csv": ["file,label,family", ...animals.map((name, i) => `p/${i}.png,${name},pair ${i >> 1}`)].join("\n"),
    ...Object.fromEntries(each((i, png) => [`p/${i}.png`, png])),
  },
  locations: ["/list.csv"],
  classes: ["cat", "dog"],
  records: animals.map((name, i) => [`p/${i}.png`, name === "" ? undefined : name]),
};

const integers = inTurn(["12", "7"]);
const sample = (i: number, png: Buffer): Buffer =>
  Buffer.concat([file(`s/${digits(i, 4)}.cls`, `${integers[i]}\n`), file(`s/${digits(i, 4)}.png`, png)]);
const webdataset: SmallSet = {
  kind: "webdataset",
  files: { "a-0.tar": archive(...each(sample).slice(0, 6)), "a-1.tar": archive(...each(sample).slice(6)) },
  locations: ["", "/a-{0..1}.tar"],
  classes: ["7", "12"],
  records: integers.map((label, i) => [`s/${digits(i, 4)}`, label]),
};

const cifar10: SmallSet = {
  kind: "cifar10",
  files: { "data_batch_1.bin": cifarBatch(inTurn([9, 3, 3])) },
  locations: ["", "/data_batch_1.bin"],
  classes: ["cat", "truck"],
  records: inTurn(["truck", "cat", "cat"]).map((label, i) => [`data_batch_1/${digits(i, 5)}`, label]),
};

const cifar100: SmallSet = {
  kind: "cifar100",
  files: { "train.bin": cifarFineBatch(inTurn([42, 7])) },
  locations: ["", "/train.bin"],
  classes: ["7", "42"],
  records: inTurn(["42", "7"]).map((label, i) => [`train/${digits(i, 5)}`, label]),
};

const mnist: SmallSet = {
  kind: "mnist",
  files: {
    "train-images-idx3-ubyte.gz": gzipSync(idx([SIZE, 8, 8], noise(99, SIZE * 64))),
    "train-labels-idx1-ubyte.gz": gzipSync(idx([SIZE], inTurn([7, 2, 2]))),
  },
  locations: ["", "/train-images-idx3-ubyte.gz"],
  classes: ["2", "7"],
  records: inTurn(["7", "2", "2"]).map((label, i) => [digits(i, 5), label]),
};

const parquet: SmallSet = {
  kind: "parquet",
  files: {
    "train.parquet": huggingFace(
      each((i, png) => [new Uint8Array(png), [4, null, 1][i % 3] ?? null]),
      { names: ["a", "b", "c", "d", "e"] },
    ),
  },
  locations: ["", "/train.parquet"],
  classes: ["b", "e"],
  records: each((i) => [`train/${digits(i, 5)}`, (["e", undefined, "b"] as const)[i % 3]]),
};

export const SMALL_SETS: readonly SmallSet[] = [folder, labels, webdataset, cifar10, cifar100, mnist, parquet];
