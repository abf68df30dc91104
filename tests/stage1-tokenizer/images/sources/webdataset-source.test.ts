import { appendFile, mkdir, open, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TesseraError } from "../../../../shared/errors.ts";
import {
  createPreprocessing,
  decodeRecord,
  expandShards,
  listRecords,
  openWebDataset,
} from "../../../../stage1-tokenizer/images/index.ts";
import { testImageSource } from "../../../contracts/image-source.ts";
import { useTemporaryDirectory } from "../../../shared/temporary-directory.ts";
import { BAD_INPUT, plain, pngOfSize, USAGE } from "../fixtures.ts";
import { archive, file, header, member } from "./tar-writer.ts";

const temporary = useTemporaryDirectory();
const png = await plain([200, 30, 60]).png().toBuffer();
const jpeg = await plain([20, 130, 60]).jpeg().toBuffer();
const webp = await plain([20, 30, 160]).webp().toBuffer();

/** Writes shards of members given as [name, data]. */
async function shards(...contents: (readonly (readonly [string, Uint8Array | string])[])[]): Promise<string[]> {
  return raw(...contents.map((members) => archive(...members.map(([name, data]) => file(name, data)))));
}

async function raw(...archives: readonly Uint8Array[]): Promise<string[]> {
  const folder = temporary("shards");
  await mkdir(folder);
  const paths = archives.map((_, i) => join(folder, `shard-${i}.tar`));
  for (const [i, path] of paths.entries()) await writeFile(path, archives[i] ?? "");
  return paths;
}

const listed = async (paths: readonly string[]) => {
  const source = await openWebDataset(paths);
  const records = await listRecords(source);
  return records.map(({ key, label }) => [key, label === undefined ? undefined : source.classes[label]]);
};
const refusal = (paths: readonly string[]): Promise<unknown> => openWebDataset(paths).catch((error: unknown) => error);

const TRAIN = [
  ["train/0001.jpg", jpeg],
  ["train/0001.cls", "7\n"],
  ["train/0002.cls", "12"],
  ["train/0002.png", png],
  ["train/0002.txt", "a caption"],
  ["train/0003.WebP", webp],
] as const;
const MORE = [
  ["train/0004.jpeg", jpeg],
  ["train/0004.json", '{"label": 0, "width": 12}'],
  ["train/0005.json", '{"class": 7}'],
  ["train/0005.png", png],
] as const;

const contractShards = await shards(TRAIN, MORE);
testImageSource({ name: "webdataset", count: 5, create: () => openWebDataset(contractShards) });

describe("samples", () => {
  test("are members that share the name up to the first dot; .cls and .json label them", async () => {
    const source = await openWebDataset(contractShards);
    expect(source.name).toBe("webdataset shard-0.tar and 1 more");
    expect(source.classes).toEqual(["0", "7", "12"]);
    expect(source.notes).toEqual([]);
    expect(await listed(contractShards)).toEqual([
      ["train/0001", "7"],
      ["train/0002", "12"],
      ["train/0003", undefined],
      ["train/0004", "0"],
      ["train/0005", "7"],
    ]);
  });

  test("are read in place, any number at once", async () => {
    const records = await listRecords(await openWebDataset(contractShards));
    const read = await Promise.all([...records, ...records].map((record) => record.read()));
    const expected = [jpeg, png, webp, jpeg, png].map((bytes) => new Uint8Array(bytes));
    expect(read).toEqual([...expected, ...expected]);
  });

  test("keep archive order, and shards the order given", async () => {
    const paths = await shards(
      [["b.png", png]],
      [
        ["c.png", png],
        ["a.png", png],
      ],
    );
    expect((await listed(paths)).map(([key]) => key)).toEqual(["b", "c", "a"]);
    expect((await listed(paths.toReversed())).map(([key]) => key)).toEqual(["c", "a", "b"]);
  });

  test("with text labels: sorted by code point, integers among them as text; no label stays none", async () => {
    const labels = [
      '{"label": "\u{1f600}"}',
      '{"label": "\uff5e"}',
      '{"label": 3}',
      "{}",
      '{"label": null, "class": "z"}',
    ];
    const members = labels.flatMap((json, i) => [[`${i}.json`, json] as const, [`${i}.png`, png] as const]);
    const paths = await shards([...members, ["9.png", png], ["9.json", '{"label": ""}']]);
    expect((await openWebDataset(paths)).classes).toEqual(["3", "z", "\uff5e", "\u{1f600}"]);
    const expected = ["\u{1f600}", "\uff5e", "3", undefined, "z", undefined];
    expect((await listed(paths)).map(([, label]) => label)).toEqual(expected);
  });

  test(".cls counts before .json; -0, +4 and 007 are the numbers they mean", async () => {
    const labels = Object.entries({ "a.json": "no JSON", "a.cls": "-0", "b.cls": " +4 ", "c.cls": "007" });
    const images = ["a.png", "b.png", "c.png"].map((name) => [name, png] as const);
    const paths = await shards([...labels, ...images].sort(([a], [b]) => (a < b ? -1 : 1)));
    expect((await listed(paths)).map(([, label]) => label)).toEqual(["0", "4", "7"]);
  });

  test("without an image are left out with a note, and so is their label", async () => {
    const texts = { "a.cls": "5", "a.txt": "no image", README: "text", "._b.png": "hidden", "x/.c.png": "hidden" };
    const paths = await shards([...Object.entries(texts), ["b.png", png], ["b.cls", "1"]]);
    const source = await openWebDataset(paths);
    expect(source.classes).toEqual(["1"]);
    expect(source.notes).toEqual([expect.stringMatching(/1 sample holds no image and is left out$/)]);
    expect(await listed(paths)).toEqual([["b", "1"]]);
  });

  test("have long and foreign names, folders and links beside them", async () => {
    const name = `${"ü/".repeat(100)}${"漢".repeat(90)}`;
    const [path = ""] = await raw(
      archive(
        member({ name: "ü/", type: "5" }),
        file(`${name}.png`, png),
        member({ name: "latest", type: "2", link: "ü" }),
        member({ name: "notes.txt", type: "2", link: "/etc/passwd" }),
      ),
    );
    expect(await listed([path])).toEqual([[name, undefined]]);
  });
});

describe("refused:", () => {
  const P = ["a.png", png] as const;
  test.each<[string, (readonly (readonly [string, Uint8Array | string])[])[], RegExp]>([
    ["two images in a sample", [[P, ["a.jpg", jpeg]]], /byte 0: sample a has two images.*a\.png and a\.jpg/],
    ["two labels in a sample", [[["a.cls", "1"], ["a.cls", "2"], P]], /sample a has two labels/],
    [
      "a sample twice in a shard",
      [[P, ["b.png", png], P]],
      /shard-0\.tar, byte \d{4}: sample a comes twice.*shard-0\.tar, byte 0/,
    ],
    ["a sample that is split apart", [[P, ["b.png", png], ["a.cls", "1"]]], /sample a comes twice/],
    [
      "a sample in two shards",
      [[P], [["b.png", png], P]],
      /shard-1\.tar, byte \d{4}: sample a comes twice.*shard-0\.tar, byte 0/,
    ],
    [
      "a sample across two shards",
      [
        [P],
        [
          ["a.cls", "1"],
          ["b.png", png],
        ],
      ],
      /shard-1\.tar, byte 0: sample a comes twice/,
    ],
    ["a longer extension only", [[["a.v2.png", png]]], /sample a has no image of its own.*a\.v2\.png/],
    ["no image", [[["a.txt", "x"]]], /shard-0\.tar: no image in the archive/],
    ["no member", [[]], /shard-0\.tar: no image in the archive/],
    ["a word for a .cls", [[P, ["a.cls", "cat"]]], /shard-0\.tar, byte \d+, a\.cls: label is malformed.*"cat"/],
    ["a fraction for a .cls", [[P, ["a.cls", "1.5"]]], /label is malformed/],
    ["an empty .cls", [[P, ["a.cls", ""]]], /label is malformed/],
    ["a .cls of 20 digits", [[P, ["a.cls", "9".repeat(20)]]], /label is malformed/],
    ["a .json that is none", [[P, ["a.json", "{label: 1}"]]], /a\.json: label file is no JSON/],
    ["a .json list", [[P, ["a.json", "[1]"]]], /a\.json: expected/],
    ["a fraction in a .json", [[P, ["a.json", '{"label": 1.5}']]], /a\.json: label: expected/],
    ["an object in a .json", [[P, ["a.json", '{"class": {}}']]], /a\.json: class: expected/],
    ["a label of 2 MiB", [[P, ["a.json", " ".repeat(2 ** 21)]]], /a\.json: label is too long/],
    ["a name that climbs", [[["../a.png", png]]], /leads out of the archive/],
  ])("%s", async (_name, contents, sentence) => {
    const error = await refusal(await shards(...contents));
    expect(error).toMatchObject(BAD_INPUT);
    expect(String(error)).toMatch(sentence);
  });

  test.each([
    ["a.png", "1"],
    ["a.png", "2"],
    ["a.cls", "2"],
  ])("a link for a member: %s of type %s", async (name, type) => {
    const paths = await raw(archive(member({ name, type, link: "../b.png" })));
    const error = await refusal(paths);
    expect(error).toMatchObject(BAD_INPUT);
    expect(String(error)).toMatch(/a\.(png|cls) of sample a is a link to \.\.\/b\.png/);
  });

  test("shards that are missing, folders, or compressed", async () => {
    const [path = ""] = await raw(Buffer.of(0x1f, 0x8b, 8, 0));
    for (const wrong of [`${path}.gone`, join(path, ".."), path]) {
      const error = await refusal([wrong]);
      expect(error).toMatchObject(BAD_INPUT);
      expect(String(error)).toContain(wrong);
    }
  });
});

describe("an archive that changes while it is open", () => {
  test.each<[string, (path: string) => Promise<void>]>([
    ["cut", (path) => truncate(path, 700)],
    ["grown", (path) => appendFile(path, Buffer.alloc(512))],
    ["gone", (path) => rm(path)],
  ])("%s: reading and walking it again are bad input", async (_name, change) => {
    const paths = await shards([
      ["a.png", png],
      ["b.png", png],
    ]);
    const source = await openWebDataset(paths);
    const [record] = await listRecords(source);
    await change(paths[0] ?? "");
    await expect(record?.read()).rejects.toMatchObject(BAD_INPUT);
    await expect(listRecords(source)).rejects.toMatchObject(BAD_INPUT);
  });

  test("replaced by one of equal length, which only its time tells", async () => {
    const [path = ""] = await shards([["a.png", png]]);
    await utimes(path, 1000, 1000);
    const source = await openWebDataset([path]);
    const [record] = await listRecords(source);
    await writeFile(
      path,
      archive(
        file(
          "a.png",
          png.map((byte) => byte ^ 1),
        ),
      ),
    );
    await expect(record?.read()).rejects.toThrow("has changed");
    await expect(listRecords(source)).rejects.toThrow("has changed");
  });

  test("cut, or labelled anew, and its time set back", async () => {
    const members = (label: string) => archive(file("a.png", png), file("a.cls", label));
    const [path = ""] = await raw(members("1"));
    await utimes(path, 1000, 1000);
    const source = await openWebDataset([path]);
    const [record] = await listRecords(source);
    await writeFile(path, members("2"));
    await utimes(path, 1000, 1000);
    await expect(listRecords(source)).rejects.toThrow("has changed");
    await truncate(path, 1024);
    await utimes(path, 1000, 1000);
    await expect(record?.read()).rejects.toThrow("has changed");
  });
});

test("an image of 600 MiB is refused when it is read, not before", async () => {
  const [path = ""] = await raw(new Uint8Array(0));
  const size = 600 * 2 ** 20;
  const handle = await open(path, "w");
  await handle.write(header({ name: "a.png", size }), 0, 512, 0);
  await handle.write(archive(file("b.png", png)), 0, null, 512 + size);
  await handle.close();
  const [large, small] = await listRecords(await openWebDataset([path]));
  await expect(large?.read()).rejects.toMatchObject(BAD_INPUT);
  expect(await small?.read()).toEqual(new Uint8Array(png));
});

test("a bomb, a cut image and an empty one fail one by one, beside a good one", async () => {
  const [path = ""] = await shards([
    ["bomb.png", pngOfSize(30_000, 30_000)],
    ["cut.png", png.subarray(0, 50)],
    ["empty.jpg", ""],
    ["good.png", png],
  ]);
  const records = await listRecords(await openWebDataset([path]));
  const decoded = await Promise.all(records.map((record) => decodeRecord(record, createPreprocessing([8, 8]))));
  expect(records.map(({ key }, i) => [key, decoded[i]?.ok])).toEqual([
    ["bomb", false],
    ["cut", false],
    ["empty", false],
    ["good", true],
  ]);
});

test("bytes changed or cut anywhere give records or bad input, nothing else", async () => {
  const bytes = archive(...[...TRAIN, ...MORE].map(([name, data]) => file(name, name.endsWith("g") ? png : data)));
  const path = `${temporary()}.tar`;
  const change = fc.record({ at: fc.nat(bytes.length - 1), value: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 2 }), fc.nat(bytes.length), async (changes, length) => {
      const damaged = Buffer.from(bytes);
      for (const { at, value } of changes) damaged[at] = value;
      await writeFile(path, changes.length > 0 ? damaged : damaged.subarray(0, length));
      try {
        for await (const record of (await openWebDataset([path])).records()) await record.read();
      } catch (error) {
        expect(error).toBeInstanceOf(TesseraError);
        expect(error).toMatchObject(BAD_INPUT);
      }
    }),
    { numRuns: 200 },
  );
});

describe("the word for shards", () => {
  test("a folder is its archives by name, a pattern what its braces stand for, a path itself", async () => {
    const folder = temporary("data");
    await mkdir(join(folder, "sub.tar"), { recursive: true });
    const names = [
      "t-008.tar",
      "t-009.tar",
      "t-010.tar",
      "v-8.tar",
      "v-9.tar",
      "v-10.tar",
      "{x}.tar",
      ".h.tar",
      "n.txt",
    ];
    for (const name of names) await writeFile(join(folder, name), "");
    const expand = async (pattern: string) =>
      (await expandShards(join(folder, pattern))).map((path) => path.slice(folder.length + 1));
    expect(await expand("t-{008..010}.tar")).toEqual(["t-008.tar", "t-009.tar", "t-010.tar"]);
    expect(await expand("v-{8..10}.tar")).toEqual(["v-8.tar", "v-9.tar", "v-10.tar"]);
    expect(await expand("t-0{10,09}.tar")).toEqual(["t-010.tar", "t-009.tar"]);
    expect(await expand("{t-00,v-}{8..9}.tar")).toEqual(["t-008.tar", "t-009.tar", "v-8.tar", "v-9.tar"]);
    expect(await expand("{x}.tar")).toEqual(["{x}.tar"]);
    expect(await expand("n.txt")).toEqual(["n.txt"]);
    expect(await expandShards(folder)).toEqual(
      ["t-008.tar", "t-009.tar", "t-010.tar", "v-10.tar", "v-8.tar", "v-9.tar", "{x}.tar"].map((name) =>
        join(folder, name),
      ),
    );
  });

  test("a missing shard is named; a folder without one is bad input", async () => {
    const folder = temporary("data");
    await mkdir(folder);
    await writeFile(join(folder, "t-0.tar"), "");
    const missing: unknown = await expandShards(join(folder, "t-{0..3}.tar")).catch((error: unknown) => error);
    expect(missing).toMatchObject(BAD_INPUT);
    expect(String(missing)).toMatch(/t-1\.tar: shard is missing.*of the 4/);
    await expect(expandShards(join(folder, "alone.tar"))).rejects.toMatchObject(BAD_INPUT);
    await rm(join(folder, "t-0.tar"));
    await expect(expandShards(folder)).rejects.toMatchObject(BAD_INPUT);
  });

  test.each(["{9..1}", "{a..c}", "{}", "{1}", "{0..999999999}", "{0..999}{0..999}", "{1..}"])(
    "%s stands for none",
    (braces) => expect(expandShards(`/nowhere/${braces}.tar`)).rejects.toMatchObject(USAGE),
  );
});
