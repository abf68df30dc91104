/** Every kind of source from the command line to token files, and every kind's bad input to one sentence and an exit code. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";

import { NO_LABEL, openTokens } from "../../shared/token-file/index.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { plain, pngOfSize } from "../stage1-tokenizer/images/fixtures.ts";
import { writeFiles } from "../stage1-tokenizer/images/sources/binary-fixtures.ts";
import { huggingFace, type Row } from "../stage1-tokenizer/images/sources/parquet-fixtures.ts";
import { cifarBatch, cifarFineBatch, idx } from "../stage1-tokenizer/images/sources/raw-fixtures.ts";
import { noisePng, SMALL_SETS } from "../stage1-tokenizer/images/sources/small-sets.ts";
import { archive, file, member } from "../stage1-tokenizer/images/sources/tar-writer.ts";
import { drawFolder, tessera, TINY_TOKENIZER } from "./tiny.ts";

type Files = Readonly<Record<string, Uint8Array | string>>;

const temporary = useTemporaryDirectory();
const folderOf = (files: Files): string => writeFiles(temporary("source"), files);
const png = await noisePng(1);
let tokenizer: string;

beforeAll(async () => {
  tokenizer = temporary("tokenizer");
  const images = await drawFolder(temporary("images"), ["east"], 6);
  const trained = await tessera(
    "train-tokenizer",
    "--source",
    images,
    "--out",
    tokenizer,
    "--steps",
    3,
    ...TINY_TOKENIZER,
  );
  expect(trained.code, trained.stderr).toBe(0);
}, 60_000);

async function tokenize(source: string) {
  const out = temporary("tokens");
  const words = ["--tokenizer", tokenizer, "--source", source, "--out", out, "--threads", 2, "--json"];
  return { out, ...(await tessera("tokenize", ...words)) };
}

/** Tokenizes and reads back: keys, class names and tokens in order, and what could not be tokenized. */
async function tokensOf(source: string) {
  const { out, code, stderr, json } = await tokenize(source);
  expect(code, stderr).toBe(0);
  const set = await openTokens(out);
  const { classes } = set.header;
  const tokens: Record<string, Int32Array> = {};
  const records: (readonly [string, string | undefined])[] = [];
  for await (const record of set.records()) {
    records.push([record.key, record.label === NO_LABEL ? undefined : classes[record.label]]);
    tokens[record.key] = record.tokens;
  }
  expect(json).toMatchObject({ images: records.length, failures: set.failures.length });
  const warnings = stderr.split("\n").filter((line) => line.startsWith("warning: "));
  return { classes, records, tokens, failures: set.failures, warnings };
}

/** With the hidden twins that macOS leaves beside the files it unpacks. */
const withTwins = (files: Files): Files => ({
  ...files,
  ...Object.fromEntries(
    Object.keys(files).map((path) => [join(dirname(path), `._${basename(path)}`), "twin"] as const),
  ),
});

describe("every kind of source", () => {
  it.each(SMALL_SETS)("$kind: by its name and without, the same keys, classes and tokens", async (set) => {
    const root = folderOf(withTwins(set.files));
    const [first = "", ...others] = set.locations.map((location) => `${root}${location}`);
    const expected = await tokensOf(first);
    expect(expected).toMatchObject({ classes: set.classes, records: set.records, failures: [], warnings: [] });
    expect(new Set(Object.values(expected.tokens).map(String)).size).toBeGreaterThan(set.kind === "cifar100" ? 0 : 3);
    for (const word of [...others, `${set.kind}:${first}`]) expect(await tokensOf(word)).toEqual(expected);
  });

  it.each<[string, Files, string]>([
    ["Parquet in capitals", { "A.PARQUET": huggingFace([[new Uint8Array(png), 1]]) }, "A.PARQUET/00000"],
    ["a hidden Parquet file beside images", { "a.png": png, "._b.parquet": "a twin" }, "a.png"],
    ["a hidden IDX file beside images", { "a.png": png, "._images-idx3-ubyte": "a twin" }, "a.png"],
    ["a tenth batch of CIFAR-10 alone", { "data_batch_10.bin": cifarBatch([1]) }, "data_batch_10/00000"],
  ])("a folder of %s is told by what counts in it", async (_, files, key) => {
    expect((await tokensOf(folderOf(files))).records.map(([found]) => found)).toEqual([key]);
  });
});

const csv = "file\na.png\n";
const tar = archive(file("a.png", png));
const rows = (count: number): Row[] => Array.from({ length: count }, (_, i) => [new Uint8Array(png), i % 2]);
const cifar = { "data_batch_1.bin": cifarBatch([1]) };
const mnist = { "train-images-idx3-ubyte": idx([1, 2, 2], [1, 2, 3, 4]) };
const parquet = { "train.parquet": huggingFace(rows(2)) };

describe("a folder whose kind cannot be told is a usage error (2) that says how to name it", () => {
  it.each<[string, Files, readonly [string, string]]>([
    ["shards and images", { "s.tar": tar, "sub/a.png": png }, ["webdataset", "folder"]],
    ["CIFAR-10 and shards", { ...cifar, "s.tar": tar }, ["webdataset", "cifar10"]],
    ["both kinds of CIFAR", { ...cifar, "train.bin": cifarFineBatch([1]) }, ["cifar10", "cifar100"]],
    ["MNIST and images", { ...mnist, "a.png": png }, ["mnist", "folder"]],
    ["Parquet and MNIST", { ...parquet, ...mnist }, ["mnist", "parquet"]],
    ["Parquet and images", { ...parquet, "preview/a.png": png }, ["parquet", "folder"]],
  ])("%s", async (_, files, kinds) => {
    const root = folderOf(files);
    const { code, stderr, out } = await tokenize(root);
    expect(code, stderr).toBe(2);
    expect(stderr).toContain(kinds.map((kind) => `${kind}:${root}`).join(" or "));
    expect(existsSync(out)).toBe(false);
    expect((await tokenize(`${kinds[0]}:${root}`)).code).toBe(0);
  });
});

/** `bytes` with those from `start` on overwritten. */
function overwritten(bytes: Uint8Array, start: number, by: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed.set(by, start < 0 ? bytes.length + start : start);
  return changed;
}
const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
  overwritten(bytes, at, Uint8Array.of((bytes.at(at) ?? 0) ^ 0xff));

const images = idx([4, 3, 2], Array(24).keys());
const bomb = gzipSync(Buffer.concat([idx([4, 3, 2], Array(24).keys()), Buffer.alloc(2 ** 24)]));
const whole = huggingFace(rows(6));
const IMAGES = "train-images-idx3-ubyte";

/** [what, files, what follows the folder's path, the sentence]. A kind before the colon stands for `kind:folder`. */
const REFUSED: readonly (readonly [string, Files, string, RegExp])[] = [
  ["a CIFAR file cut off", { "data_batch_1.bin": cifarBatch([1, 2]).subarray(0, 5000) }, "", /data_batch_1\.bin: CIFAR file is cut off.*5000 bytes/],
  ["an empty CIFAR file", { "train.bin": "" }, "", /train\.bin: .*cut off.*0 bytes/],
  ["a CIFAR-10 label out of range", { "data_batch_1.bin": cifarBatch([9, 10]) }, "", /data_batch_1\.bin: label of record 1 is out of range.*0 … 9, got 10/],
  ["a CIFAR-100 label out of range", { "train.bin": cifarFineBatch([100]) }, "/train.bin", /train\.bin: label of record 0 .*got 100/],
  ["CIFAR-100 as CIFAR-10", { "train.bin": cifarFineBatch([1]) }, "cifar10:/train.bin", /train\.bin: .*records of 3073 bytes/],
  ["an IDX count too high", { [IMAGES]: idx([5, 3, 2], Array(24).keys()) }, "", /idx3-ubyte: .*expected 46 bytes, got 40/],
  ["an IDX count too low", { [IMAGES]: idx([3, 3, 2], Array(24).keys()) }, "", /idx3-ubyte: .*expected 34 bytes, got 40/],
  ["IDX of four dimensions", { [IMAGES]: idx([1, 2, 2, 3], Array(12).keys()) }, "", /idx3-ubyte: .*4 dimensions/],
  ["fewer IDX labels than images", { [IMAGES]: images, "train-labels-idx1-ubyte": idx([3], [1, 2, 3]) }, "", /labels-idx1-ubyte: there are not as many IDX labels as images.*expected 4, got 3/],
  ["an IDX file that unpacks to more than it says", { [`${IMAGES}.gz`]: bomb }, "", /idx3-ubyte\.gz: .*expected 40 bytes, got \d+ or more/],
  ["an IDX file that says more than it can unpack to", { [`${IMAGES}.gz`]: gzipSync(idx([1, 8192, 8192], [1])) }, "", /idx3-ubyte\.gz: .*a gzip file of \d+ bytes/],
  ["an IDX file cut in gzip", { [`${IMAGES}.gz`]: gzipSync(images).subarray(0, 30) }, "", /idx3-ubyte\.gz: .*cannot be unpacked/],
  ["a Parquet file cut off", { "a.parquet": whole.subarray(0, whole.length >> 1) }, "", /a\.parquet: Parquet file is cut off: it has no footer/],
  ["a Parquet footer damaged", { "a.parquet": overwritten(whole, -60, new Uint8Array(20).fill(0xff)) }, "", /a\.parquet: footer of the Parquet file cannot be read/],
  ["a Parquet footer of a length that lies", { "a.parquet": overwritten(whole, -8, Uint8Array.of(255, 255, 255, 127)) }, "/a.parquet", /a\.parquet: length of the Parquet footer cannot be right.*got 2147483647/],
  ["no Parquet at all", { "a.parquet": png }, "", /a\.parquet: file is no Parquet/],
  ["an empty Parquet file", { "a.parquet": "" }, "", /a\.parquet: file is no Parquet/],
  ["Parquet files with numbers and with names", { "a.parquet": whole, "b.parquet": huggingFace([[new Uint8Array(png), "x"]]) }, "", /b\.parquet: .*do not belong together/],
  ["a tar cut inside a member", { "a.tar": tar.subarray(0, 560) }, "", /a\.tar, byte 0: archive is cut off/],
  ["a tar cut between members", { "a.tar": tar.subarray(0, -1024) }, "", /a\.tar, byte 1024: archive is cut off/],
  ["a tar header damaged", { "a.tar": flipped(tar, 20) }, "", /a\.tar, byte 0: tar header is damaged/],
  ["a tar in gzip", { "a.tar": gzipSync(tar) }, "", /a\.tar: is compressed with gzip/],
  ["a member that climbs out", { "a.tar": archive(file("../../a.png", png)) }, "", /a\.tar, byte 0: .*\.\.\/\.\.\/a\.png.* leads out of the archive/],
  ["a member with an absolute name", { "a.tar": archive(file("/a.png", png)) }, "", /a\.tar, byte 0: .*\/a\.png.* leads out of the archive/],
  ["a symbolic link for an image", { "a.tar": archive(member({ name: "a.png", type: "2", link: "/etc/passwd" })) }, "", /a\.tar, byte 0: .*a\.png of sample a is a link to \/etc\/passwd/],
  ["a hard link for an image", { "a.tar": archive(file("b.png", png), member({ name: "c.png", type: "1", link: "b.png" })) }, "", /a\.tar, byte \d+: .*c\.png of sample c is a link to b\.png/],
  ["a sample twice", { "a.tar": archive(file("a.png", png), file("b.png", png), file("a.png", png)) }, "", /a\.tar, byte \d+: sample a comes twice/],
  ["a sample in two shards", { "a-0.tar": tar, "a-1.tar": tar }, "/a-{0..1}.tar", /a-1\.tar, byte 0: sample a comes twice.*a-0\.tar/],
  ["a shard missing", { "a-0.tar": tar }, "/a-{0..1}.tar", /a-1\.tar: shard is missing/],
  ["a label that is no number", { "a.tar": archive(file("a.cls", "cat"), file("a.png", png)) }, "", /a\.tar, byte 0, a\.cls: label is malformed.*"cat"/],
  ["a CSV that names missing files", { "l.csv": `${csv}gone.png\naway.png\n`, "a.png": png }, "/l.csv", /l\.csv: 2 listed images are missing.*gone\.png \(line 3\), away\.png \(line 4\)/],
  ["a CSV that names a file twice", { "l.csv": `${csv}./a.png\n`, "a.png": png }, "/l.csv", /l\.csv, line 3: a\.png is listed twice.*line 2 too/],
  ["a CSV that climbs out", { "sub/l.csv": "file\n../a.png\n", "a.png": png }, "/sub/l.csv", /l\.csv, line 2: "\.\.\/a\.png" leads out/],
  ["a CSV in another encoding", { "l.csv": Buffer.from(`\ufeff${csv}`, "utf16le"), "a.png": png }, "/l.csv", /l\.csv: is no UTF-8 text/],
  ["a JSON line that is none", { "l.jsonl": '{"file":"a.png"}\n{"file"\n', "a.png": png }, "/l.jsonl", /l\.jsonl, line 2: line is no JSON/],
  ["a name of 5,000 characters", { "a.tar": archive(file("a.png", png), file(`${"n".repeat(5000)}.png`, png)) }, "", /image "n{100}.*": a key must be .*moderate length.*5000 bytes/],
  ["a name of 5,000 characters for no image", { "a.tar": archive(file(`${"n".repeat(5000)}.png`, "x"), ...Array.from({ length: 40 }, (_, i) => file(`${i}.png`, png))) }, "", /image "n{100}.*": a key must be .*moderate length.*5000 bytes/],
  ["shards without an image", { "a.tar": archive(file("a.txt", "x")) }, "", /a\.tar: no image in the archive/],
  ["a folder where nothing is an image", { "a.png": "x" }, "", /no image of the source can be decoded/],
  ["Parquet where nothing is an image", { "a.parquet": huggingFace([[null, 1]]) }, "", /no image of the source can be decoded/],
]; // prettier-ignore

describe("bad input is one sentence with file and reason (3), and leaves nothing behind", () => {
  it.each(REFUSED)("%s", async (_, files, rest, sentence) => {
    const root = folderOf(files);
    const [, kind = "", location = ""] = /^(\w+:)?(.*)$/.exec(rest) ?? [];
    await expectRefusal(`${kind}${root}${location}`, sentence);
  });

  it.each(["folder", "labels", "webdataset", "cifar10", "cifar100", "mnist", "parquet"])(
    "%s: a location that is missing, and one without a file of the kind",
    async (kind) => {
      const gone = join(temporary("gone"), kind === "labels" ? "gone.csv" : "gone");
      await expectRefusal(`${kind}:${gone}`, /gone/);
      if (kind === "labels") return;
      const root = folderOf({ "notes.txt": "no data" });
      await expectRefusal(`${kind}:${root}`, new RegExp(basename(root)));
    },
  );

  async function expectRefusal(source: string, sentence: RegExp): Promise<void> {
    const { code, stdout, stderr, out } = await tokenize(source);
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(sentence);
    expect(stdout).toBe("");
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^tessera: .*[^\s]$/);
    expect(stderr).not.toMatch(/\n\s+at |unexpected error/);
    const left = readdirSync(dirname(out)).filter((name) => name.includes(basename(out)));
    expect(left).toEqual([]);
  }
});

describe("bad images among good ones are recorded, and the rest is tokenised (0)", () => {
  const contents = {
    good: png,
    cut: png.subarray(0, 60),
    bomb: pngOfSize(10_001, 10_000),
    empty: "",
    text: "no image",
    fine: png,
  };
  const all = Object.entries(contents);
  const parquetRow = (bytes: Uint8Array | string): Row => [new Uint8Array(Buffer.from(bytes)), 1];
  const kinds: readonly (readonly [string, Files, string, (name: string, i: number) => string])[] = [
    ["folder", Object.fromEntries(all.map(([name, data]) => [`c/${name}.png`, data])), "", (name) => `c/${name}.png`],
    [
      "labels",
      {
        "l.csv": ["file,label", ...all.map(([name]) => `${name}.png,c`)].join("\n"),
        ...Object.fromEntries(all.map(([name, data]) => [`${name}.png`, data])),
      },
      "/l.csv",
      (name) => `${name}.png`,
    ],
    ["webdataset", { "a.tar": archive(...all.map(([name, data]) => file(`${name}.png`, data))) }, "", (name) => name],
    ["parquet", { "a.parquet": huggingFace(all.map(([, data]) => parquetRow(data))) }, "", (_name, i) => `a/0000${i}`],
  ];

  it.each(kinds)("%s", async (_, files, location, keyOf) => {
    const { records, failures, tokens, warnings } = await tokensOf(`${folderOf(files)}${location}`);
    const keys = Object.fromEntries(all.map(([name], i) => [name, keyOf(name, i)]));
    const { good = "", fine = "", cut, bomb: bombKey, empty, text } = keys;
    expect(records.map(([key]) => key).sort()).toEqual([good, fine].sort());
    expect(tokens[good]).toEqual(tokens[fine]);
    const reasons = new Map(failures.map(({ key, reason }) => [key, reason]));
    expect([...reasons.keys()].sort()).toEqual([cut, bombKey, empty, text].sort());
    expect(reasons.get(bombKey ?? "")).toMatch(/pixel/);
    for (const [key, reason] of reasons) {
      expect(reason).toContain(key);
      // Said once, whoever names the record.
      expect(warnings).toContain(`warning: left out ${reason.startsWith(key) ? "" : `${key}: `}${reason}`);
    }
  });

  it("a Parquet row without an image, and a row group that is damaged", async () => {
    const pngs = await Promise.all([1, 2, 3, 4, 5].map((seed) => noisePng(seed)));
    const good = huggingFace(
      pngs.map((bytes) => [new Uint8Array(bytes), 1]),
      { codec: "UNCOMPRESSED" },
    );
    const first = Buffer.from(good).indexOf(pngs[0] ?? "");
    expect(first).toBeGreaterThan(12);
    const damaged = overwritten(good, first - 4, new Uint8Array(4).fill(0xff)); // the length of the first image
    const bare: Row[] = [...rows(4), [null, 0]];
    const files = { "a.parquet": damaged, "b.parquet": huggingFace(bare) };
    const { records, failures } = await tokensOf(folderOf(files));
    expect(failures.map(({ key }) => key)).toEqual(["a/00000", "a/00001", "a/00002", "b/00004"]);
    expect(failures[0]?.reason).toMatch(/a\.parquet, row group 0: images cannot be decoded/);
    expect(failures[3]?.reason).toMatch(/b\/00004: row has no image/);
    expect(records.map(([key]) => key)).toEqual(["a/00003", "a/00004", "b/00000", "b/00001", "b/00002", "b/00003"]);
  });

  it("an image whose name would break the line or command the terminal", async () => {
    const name = "\u001b[31mred\n\u009b2J.png";
    const { failures, warnings } = await tokensOf(folderOf({ "a.png": png, [name]: "no image" }));
    expect(failures.map(({ key }) => key)).toEqual([name]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^warning: left out [^\p{Cc}]*: image cannot be decoded: [^\p{Cc}]*$/u);
  });
});

describe("images of all sizes and kinds of pixels", async () => {
  const grey = plain([90, 90, 90], 7, 31);
  const pictures: Files = {
    "bits.png": await plain([200, 30, 60], 40, 3).toColourspace("rgb16").png().toBuffer(),
    "clear.png": await plain([9, 9, 9], 5, 5).ensureAlpha(0).png().toBuffer(),
    "cmyk.jpg": await plain([200, 30, 60], 33, 20).toColourspace("cmyk").jpeg().toBuffer(),
    "grey.png": await grey.clone().toColourspace("b-w").png().toBuffer(),
    "grey16.png": await grey.clone().toColourspace("grey16").png().toBuffer(),
    "rgb.png": await grey.clone().png().toBuffer(),
    "rgba.png": await grey.clone().ensureAlpha().png().toBuffer(),
    "single.png": await plain([1, 2, 3], 1, 1).png().toBuffer(),
    "wide.webp": await plain([20, 30, 160], 3, 700).webp().toBuffer(),
  };
  const names = Object.keys(pictures);

  it.each<[string, Files, (name: string, i: number) => string]>([
    ["folder", pictures, (name) => name],
    [
      "webdataset",
      { "a.tar": archive(...Object.entries(pictures).map(([name, data]) => file(name, data))) },
      (name) => name.replace(/\..*/, ""),
    ],
    [
      "parquet",
      { "a.parquet": huggingFace(Object.values(pictures).map((data): Row => [new Uint8Array(Buffer.from(data)), 0])) },
      (_name, i) => `a/0000${i}`,
    ],
  ])("%s", async (_, files, keyOf) => {
    for (const [name, depth, channels] of [
      ["bits.png", "ushort", 3],
      ["cmyk.jpg", "uchar", 4],
      ["grey16.png", "ushort", 1],
      ["grey.png", "uchar", 1],
    ] as const)
      // prettier-ignore
      expect(await sharp(pictures[name]).metadata()).toMatchObject({ depth, channels });
    const { records, tokens, failures } = await tokensOf(folderOf(files));
    expect(failures).toEqual([]);
    expect(records.map(([key]) => key)).toEqual(names.map(keyOf));
    const of = (name: string): Int32Array | undefined => tokens[keyOf(name, names.indexOf(name))];
    for (const name of ["grey.png", "grey16.png", "rgba.png"]) expect(of(name), name).toEqual(of("rgb.png"));
  });
});

describe("names", () => {
  const long = "n".repeat(200);
  const names = [
    `${"m".repeat(150)}/${long}.png`,
    "a b,c;d.png",
    "e\u0301.png",
    "\u00e9.png",
    "漢字/\u{1f600}.png",
    "%2e%2e%2f.png",
  ];

  it.each<[string, Files, string, (name: string) => string]>([
    ["folder", Object.fromEntries(names.map((name) => [name, png])), "", (name) => name],
    [
      "labels",
      {
        "l.csv": ["file", ...names.map((name) => `"${name}"`)].join("\n"),
        ...Object.fromEntries(names.map((name) => [name, png])),
      },
      "/l.csv",
      (name) => name,
    ],
    ["webdataset", { "a.tar": archive(...names.map((name) => file(name, png))) }, "", (name) => name.slice(0, -4)],
  ])("of 300 characters and any script come through: %s", async (_, files, location, keyOf) => {
    const { records, failures } = await tokensOf(`${folderOf(files)}${location}`);
    expect(failures).toEqual([]);
    expect(records.map(([key]) => key).sort()).toEqual(names.map(keyOf).sort());
  });
});
