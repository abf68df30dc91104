import { mkdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TesseraError } from "../../../../shared/errors.ts";
import { listRecords, openLabelledSource } from "../../../../stage1-tokenizer/images/index.ts";
import { testImageSource } from "../../../contracts/image-source.ts";
import { useTemporaryDirectory } from "../../../shared/temporary-directory.ts";
import { BAD_INPUT, plain, USAGE } from "../fixtures.ts";

const temporary = useTemporaryDirectory();
const png = await plain([200, 30, 60]).png().toBuffer();
const jpeg = await plain([20, 130, 60]).jpeg().toBuffer();

/** A folder with a list and images of these names. */
async function folderOf(list: string, content: string | Uint8Array, images: readonly string[]): Promise<string> {
  const root = temporary("labels");
  await mkdir(root);
  await writeFile(join(root, list), content);
  for (const image of images) {
    await mkdir(dirname(join(root, image)), { recursive: true });
    await writeFile(join(root, image), image.endsWith("png") ? png : jpeg);
  }
  return join(root, list);
}

/** [key, class name, family] of every record. */
async function listed(path: string) {
  const source = await openLabelledSource(path);
  return (await listRecords(source)).map(({ key, label, family }) => [
    key,
    label === undefined ? undefined : source.classes[label],
    family,
  ]);
}

const refusal = (path: string): Promise<unknown> => openLabelledSource(path).catch((error: unknown) => error);
const open = async (list: string, content: string | Uint8Array, images: readonly string[]) =>
  openLabelledSource(await folderOf(list, content, images));

const contract = await folderOf("labels.csv", "file,label,family\nb.png,dog,x\nsub/a.jpg,cat,\nc.png,,x\n", [
  "b.png",
  "sub/a.jpg",
  "c.png",
]);
testImageSource({ name: "labels", count: 3, create: () => openLabelledSource(contract) });

describe("a list", () => {
  const expected = [
    ["b.png", "dog", "x"],
    ["sub/a.jpg", "cat", "sub/a.jpg"],
    ["c.png", undefined, "x"],
  ];
  test("in CSV keeps its order; a family is its own unless it names one", async () => {
    const source = await openLabelledSource(contract);
    expect([source.name, source.classes, source.notes]).toEqual(["labels labels.csv", ["cat", "dog"], []]);
    expect(await listed(contract)).toEqual(expected);
  });

  test.each([
    ["labels.tsv", "Path\tClass\tgroup\nb.png\tdog\tx\nsub/a.jpg\tcat\t\nc.png\t\tx\n"],
    [
      "labels.CSV",
      '\ufeffextra,"file_name" , category,group\r\n1,b.png, dog,x\r\n\r\n2,"./sub//a.jpg",cat,\r\n3,c.png,"",x',
    ],
    ["labels.csv", "image,label,family\rb.png,dog,x\rsub/a.jpg,cat,\rc.png,,x\r"],
    [
      "labels.jsonl",
      '\ufeff{"file": "b.png", "label": "dog", "family": "x"}\n\n{"file_name": "sub/a.jpg", "class": "cat"}\r\n{"filename": "c.png", "label": null, "group": "x"}',
    ],
    [
      "x.ndjson",
      '{"path":"b.png","category":"dog","group":"x"}\n{"image":"sub/a.jpg","label":"cat"}\n{"file":"./c.png","label":"","family":"x"}\n',
    ],
  ])("is read from %s %#, whatever its columns are called", async (list, content) => {
    expect(await listed(await folderOf(list, content, ["b.png", "sub/a.jpg", "c.png"]))).toEqual(expected);
  });

  test("may quote commas, quotes, line breaks and blanks", async () => {
    const content = 'file,label\n"a, b.png","x ""y"""\n" c .png","one\ntwo"\n';
    const path = await folderOf("l.csv", content, ["a, b.png", " c .png"]);
    expect((await listed(path)).map((record) => record.slice(0, 2))).toEqual([
      ["a, b.png", 'x "y"'],
      [" c .png", "one\ntwo"],
    ]);
  });

  test("takes numbers as text, and sorts classes as numbers if all are", async () => {
    const images = ["a.png", "b.png", "c.png"];
    const numbers = '{"file":"a.png","label":10}\n{"file":"b.png","label":"9"}\n{"file":"c.png","label":-1,"group":7}';
    const path = await folderOf("l.jsonl", numbers, images);
    expect((await openLabelledSource(path)).classes).toEqual(["-1", "9", "10"]);
    expect((await listed(path)).at(-1)).toEqual(["c.png", "-1", "7"]);
    const words = await open("l.csv", "file,label\na.png,10\nb.png,9\nc.png,1b\n", images);
    expect(words.classes).toEqual(["10", "1b", "9"]);
  });

  test("finds composed, decomposed, foreign and long names as they are written", async () => {
    const images = ["\u00e9.png", "e\u0301.png", "\u{1f600}/漢.png", `${"n".repeat(200)}/${"m".repeat(200)}.png`];
    const path = await folderOf("l.csv", `file\n${images.join("\n")}\n`, images);
    expect((await listed(path)).map(([key]) => key)).toEqual(images);
  });

  test("may name hidden files and other extensions; links are family of their target", async () => {
    const path = await folderOf("l.csv", "file\n.h.png\na.gif\nlink.png\nloop/a.png\na.png\n", [
      ".h.png",
      "a.gif",
      "a.png",
    ]);
    await symlink("a.png", join(dirname(path), "link.png"));
    await symlink(".", join(dirname(path), "loop"));
    expect((await listed(path)).map(([key, , family]) => [key, family])).toEqual([
      [".h.png", ".h.png"],
      ["a.gif", "a.gif"],
      ["link.png", "a.png"],
      ["loop/a.png", "a.png"],
      ["a.png", "a.png"],
    ]);
  });

  test("that misses images of its folder says so, and leaves them out", async () => {
    const extra = ["f.png", "b.png", "sub/c.jpg", "d.png", "e.png", "g.png"];
    const many = await open("labels.csv", "file\na.png\n", ["a.png", ...extra]);
    expect(many.notes).toEqual([
      expect.stringMatching(/labels\.csv: 6 image files .* left out: b\.png, d\.png, e\.png, f\.png, g\.png, …$/),
    ]);
    expect(await listRecords(many)).toHaveLength(1);
    const one = await open("labels.csv", "file\na.png\n", ["a.png", "b.png"]);
    expect(one.notes).toEqual([expect.stringMatching(/1 image file of its folder is .* left out: b\.png$/)]);
  });

  test("may be reached through a linked folder", async () => {
    const link = temporary("link");
    await symlink(dirname(contract), link);
    expect(await listed(join(link, "labels.csv"))).toEqual(await listed(contract));
  });

  test("an image that vanished after the opening fails when it is read", async () => {
    const path = await folderOf("l.csv", "file\na.png\n", ["a.png"]);
    const [record] = await listRecords(await openLabelledSource(path));
    await rm(join(dirname(path), "a.png"));
    await expect(record?.read()).rejects.toThrow("ENOENT");
  });
});

describe("refused:", () => {
  const sixMissing = `file\n${["a", "1", "2", "3", "4", "5", "6"].map((name) => `${name}.png`).join("\n")}\n`;
  test.each<[string, string, string | Uint8Array, RegExp]>([
    ["a missing image", "l.csv", "file\na.png\ngone.png\n", /l\.csv: a listed image is missing.*gone\.png \(line 3\)/],
    ["six", "l.csv", sixMissing, /6 listed images are missing.*1\.png \(line 3\).*5\.png \(line 7\), …/],
    ["a folder for an image", "l.csv", "file\nsub\n", /a listed image is missing/],
    ["a name no file can have", "l.jsonl", '{"file":"a\\u0000.png"}', /a listed image is missing/],
    ["a path that climbs", "l.csv", "file\n../a.png\n", /line 2: "\.\.\/a\.png" leads out/],
    ["a path that climbs later", "l.csv", "file\nsub/../../a.png\n", /line 2: .* leads out/],
    ["an absolute path", "l.csv", "file\n/etc/passwd\n", /line 2: "\/etc\/passwd" leads out/],
    ["a drive", "l.csv", "file\nC:\\a.png\n", /line 2: .* leads out/],
    ["a link out of the folder", "l.csv", "file\na.png\nout.png\n", /line 3: "out\.png" leads out/],
    ["a file twice", "l.csv", "file\na.png\nsub/b.png\n./a.png\n", /line 4: a\.png is listed twice.*line 2/],
    [
      "a line with too many values",
      "l.csv",
      "file,label\na.png,x\nsub/b.png,y,z\n",
      /line 3: line is malformed.*2 values.*got 3/,
    ],
    ["a line with too few", "l.tsv", "file\tlabel\na.png\n", /line 2: line is malformed.*2 values.*got 1/],
    ["an open quote", "l.csv", 'file,label\n\n"a.png,x\n', /line 3: line is malformed: quote not closed/],
    ["a quote in the middle", "l.csv", 'file\na"b.png\n', /line 2: line is malformed: invalid opening quote/],
    ["a line without a file", "l.csv", "file,label\n,x\n", /line 2: line names no image/],
    ["an endless line", "l.csv", `file\n${"x".repeat(2 ** 21)}\n`, /line 2: line is malformed: max record size/],
    ["no column of files", "l.csv", "a.png,x\n", /line 1: no column names the images.*got a\.png, x/],
    ["semicolons", "l.csv", "file;label\na.png;x\n", /line 1: no column names the images.*got file;label/],
    ["a column twice", "l.csv", "file,label,Label\na.png,x,y\n", /line 1: column label comes twice/],
    ["an empty table", "l.csv", "", /has no header/],
    ["a header alone", "l.csv", "file,label\n", /lists no image/],
    ["an empty list", "l.jsonl", "\n\n", /lists no image/],
    ["a line that is no JSON", "l.jsonl", '{"file":"a.png"}\n\n{file}\n', /line 3: line is no JSON/],
    ["a line that is no object", "l.jsonl", '["a.png"]\n', /line 1: line is no JSON object/],
    ["a list for a label", "l.jsonl", '{"file":"a.png","label":["x"]}\n', /line 1: label is malformed.*\["x"\]/],
    ["an object for a file", "l.jsonl", '{"file":{}}\n', /line 1: file is malformed/],
    ["an object without a file", "l.jsonl", '{"label":"x"}\n', /line 1: line names no image/],
    ["a prototype for a file", "l.jsonl", '{"__proto__":{"file":"a.png"}}\n', /line 1: line names no image/],
    ["UTF-16", "l.csv", Buffer.from("\ufefffile\na.png\n", "utf16le"), /is no UTF-8 text/],
    ["an image", "l.csv", png, /is no UTF-8 text/],
  ])("%s", async (_name, list, content, sentence) => {
    const path = await folderOf(list, content, ["a.png", "sub/b.png"]);
    const outside = `${dirname(path)}-outside.png`;
    await writeFile(outside, png);
    await symlink(outside, join(dirname(path), "out.png"));
    const error = await refusal(path);
    expect(error).toMatchObject(BAD_INPUT);
    expect(String(error)).toMatch(sentence);
    expect(String(error)).toContain(path);
    expect(String(error).length).toBeLessThan(600);
  });

  test("a list of 257 MiB", async () => {
    const path = await folderOf("l.csv", "file\n", []);
    await truncate(path, 257 * 2 ** 20);
    expect(String(await refusal(path))).toMatch(/list of images is too long/);
  });

  test("a list that is missing, a folder, or of no known kind", async () => {
    const path = await folderOf("l.txt", "file\na.png\n", ["sub.csv/a.png"]);
    expect(await refusal(join(dirname(path), "gone.csv"))).toMatchObject(BAD_INPUT);
    expect(await refusal(join(dirname(path), "sub.csv"))).toMatchObject(BAD_INPUT);
    expect(await refusal(path)).toMatchObject(USAGE);
  });
});

test("any names and labels written as CSV or JSON Lines come back", async () => {
  const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((text) => !/[\0\ufeff]/.test(text));
  await fc.assert(
    fc.asyncProperty(
      fc.array(word, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("csv", "jsonl"),
      async (labels, format) => {
        const rows = labels.map((label, i) => ({ file: `${i}.png`, label }));
        const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
        const csv = ["file,label", ...rows.map(({ file, label }) => `${file},${quoted(label)}`)];
        const lines = format === "csv" ? csv : rows.map((row) => JSON.stringify(row));
        const path = await folderOf(
          `l.${format}`,
          lines.join("\n"),
          rows.map(({ file }) => file),
        );
        expect((await listed(path)).map(([, label]) => label)).toEqual(labels);
        await rm(dirname(path), { recursive: true });
      },
    ),
    { numRuns: 40 },
  );
});

test("bytes changed or cut anywhere give records or bad input, nothing else", async () => {
  const texts = {
    csv: Buffer.from('file,label,family\na.png,"cat, big",x\nsub/b.png,dog,y\n'),
    jsonl: Buffer.from('{"file":"a.png","label":1}\n{"file":"sub/b.png","label":"dog"}\n'),
  };
  for (const [extension, bytes] of Object.entries(texts)) {
    const path = await folderOf(`l.${extension}`, bytes, ["a.png", "sub/b.png"]);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), fc.boolean(), async (at, value, cut) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = value;
        await writeFile(path, cut ? bytes.subarray(0, at) : damaged);
        const outcome = await listed(path).catch((error: unknown) => error);
        if (Array.isArray(outcome)) return;
        expect(outcome).toBeInstanceOf(TesseraError);
        expect(outcome).toMatchObject(BAD_INPUT);
      }),
      { numRuns: 150 },
    );
  }
});
