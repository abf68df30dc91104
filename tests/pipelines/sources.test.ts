/** The word after `--source`: which source it opens, what it is refused for, and what is said of what was passed over. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openSource, openSplitSource } from "../../pipelines/sources.ts";
import { iterateRecords, listRecords, takeEvenly } from "../../stage1-tokenizer/images/index.ts";
import { createReporter } from "../../shared/train/reporter.ts";
import { BAD_INPUT, pixelRecords, plain, USAGE } from "../stage1-tokenizer/images/fixtures.ts";
import { archive, file } from "../stage1-tokenizer/images/sources/tar-writer.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";

const temporary = useTemporaryDirectory();
const png = await plain([200, 30, 60]).png().toBuffer();
const tar = archive(file("a.txt", "no image"), file("b.png", png), file("b.cls", "3"));

async function folderOf(files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const root = temporary("source");
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return root;
}

async function open(word: string) {
  const lines: string[] = [];
  const reporter = createReporter({ stream: { write: (line: string) => lines.push(line) }, quiet: true });
  const { name } = await openSource(word, reporter);
  return { name: name.split(" ")[0], warnings: lines };
}

const refusal = (word: string): Promise<unknown> => open(word).catch((error: unknown) => error);

const images = { "cats/a.png": png };
const list = { "labels.csv": "file,label\ncats/a.png,cat\n", ...images };
const shards = { "s-0.tar": tar, "s-1.tar": archive(file("c.png", png)) };

describe("a source is told by its name or content:", () => {
  test.each<[string, Readonly<Record<string, Uint8Array | string>>, string, string]>([
    ["a folder of images", images, "", "folder"],
    ["a folder of shards", shards, "", "webdataset"],
    ["one shard", shards, "/s-0.tar", "webdataset"],
    ["a pattern", shards, "/s-{0..1}.tar", "webdataset"],
    ["a list in CSV", list, "/labels.csv", "labels"],
    ["a list in JSON Lines", { ...images, "l.jsonl": '{"file":"cats/a.png"}' }, "/l.jsonl", "labels"],
    ["a folder named like a shard", { "x.tar/a.png": png }, "/x.tar", "folder"],
    ["a folder named like a kind", { "odd:one/a.png": png }, "/odd:one", "folder"],
  ])("%s", async (_name, files, word, expected) => {
    expect((await open(`${await folderOf(files)}${word}`)).name).toBe(expected);
  });

  test("emoji is the embedded set", async () => {
    expect(await open("emoji")).toEqual({ name: "emoji", warnings: [] });
  });
});

describe("a kind before the colon decides", () => {
  test("for a folder that holds archives and images, which is refused without one", async () => {
    const root = await folderOf({ ...images, ...shards });
    const error = await refusal(root);
    expect(error).toMatchObject(USAGE);
    expect(String(error)).toContain(`webdataset:${root} or folder:${root}`);
    expect((await open(`webdataset:${root}`)).name).toBe("webdataset");
    expect((await open(`folder:${root}`)).name).toBe("folder");
    expect((await open(`labels:${await folderOf(list)}/labels.csv`)).name).toBe("labels");
  });

  test("unless a path is called so", async () => {
    const root = await folderOf({ "odd:one/a.png": png });
    const before = process.cwd();
    process.chdir(root);
    try {
      expect((await open("odd:one")).name).toBe("folder");
    } finally {
      process.chdir(before);
    }
  });
});

describe("refused:", () => {
  test.each(["cloud:bucket", "https://example.org/a.tar", "folder:", "constructor:x", "Folder:x"])(
    "%s is a usage error that lists the kinds",
    async (word) => {
      const error = await refusal(word);
      expect(error).toMatchObject(USAGE);
      expect(String(error)).toMatch(/emoji.*folder, labels, webdataset/);
    },
  );

  test("a file of no known kind is a usage error, a missing one is bad input, also behind a drive letter", async () => {
    const root = await folderOf({ "a.bin": "x" });
    expect(await refusal(join(root, "a.bin"))).toMatchObject(USAGE);
    for (const word of [
      join(root, "gone"),
      join(root, "gone.tar"),
      join(root, "gone-{0..3}.tar"),
      "c:\\nowhere",
      "c:/nowhere",
    ]) {
      const error = await refusal(word);
      expect(error).toMatchObject(BAD_INPUT);
      expect(String(error)).toMatch(/gone|nowhere/);
    }
    for (const kind of ["folder", "labels", "webdataset"]) {
      const path = join(root, kind === "labels" ? "gone.csv" : "gone");
      expect(await refusal(`${kind}:${path}`)).toMatchObject(BAD_INPUT);
    }
  });
});

test("what a source passed over is warned of, also when quiet", async () => {
  const listed = await open(join(await folderOf({ ...list, "extra.png": png }), "labels.csv"));
  expect(listed.warnings).toEqual([expect.stringMatching(/^warning: .*1 image file .*extra\.png\n$/)]);
  const { warnings } = await open(await folderOf(shards));
  expect(warnings).toEqual([expect.stringMatching(/^warning: .*s-0\.tar and 1 more: 1 sample holds no image/)]);
});

test("a split of shards has every record on one side", async () => {
  const members = Array.from({ length: 40 }, (_, i) => file(`${i}.png`, png));
  const source = join(await folderOf({ "s.tar": archive(...members) }), "s.tar");
  const reporter = createReporter({ stream: { write: () => true } });
  const { training, heldOut } = await openSplitSource({ source, heldOut: 0.5 }, reporter);
  expect(training.count + heldOut.count).toBe(40);
  const keys = [...(await listRecords(training)), ...(await listRecords(heldOut))].map(({ key }) => key);
  expect(new Set(keys).size).toBe(40);
  expect(Math.min(training.count, heldOut.count)).toBeGreaterThan(5);
});

test("a folder of shards may be a link", async () => {
  const link = temporary("link");
  await symlink(await folderOf(shards), link);
  expect((await open(link)).name).toBe("webdataset");
});

test("the help of --source names every kind", async () => {
  const { commandHelp } = await import("../../pipelines/options.ts");
  const { command } = await import("../../pipelines/commands/reconstruct.ts");
  const help = (await commandHelp(command, 100)).replaceAll(/\s+/g, " ");
  for (const word of ["emoji", "folder:", "labels:", "webdataset:"]) expect(help).toContain(word);
});

describe("records taken evenly", () => {
  const positions = async (of: number, count: number): Promise<number[]> => {
    const { records } = pixelRecords(of);
    const taken = takeEvenly({ count: of, records: () => iterateRecords(records) }, count);
    const found: number[] = [];
    for await (const { key } of taken.records()) found.push(records.findIndex((record) => record.key === key));
    expect(found).toHaveLength(taken.count);
    return found;
  };

  test("are as many as asked for, in order, each as far from the next as any other, give or take one", async () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }));
    await fc.assert(
      fc.asyncProperty(sizes, async ([of, count]) => {
        const found = await positions(of, count);
        expect(found).toHaveLength(Math.min(of, count));
        const gaps = found.map((position, i) => position - (found[i - 1] ?? -1)); // the first from the beginning
        for (const gap of gaps) {
          expect(gap).toBeGreaterThanOrEqual(Math.max(1, Math.floor(of / count)));
          expect(gap).toBeLessThanOrEqual(Math.max(1, Math.ceil(of / count)));
        }
        expect(found.at(-1)).toBe(of - 1);
      }),
    );
  });

  test("can be gone through again, and are none where none are asked for", async () => {
    const { records } = pixelRecords(10);
    const taken = takeEvenly({ count: 10, records: () => iterateRecords(records) }, 3);
    const keys = async (): Promise<string[]> => (await listRecords(taken)).map(({ key }) => key);
    expect(await keys()).toEqual(await keys());
    expect(await positions(10, 0)).toEqual([]);
  });
});
