import { renameSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { SchemaElement } from "hyparquet";
import { describe, expect, test } from "vitest";
import {
  createPreprocessing,
  decodeRecord,
  listRecords,
  openParquet,
} from "../../../../stage1-tokenizer/images/index.ts";
import type { ImageSource } from "../../../../stage1-tokenizer/images/index.ts";
import { testImageSource } from "../../../contracts/image-source.ts";
import { useTemporaryDirectory } from "../../../shared/temporary-directory.ts";
import { badInputOf, damage, readAll, writeFiles } from "./binary-fixtures.ts";
import { plain } from "../fixtures.ts";
import { ARROW, column, huggingFace, type Row, write } from "./parquet-fixtures.ts";

const temporary = useTemporaryDirectory();
const png = new Uint8Array(await plain([200, 30, 60]).png().toBuffer());
const jpeg = new Uint8Array(await plain([20, 130, 60], 5, 9).jpeg().toBuffer());
const grey = new Uint8Array(await plain([9, 9, 9]).greyscale().webp().toBuffer());
const transparent = new Uint8Array(await plain([1, 2, 3], 3, 3).ensureAlpha(0.5).png().toBuffer());
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Writes `bytes` as a file and opens it. */
const openFile = (bytes: Uint8Array): Promise<ImageSource> =>
  openParquet(join(writeFiles(temporary(), { "a.parquet": bytes }), "a.parquet"));
const rowsOf = (count: number): Row[] => Array.from({ length: count }, (_, i) => [png, i % 2]);

/** What each record holds; undefined where it has no image. */
async function contents(source: ImageSource): Promise<(Uint8Array | undefined)[]> {
  const found: (Uint8Array | undefined)[] = [];
  for await (const record of source.records()) {
    const content = await record.read().catch(() => undefined);
    found.push(content instanceof Uint8Array ? content : undefined);
  }
  return found;
}

const MIXED: Row[] = [
  [png, 4],
  [jpeg, 1],
  [grey, 4],
  [transparent, null],
  [png, -1],
];

testImageSource({
  name: "parquet",
  count: 12,
  create: () => {
    const files = { "b-0.parquet": huggingFace(MIXED), "a-1.parquet": huggingFace(rowsOf(7)), "readme.md": "no data" };
    return openParquet(writeFiles(temporary(), files));
  },
});
testImageSource({
  name: "parquet by names",
  count: 2,
  create: () =>
    openFile(
      huggingFace([
        [png, "ünï"],
        [jpeg, "犬"],
      ]),
    ),
});

test("rows are records in their order, over row groups and files; classes are the labels that occur, by name", async () => {
  const names = ["a", "b", "c", "d", "ätherisch"];
  const folder = writeFiles(temporary(), {
    "ü-01.parquet": huggingFace([[png, 1]], { names }),
    "test.parquet": huggingFace(MIXED, { names }),
  });
  const source = await openParquet(folder);
  expect(source.classes).toEqual(["b", "ätherisch"]);
  expect((await listRecords(source)).map(({ key, label }) => [key, label])).toEqual([
    ["test/00000", 1],
    ["test/00001", 0],
    ["test/00002", 1],
    ["test/00003", undefined],
    ["test/00004", undefined],
    ["ü-01/00000", 0],
  ]);
  expect(await contents(source)).toEqual([png, jpeg, grey, transparent, png, png]);
});

test("images of any size and number of channels decode, each to the same shape", async () => {
  for (const record of await listRecords(await openFile(huggingFace(MIXED)))) {
    expect(await decodeRecord(record, createPreprocessing([4, 4]))).toMatchObject({ ok: true });
  }
});

test.each([
  ["without names, in the order of numbers", [10, 9, 10, 2], undefined, ["2", "9", "10"]],
  ["by text, in the order of code points", ["\u{1f600}", "\uff5e", "z", ""], undefined, ["z", "\uff5e", "\u{1f600}"]],
  ["with a name twice", [0, 2, 1, 0], ["crane", "owl", "crane"], ["crane (0)", "owl (1)", "crane (2)"]],
])("classes %s", async (_, labels, names, classes) => {
  const rows = labels.map((label): Row => [png, label]);
  const source = await openFile(huggingFace(rows, names && { names }));
  expect(source.classes).toEqual(classes);
  const found = (await listRecords(source)).map(({ label }) => source.classes[label ?? -1] ?? "");
  expect(found.map((name) => name.replace(/ \(\d\)/, ""))).toEqual(
    labels.map((label) => (typeof label === "number" ? (names?.[label] ?? String(label)) : label)),
  );
});

test.each(["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI"] as const)("%s, with dictionaries and without", async (codec) => {
  const many = Array.from({ length: 40 }, (_, i): Row => [text(`${i % 3}`.repeat(20)), i % 3]);
  const source = await openFile(huggingFace(many, { codec, rowGroupSize: 40 }));
  expect(await contents(source)).toEqual(many.map(([bytes]) => bytes));
  const unlike = Array.from({ length: 40 }, (_, i): Row => [text(`${i * i}`.repeat(i)), i]);
  const other = await openFile(huggingFace(unlike, { codec, pageSize: 64 }));
  expect(await contents(other)).toEqual(unlike.map(([bytes]) => bytes));
});

test.each(Object.entries(ARROW))("a file by Apache Arrow: %s", async (_, base64) => {
  const source = await openFile(new Uint8Array(Buffer.from(base64, "base64")));
  expect(source.classes).toEqual(["0", "2"]);
  expect((await listRecords(source)).map(({ label }) => label)).toEqual([1, 0, 1, 0, undefined]);
  const [first, second] = [text("first image"), text("second")];
  expect(await contents(source)).toEqual([first, second, first, undefined, first]);
});

test.each(["image", "img", "image_bytes", "bytes"])("a column of bytes named %s, without labels", async (name) => {
  const source = await openFile(write([{ name, data: [png, jpeg], type: "BYTE_ARRAY" }]));
  expect(source.classes).toEqual([]);
  expect(await contents(source)).toEqual([png, jpeg]);
  expect((await listRecords(source)).every((record) => !("label" in record))).toBe(true);
});

test("many row groups may be read at once and in any order", async () => {
  const big = Array.from({ length: 30 }, (_, i): Row => [new Uint8Array(2 ** 16).fill(i), i]);
  const records = await listRecords(await openFile(huggingFace(big, { rowGroupSize: 4 })));
  const order = records.map((_, i) => (i * 7) % records.length);
  const read = await Promise.all(order.map(async (i) => records[i]?.read()));
  expect(read.map((bytes) => (bytes instanceof Uint8Array ? [bytes.length, bytes[0]] : []))).toEqual(
    order.map((i) => [2 ** 16, i]),
  );
});

test("an image is the caller's own: changing it changes nobody else's", async () => {
  const [record] = await listRecords(await openFile(huggingFace(rowsOf(1))));
  const first = await record?.read();
  if (first instanceof Uint8Array) first.fill(0);
  expect(await record?.read()).toEqual(png);
});

describe("bad input of one record", () => {
  test("a row without an image", async () => {
    const source = await openFile(
      huggingFace([
        [png, 0],
        [null, 1],
        [png, 1],
      ]),
    );
    const records = await listRecords(source);
    expect(records.map(({ label }) => label)).toEqual([0, 1, 1]);
    expect(await badInputOf(records[1]?.read())).toContain("a/00001: row has no image");
    expect(await records[2]?.read()).toEqual(png);
  });

  test("a damaged page costs its row group and no other", async () => {
    const rows = Array.from({ length: 6 }, (_, i): Row => [text(`image number ${i}`.repeat(9)), 0]);
    const bytes = huggingFace(rows, { codec: "GZIP" });
    const at = bytes.indexOf(0x1f); // the first gzip stream is of images
    bytes.fill(0xff, at + 12, at + 20);
    const records = await listRecords(await openFile(bytes));
    for (const record of records.slice(0, 3)) {
      expect(await badInputOf(record.read())).toMatch(/a\.parquet, row group 0: images cannot be decoded/);
    }
    expect(await records[3]?.read()).toEqual(rows[3]?.[0]);
  });

  test.each([
    ["written to", (path: string) => utimesSync(path, 1, 1)],
    ["cut", (path: string) => truncateSync(path, 200)],
    ["replaced", (path: string) => renameSync(`${path}.other`, path)],
  ])("a file %s since it was opened", async (_, change) => {
    const bytes = huggingFace(rowsOf(4));
    const path = join(writeFiles(temporary(), { "a.parquet": bytes, "a.parquet.other": bytes }), "a.parquet");
    const source = await openParquet(path);
    const records = await listRecords(source);
    change(path);
    expect(await badInputOf(records[3]?.read())).toContain("changed while it was in use");
    expect(await badInputOf(listRecords(source))).toContain("changed while it was in use");
  });
});

/** `bytes` with the length of the footer, four bytes before the end's magic, changed. */
function withFooterLength(bytes: Uint8Array, length: number): Uint8Array {
  const changed = bytes.slice();
  new DataView(changed.buffer).setUint32(changed.length - 8, length, true);
  return changed;
}

describe("bad input of a source", () => {
  const good = huggingFace(rowsOf(4));
  const fractions: SchemaElement = { name: "label", type: "DOUBLE", repetition_type: "REQUIRED" };
  test.each<[string, Uint8Array, string]>([
    ["no Parquet", png, "file is no Parquet"],
    ["an empty file", Buffer.of(), "file is no Parquet"],
    ["a file cut off", good.subarray(0, good.length - 9), "cut off: it has no footer"],
    ["a file without its beginning", good.subarray(9), "file is no Parquet"],
    [
      "a footer longer than the file",
      withFooterLength(good, good.length),
      `expected at most ${good.length - 12} bytes`,
    ],
    ["a footer of 4 GB", withFooterLength(good, 2 ** 32 - 1), "got 4294967295"],
    ["a footer shorter than it is", withFooterLength(good, 40), "footer of the Parquet file cannot be read"],
    [
      "a footer longer than it is",
      withFooterLength(good, good.length - 12),
      "footer of the Parquet file cannot be read",
    ],
    [
      "no column of images",
      write([column("pixels", [1, 2]), column("url", ["a", "b"])]),
      "got pixels of INT32, url of UTF8",
    ],
    ["paths for images", write([column("image", ["a.png", "b.png"])]), "got image of UTF8"],
    ["a label beyond its names", huggingFace([[png, 2]], { names: ["a", "b"] }), "expected −1 … 1, got 2"],
    ["a label below −1", huggingFace([[png, -2]]), "row group 0, row 0 of it: label is out of range"],
    [
      "labels that are no classes",
      write([column("image", [png]), column("label", [0.5])], {
        schema: [
          { name: "root", num_children: 2 },
          { name: "image", type: "BYTE_ARRAY", repetition_type: "REQUIRED" },
          fractions,
        ],
      }),
      "got label of DOUBLE",
    ],
    ["no row", huggingFace([]), "no row"],
  ])("%s", async (_, bytes, part) => {
    expect(await badInputOf(openFile(bytes))).toContain(part);
  });

  test("rows that are declared, but not there", async () => {
    const bytes = huggingFace(rowsOf(3), { codec: "UNCOMPRESSED" });
    const footer = bytes.length - 8 - new DataView(bytes.buffer).getUint32(bytes.length - 8, true);
    // 3 as a field of 64 bits is 16 06: first the rows of the file, then values of each column and rows of the row group.
    const places = [...bytes.keys()].filter((i) => i > footer && bytes[i - 1] === 0x16 && bytes[i] === 0x06);
    expect(places).toHaveLength(5);
    const declare = (changed: readonly number[]) =>
      openFile(bytes.map((byte, i) => (changed.includes(i) ? 0x08 : byte)));
    expect(await badInputOf(declare(places.slice(0, 1)))).toContain("do not add up (expected 4 rows, got 3)");
    expect(await badInputOf(declare([places[0] ?? 0, places[4] ?? 0]))).toContain("has 4 rows, but 3 in a column");
    expect(await badInputOf(declare(places))).toContain("labels cannot be decoded: column has 3 rows of 4");
  });

  test("a damaged page of labels", async () => {
    const bytes = huggingFace(
      [
        [png, "aaaa"],
        [png, "bbbb"],
      ],
      { codec: "UNCOMPRESSED" },
    );
    bytes[Buffer.from(bytes).indexOf("bbbb") - 3] = 0x7f; // the length of it
    expect(await badInputOf(openFile(bytes))).toMatch(/row group 0: labels cannot be decoded/);
  });

  test("files that do not belong together, a missing path, a folder without any", async () => {
    const folder = writeFiles(temporary(), { "a.parquet": good, "b.parquet": huggingFace([[png, "cat"]]) });
    expect(await badInputOf(openParquet(folder))).toMatch(/b\.parquet: Parquet files .* labels of type string/);
    const names = writeFiles(temporary(), {
      "a.parquet": good,
      "b.parquet": huggingFace([[png, 0]], { names: ["a"] }),
    });
    expect(await badInputOf(openParquet(names))).toContain("do not belong together");
    expect(await badInputOf(openParquet(temporary()))).toContain("cannot be opened");
    expect(await badInputOf(openParquet(writeFiles(temporary(), { "a.txt": "" })))).toContain("no .parquet file");
  });
});

test("damaged bytes are records or bad input", async () => {
  const rows = Array.from({ length: 8 }, (_, i): Row => [i === 5 ? null : text(`${i % 3}`.repeat(9)), i % 3]);
  const files = [
    ...Object.values(ARROW).map((base64) => new Uint8Array(Buffer.from(base64, "base64"))),
    ...(["UNCOMPRESSED", "SNAPPY", "GZIP"] as const).map((codec) => huggingFace(rows, { codec })),
  ];
  const path = join(writeFiles(temporary(), {}), "a.parquet");
  const byte = fc.oneof(fc.constantFrom(0xff, 0x80, 0x01), fc.integer({ min: 1, max: 255 }));
  const damages = fc.record({
    flips: fc.array(fc.tuple(fc.nat(4000), byte), { minLength: 1, maxLength: 3 }),
    keep: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true })),
  });
  const outcomes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...files), damages, async (bytes, harm) => {
      writeFileSync(path, damage(bytes, harm));
      outcomes.add(await readAll(() => openParquet(path)));
    }),
    { numRuns: 400 },
  );
  expect([...outcomes].sort()).toEqual(["opened", "refused"]);
});
