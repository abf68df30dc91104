import { appendFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { listRecords, openCifar } from "../../../../stage1-tokenizer/images/index.ts";
import { testImageSource } from "../../../contracts/image-source.ts";
import { useTemporaryDirectory } from "../../../shared/temporary-directory.ts";
import { badInputOf, readAll, readPixels, writeFiles } from "./binary-fixtures.ts";
import { cifarBatch as batch, cifarFineBatch as fineBatch } from "./raw-fixtures.ts";

const temporary = useTemporaryDirectory();
const PLANE = 32 * 32;

const folder = writeFiles(temporary(), {
  "data_batch_1.bin": batch([3, 9, 3]),
  "data_batch_2.bin": batch([5]),
  "data_batch_10.bin": batch([9, 3]),
  "test_batch.bin": batch([0]),
  "readme.html": "not data",
});

testImageSource({ name: "cifar10", count: 6, create: () => openCifar(folder, "cifar10") });
testImageSource({
  name: "cifar100",
  count: 3,
  create: () => openCifar(writeFiles(temporary(), { "train.bin": fineBatch([99, 0, 17]) }), "cifar100"),
});

test("training files in the order of their numbers, rows in theirs; classes that occur, by their known names", async () => {
  const source = await openCifar(folder, "cifar10");
  expect(source.classes).toEqual(["cat", "dog", "truck"]);
  expect((await listRecords(source)).map(({ key, label }) => [key, label])).toEqual([
    ["data_batch_1/00000", 0],
    ["data_batch_1/00001", 2],
    ["data_batch_1/00002", 0],
    ["data_batch_2/00000", 1],
    ["data_batch_10/00000", 2],
    ["data_batch_10/00001", 0],
  ]);
});

test("one file is that file, with the names beside it", async () => {
  const path = writeFiles(temporary(), {
    "test_batch.bin": batch([1, 0]),
    "batches.meta.txt": "avión\r\n犬\nc\nd\ne\nf\ng\nh\ni\nj\n\n",
  });
  const source = await openCifar(join(path, "test_batch.bin"), "cifar10");
  expect(source.classes).toEqual(["avión", "犬"]);
  expect((await listRecords(source)).map(({ key, label }) => [key, label])).toEqual([
    ["test_batch/00000", 1],
    ["test_batch/00001", 0],
  ]);
});

test("cifar100: the fine label, by name or else by number", async () => {
  const names = Array.from({ length: 100 }, (_, i) => `fine ${i}`).join("\n");
  const files = { "train.bin": fineBatch([42, 7]) };
  expect((await openCifar(writeFiles(temporary(), files), "cifar100")).classes).toEqual(["7", "42"]);
  const named = writeFiles(temporary(), { ...files, "fine_label_names.txt": names });
  const source = await openCifar(named, "cifar100");
  expect(source.classes).toEqual(["fine 7", "fine 42"]);
  expect((await listRecords(source)).map(({ label }) => label)).toEqual([1, 0]);
});

test.each([
  ["cifar10", 5],
  ["cifar100", 0],
] as const)("%s: planes come out interleaved", async (kind, seed) => {
  const files = { "data_batch_1.bin": batch([1, 1], 4), "train.bin": fineBatch([1, 1]) };
  const { pixels, ...shape } = await readPixels(await openCifar(writeFiles(temporary(), files), kind), 1);
  expect(shape).toEqual({ height: 32, width: 32, channels: 3 });
  const expected = Array.from({ length: PLANE }, (_, i) => [seed + i, seed - (PLANE + i), 7]).flat();
  expect(pixels).toEqual(Uint8Array.from(expected));
});

describe("bad input", () => {
  test.each([
    ["cut off", { "data_batch_1.bin": batch([1, 2]).subarray(0, 3073 + 3000) }, "6073 bytes, 3000 after"],
    ["empty", { "data_batch_1.bin": batch([1]), "data_batch_2.bin": "" }, "data_batch_2.bin"],
    ["a label out of range", { "data_batch_1.bin": batch([1, 10]) }, "label of record 1 is out of range"],
    ["no training file", { "test_batch.bin": batch([1]) }, "got test_batch.bin"],
    ["an empty folder", {}, "no .bin file"],
    ["too few names", { "data_batch_1.bin": batch([1]), "batches.meta.txt": "a\nb\n" }, "2 lines with 2 names"],
    [
      "names alike",
      { "data_batch_1.bin": batch([1]), "batches.meta.txt": "a\nb\n".repeat(5) },
      "10 lines with 2 names",
    ],
  ])("%s", async (_, files, part) => {
    expect(await badInputOf(openCifar(writeFiles(temporary(), files), "cifar10"))).toContain(part);
  });

  test("a missing path, and the other kind of file", async () => {
    expect(await badInputOf(openCifar(temporary(), "cifar10"))).toContain("cannot be opened");
    const path = writeFiles(temporary(), { "train.bin": fineBatch([1]) });
    expect(await badInputOf(openCifar(join(path, "train.bin"), "cifar10"))).toContain("3074 bytes");
    const label = writeFiles(temporary(), { "train.bin": fineBatch([1, 100]) });
    expect(await badInputOf(openCifar(label, "cifar100"))).toContain("expected 0 … 99, got 100");
  });

  test.each([
    ["grown", (path: string) => appendFileSync(path, batch([1]))],
    ["cut", (path: string) => writeFileSync(path, batch([1]))],
    ["written to", (path: string) => utimesSync(path, 1, 1)],
    ["replaced", (path: string) => renameSync(path.replace("_1", "_2"), path)],
    ["gone", (path: string) => rmSync(path)],
  ])("a file %s since it was opened fails when read", async (_, change) => {
    const root = writeFiles(temporary(), { "data_batch_1.bin": batch([1, 2]), "data_batch_2.bin": batch([1, 2]) });
    const records = await listRecords(await openCifar(root, "cifar10"));
    await records[1]?.read();
    change(join(root, "data_batch_1.bin"));
    expect(await badInputOf(records[1]?.read())).toContain("data_batch_1.bin");
  });
});

test("any bytes are records or bad input", async () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(fc.array(fc.nat(11), { maxLength: 3 }), fc.nat(3)).map(([labels, cut]) => batch(labels).subarray(cut)),
  );
  const path = join(writeFiles(temporary(), {}), "data_batch_1.bin");
  const outcomes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(content, async (bytes) => {
      writeFileSync(path, bytes);
      const whole = bytes.length > 0 && bytes.length % 3073 === 0;
      const inRange = Array.from({ length: bytes.length / 3073 }, (_, i) => bytes[i * 3073] ?? 0).every((b) => b < 10);
      const outcome = await readAll(() => openCifar(path, "cifar10"));
      outcomes.add(outcome);
      expect(outcome).toBe(whole && inRange ? "opened" : "refused");
    }),
    { numRuns: 60 },
  );
  expect([...outcomes].sort()).toEqual(["opened", "refused"]);
});
