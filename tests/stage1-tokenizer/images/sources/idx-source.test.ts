import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { listRecords, openIdx } from "../../../../stage1-tokenizer/images/index.ts";
import { testImageSource } from "../../../contracts/image-source.ts";
import { useTemporaryDirectory } from "../../../shared/temporary-directory.ts";
import { badInputOf, damage, readAll, readPixels, writeFiles } from "./binary-fixtures.ts";
import { idx } from "./raw-fixtures.ts";

const temporary = useTemporaryDirectory();

/** Pixel i of all images is i. */
const images = (count: number, height = 3, width = 2): Uint8Array =>
  idx([count, height, width], Array(count * height * width).keys());
const labels = (...values: number[]): Uint8Array => idx([values.length], values);

const SET = {
  "train-images-idx3-ubyte": images(4),
  "train-labels-idx1-ubyte": labels(7, 2, 7, 5),
};

testImageSource({ name: "idx", count: 4, create: () => openIdx(writeFiles(temporary(), SET)) });
testImageSource({
  name: "idx in gzip, without labels",
  count: 9,
  create: () => openIdx(writeFiles(temporary(), { "images-idx3-ubyte.gz": gzipSync(images(9)) })),
});

test.each([
  ["plain", "train-images-idx3-ubyte", "train-labels-idx1-ubyte", (bytes: Uint8Array) => bytes],
  ["in gzip", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", gzipSync],
  ["with dots", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte", (bytes: Uint8Array) => bytes],
  ["in gzip, but named plain", "ünïcode-images-idx3-ubyte", "ünïcode-labels-idx1-ubyte", gzipSync],
  ["named differently", "digits.idx3-ubyte", "digits.idx1-ubyte", gzipSync],
])("%s: pixels, labels that occur, keys", async (_, imagesName, labelsName, pack) => {
  const files = { [imagesName]: pack(images(4)), [labelsName]: pack(labels(7, 2, 7, 5)) };
  const source = await openIdx(join(writeFiles(temporary(), files), imagesName));
  expect(source.classes).toEqual(["2", "5", "7"]);
  expect((await listRecords(source)).map(({ key, label }) => [key, label])).toEqual([
    ["00000", 2],
    ["00001", 0],
    ["00002", 2],
    ["00003", 1],
  ]);
  const pixels = Uint8Array.of(12, 13, 14, 15, 16, 17);
  expect(await readPixels(source, 2)).toEqual({ pixels, height: 3, width: 2, channels: 1 });
});

test("labels in gzip serve plain images, and the other way round", async () => {
  for (const [imagesName, labelsName] of [
    ["a-images-idx3-ubyte", "a-labels-idx1-ubyte.gz"],
    ["a-images-idx3-ubyte.gz", "a-labels-idx1-ubyte"],
  ] as const) {
    const folder = writeFiles(temporary(), { [imagesName]: images(1), [labelsName]: labels(3) });
    expect((await openIdx(folder)).classes).toEqual(["3"]);
  }
});

test("in a folder the training set goes first; plain files go before packed ones; of other sets one must be named", async () => {
  const test = { "t10k-images-idx3-ubyte": images(2), "t10k-labels-idx1-ubyte": labels(0, 1) };
  const both = writeFiles(temporary(), { ...SET, ...test, "train-images-idx3-ubyte.gz": "broken" });
  expect(await listRecords(await openIdx(both))).toHaveLength(4);
  expect(await listRecords(await openIdx(join(both, "t10k-images-idx3-ubyte")))).toHaveLength(2);
  const neither = writeFiles(temporary(), { ...test, "dev-images-idx3-ubyte": images(1) });
  expect(await badInputOf(openIdx(neither))).toContain("dev-images-idx3-ubyte, t10k-images-idx3-ubyte");
});

describe("bad input", () => {
  test.each<[string, Uint8Array, string]>([
    [
      "another magic",
      idx([4, 3, 2], Array(24).keys(), 0x0d),
      "no unsigned bytes (expected 00 00 08 03, got 00 00 0d 03)",
    ],
    ["labels for images", labels(1, 2, 3), "it has 1 dimensions instead of 3"],
    ["images in colour", idx([1, 2, 2, 3], Array(12).keys()), "it has 4 dimensions instead of 3"],
    ["no IDX file", Buffer.from("\u0089PNG and so on"), "it is no IDX file"],
    ["an empty file", Buffer.of(), "got nothing"],
    ["half a header", images(4).subarray(0, 11), "expected 16 bytes, got 11"],
    ["nothing but a header", images(4).subarray(0, 16), "expected 40 bytes, got 16"],
    ["a count too high", idx([5, 3, 2], Array(24).keys()), "expected 46 bytes, got 40"],
    ["a count too low", idx([3, 3, 2], Array(24).keys()), "expected 34 bytes, got 40"],
    ["no image", idx([0, 3, 2], []), "impossible dimensions"],
    ["no pixel", idx([4, 0, 2], []), "got 4×0×2"],
    ["a huge side", idx([1, 1, 8193], Array(8193).keys()), "got 1×1×8193"],
    ["dimensions beyond 2⁵³", idx([0xffffffff, 8192, 8192], [1]), "got 17"],
  ])("%s, plain and in gzip", async (_, bytes, part) => {
    expect(await badInputOf(openIdx(join(writeFiles(temporary(), { a: bytes }), "a")))).toContain(part);
    const message = await badInputOf(openIdx(join(writeFiles(temporary(), { b: gzipSync(bytes) }), "b")));
    const same = part.startsWith("got 17")
      ? "too many to unpack"
      : part.replace(/34 bytes, got 40$/, "34 bytes, got 40 or more");
    expect(message).toContain(same);
  });

  test("a promise that no gzip file of this size can keep is refused before memory is taken for it", async () => {
    const bytes = gzipSync(idx([1, 8192, 8192], [1, 2, 3]));
    const path = join(writeFiles(temporary(), { a: bytes }), "a");
    expect(await badInputOf(openIdx(path))).toContain(`a gzip file of ${bytes.length} bytes`);
  });

  test("a gzip file that goes on far beyond its header is left at once", async () => {
    const bomb = gzipSync(Buffer.concat([images(4), Buffer.alloc(2 ** 24)]));
    expect(bomb.length).toBeLessThan(2 ** 15);
    const message = await badInputOf(openIdx(join(writeFiles(temporary(), { a: bomb }), "a")));
    const seen = Number(/got (\d+) or more/.exec(message)?.[1]);
    expect(seen).toBeGreaterThan(40);
    expect(seen).toBeLessThan(2 ** 18);
  });

  test("a gzip file cut off, or damaged", async () => {
    const whole = gzipSync(
      idx(
        [1, 60, 60],
        Array.from({ length: 3600 }, (_, i) => (i * i) % 251),
      ),
    );
    const wrong = Uint8Array.from(whole);
    wrong[wrong.length - 6] = (wrong[wrong.length - 6] ?? 0) ^ 1; // in the check sum
    for (const bytes of [whole.subarray(0, 9), whole.subarray(0, whole.length - 20), wrong]) {
      const message = await badInputOf(openIdx(join(writeFiles(temporary(), { a: bytes }), "a")));
      expect(message).toMatch(/cannot be unpacked|got nothing/);
    }
  });

  test("labels that do not fit their images", async () => {
    const open = (bytes: Uint8Array) => openIdx(writeFiles(temporary(), { ...SET, "train-labels-idx1-ubyte": bytes }));
    expect(await badInputOf(open(labels(1, 2, 3)))).toContain("not as many IDX labels as images (expected 4, got 3)");
    expect(await badInputOf(open(labels(1, 2, 3, 4).subarray(0, 11)))).toContain("expected 12 bytes, got 11");
    expect(await badInputOf(open(images(4)))).toContain("it has 3 dimensions instead of 1");
    expect(await badInputOf(open(gzipSync(labels(1, 2, 3, 4, 5))))).toContain("expected 4, got 5");
  });

  test("a missing path, and a folder without images", async () => {
    expect(await badInputOf(openIdx(temporary()))).toContain("cannot be opened");
    expect(await badInputOf(openIdx(writeFiles(temporary(), { "notes.txt": "" })))).toContain("no IDX images");
  });

  test("a plain file that changed fails when read; of a packed one the images were taken when it was opened", async () => {
    const folder = writeFiles(temporary(), {
      "a-images-idx3-ubyte": images(2),
      "b-images-idx3-ubyte": gzipSync(images(2)),
    });
    const plain = await listRecords(await openIdx(join(folder, "a-images-idx3-ubyte")));
    const packed = await listRecords(await openIdx(join(folder, "b-images-idx3-ubyte")));
    appendFileSync(join(folder, "a-images-idx3-ubyte"), "x");
    rmSync(join(folder, "b-images-idx3-ubyte"));
    expect(await badInputOf(plain[0]?.read())).toContain("changed while it was in use");
    expect(await packed[0]?.read()).toMatchObject({ pixels: Uint8Array.of(0, 1, 2, 3, 4, 5) });
  });
});

test("damaged bytes are records or bad input", async () => {
  const path = join(writeFiles(temporary(), {}), "a-images-idx3-ubyte");
  const labelsPath = path.replace("images-idx3", "labels-idx1");
  const damages = fc.record({
    flips: fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 255 })), { maxLength: 2 }),
    keep: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  });
  const outcomes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(damages, damages, fc.boolean(), async (toImages, toLabels, packed) => {
      const pack = packed ? gzipSync : (bytes: Uint8Array) => bytes;
      writeFileSync(path, damage(pack(images(4)), toImages));
      writeFileSync(labelsPath, damage(pack(labels(1, 2, 3, 4)), toLabels));
      outcomes.add(await readAll(() => openIdx(path)));
    }),
    { numRuns: 150 },
  );
  expect([...outcomes].sort()).toEqual(["opened", "refused"]);
});
