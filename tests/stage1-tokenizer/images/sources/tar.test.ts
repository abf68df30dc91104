import { execFileSync } from "node:child_process";
import { mkdir, open, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TesseraError } from "../../../../shared/errors.ts";
import { listTarMembers, readTarMember, type TarMember } from "../../../../stage1-tokenizer/images/sources/tar.ts";
import { useTemporaryDirectory } from "../../../shared/temporary-directory.ts";
import { BAD_INPUT } from "../fixtures.ts";
import { archive, file, header, longName, member, pax, seal } from "./tar-writer.ts";

const temporary = useTemporaryDirectory();

interface Listed extends TarMember {
  readonly text: string;
}

/** Members with their data, out of bytes written to a file. */
async function list(bytes: Uint8Array): Promise<Listed[]> {
  const path = `${temporary()}.tar`;
  await writeFile(path, bytes);
  return listFile(path);
}

async function listFile(path: string): Promise<Listed[]> {
  const handle = await open(path);
  try {
    const listed: Listed[] = [];
    for await (const found of listTarMembers(handle, path)) {
      listed.push({ ...found, text: Buffer.from(await readTarMember(handle, found, path)).toString() });
    }
    return listed;
  } finally {
    await handle.close();
  }
}

const summary = (members: readonly Listed[]) => members.map(({ name, kind, text }) => [name, kind, text]);
const refusal = (bytes: Uint8Array): Promise<unknown> => list(bytes).catch((error: unknown) => error);
const LONG = `${"ordner/".repeat(12)}${"ä".repeat(30)}/bild.png`;

describe("members", () => {
  test("have a name, a kind, and the byte range of their data", async () => {
    const bytes = archive(
      member({ name: "a/", type: "5" }),
      member({ name: "./a/one.txt", data: "eins" }),
      member({ name: "empty" }),
      member({ name: "a//exact", data: "x".repeat(512) }),
      member({ name: "old/", magic: "v7", type: "\0" }),
      member({ name: "old/file", magic: "v7", type: "\0", data: "v7" }),
    );
    const members = await list(bytes);
    expect(summary(members)).toEqual([
      ["a", "folder", ""],
      ["a/one.txt", "file", "eins"],
      ["empty", "file", ""],
      ["a/exact", "file", "x".repeat(512)],
      ["old", "folder", ""],
      ["old/file", "file", "v7"],
    ]);
    for (const { header: at, start, size, text } of members) {
      expect(start).toBe(at + 512);
      expect(bytes.subarray(start, start + size).toString()).toBe(text);
    }
  });

  test("that are links say where to and have no data, whatever their size says; devices have none either", async () => {
    const members = await list(
      archive(
        member({ name: "soft", type: "2", link: "/etc/passwd", size: 4096 }),
        member({ name: "hard", type: "1", link: "a" }),
        member({ name: "null", type: "3", size: 512 }),
        member({ name: "after", data: "x" }),
      ),
    );
    expect(members.map(({ name, kind, linkTarget, size }) => [name, kind, linkTarget, size])).toEqual([
      ["soft", "link", "/etc/passwd", 0],
      ["hard", "link", "a", 0],
      ["null", "other", undefined, 0],
      ["after", "file", undefined, 1],
    ]);
  });

  test("of unknown types are skipped with their data", async () => {
    const members = await list(
      archive(member({ name: "v", type: "V", data: "label" }), member({ name: "a", data: "x" })),
    );
    expect(summary(members)).toEqual([
      ["v", "other", "label"],
      ["a", "file", "x"],
    ]);
  });
});

describe("long names", () => {
  test("come from the POSIX prefix, not from what GNU keeps in its place", async () => {
    const name = `${"p".repeat(120)}/${"n".repeat(90)}`;
    const gnu = header({ name: "short", magic: "gnu" });
    gnu.write("12345670123\0", 345);
    const members = await list(archive(member({ name, data: "x" }), seal(gnu)));
    expect(members.map((found) => found.name)).toEqual([name, "short"]);
  });

  test("come from GNU's long name and long link", async () => {
    const [one, ...rest] = await list(
      archive(
        longName(LONG),
        longName(`${LONG}.target`, "K"),
        member({ name: "cut", type: "2", magic: "gnu" }),
        member({ name: "next", data: "x" }),
      ),
    );
    expect(one).toMatchObject({ name: LONG, kind: "link", linkTarget: `${LONG}.target` });
    expect(summary(rest)).toEqual([["next", "file", "x"]]);
  });

  test("come from pax records, which count for the next member only", async () => {
    const members = await list(
      archive(
        pax({ mtime: "1.5", path: LONG, linkpath: "elsewhere" }),
        member({ name: "cut", type: "2", link: "no" }),
        member({ name: "next", data: "x" }),
      ),
    );
    expect(members[0]).toMatchObject({ name: LONG, linkTarget: "elsewhere" });
    expect(members[1]?.name).toBe("next");
  });

  test("a global record counts until it is replaced; an empty one withdraws it", async () => {
    const members = await list(
      archive(
        pax({ linkpath: "global" }, "g"),
        member({ name: "a", type: "2", link: "own" }),
        pax({ linkpath: "" }),
        member({ name: "b", type: "2", link: "own" }),
        pax({ linkpath: "other" }, "g"),
        member({ name: "c", type: "2", link: "own" }),
      ),
    );
    expect(members.map(({ linkTarget }) => linkTarget)).toEqual(["global", "own", "other"]);
  });

  test("that are no UTF-8 are read as Latin-1 and stay different", async () => {
    const block = header({ name: "b_d" });
    block[1] = 0xe4;
    expect((await list(archive(seal(block))))[0]?.name).toBe("bäd");
  });
});

test("a checksum may be the sum of signed bytes, as some writers made it", async () => {
  const block = header({ name: "b\u00e4d" });
  const sum = block.fill(" ", 148, 156).reduce((total, byte) => total + (byte > 127 ? byte - 256 : byte), 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  expect((await list(archive(block)))[0]?.name).toBe("b\u00e4d");
});

describe("sizes", () => {
  test("may be binary, or given by a pax record", async () => {
    const data = "y".repeat(700);
    const members = await list(
      archive(
        member({ name: "binary", data, binarySize: true }),
        pax({ size: "700" }),
        member({ name: "pax", data, size: 3 }),
        member({ name: "after", data: "x" }),
      ),
    );
    expect(members.map(({ name, size }) => [name, size])).toEqual([
      ["binary", 700],
      ["pax", 700],
      ["after", 1],
    ]);
  });

  test("beyond 8 GiB are found in a file with holes, without reading it", async () => {
    const size = 9 * 2 ** 30;
    const path = `${temporary()}.tar`;
    const handle = await open(path, "w");
    await handle.write(header({ name: "large", size, binarySize: true }), 0, 512, 0);
    await handle.write(archive(member({ name: "after", data: "x" })), 0, 2048, 512 + size);
    await handle.close();
    const reading = await open(path);
    const found: [string, number][] = [];
    for await (const { name, start } of listTarMembers(reading, path)) found.push([name, start]);
    await reading.close();
    expect(found).toEqual([
      ["large", 512],
      ["after", 512 + size + 512],
    ]);
  });
});

const one = file("a.txt", "eins");
const flipped = Buffer.from(one);
flipped[3] = (flipped[3] ?? 0) ^ 1;
const badSize = header({ name: "a" });
badSize.write("12a45670123", 124);
const negative = header({ name: "a" });
negative.fill(0xff, 124, 136);
const enormous = header({ name: "a" });
enormous.fill(0xff, 125, 136);
enormous[124] = 0x80;

describe("refused, with the archive and the byte:", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /byte 0: archive is cut off/],
    ["a header that is cut", archive(one).subarray(0, 1024 + 100), /byte 1024: archive is cut off/],
    ["no end", one, /byte 1024: archive is cut off/],
    ["data that runs past the end", archive(one).subarray(0, 514), /byte 0: archive is cut off.*a\.txt of 4 bytes/],
    ["a size that lies upwards", archive(member({ name: "a", data: "x", size: 9999 })), /byte 0: archive is cut off/],
    [
      "a size that lies downwards",
      archive(member({ name: "a", data: "x".repeat(999), size: 9 })),
      /byte 1024: tar header/,
    ],
    [
      "a binary size past the end",
      archive(header({ name: "a", size: 2 ** 40, binarySize: true })),
      /cut off.*1099511627776/,
    ],
    ["a pax size past the end", archive(pax({ size: "99999" }), one), /byte 1024: archive is cut off.*99999/],
    ["a wrong checksum", archive(one, flipped), /byte 1024: tar header is damaged/],
    ["text", Buffer.from("not a tar archive\n".repeat(60)), /byte 0: tar header is damaged, or there is none/],
    ["a size that is no number", archive(seal(badSize)), /byte 0: size of a member is malformed/],
    ["a negative size", archive(seal(negative)), /size of a member is malformed/],
    ["a size that no number holds", archive(seal(enormous)), /size of a member is malformed/],
    ["a pax size that is no number", archive(pax({ size: "1e3" }), one), /size of a member is malformed.*1e3/],
    [
      "a pax header of 2 MiB",
      archive(pax({ comment: "x".repeat(2 ** 21) }), one),
      /byte 0: extended header is unreason/,
    ],
    [
      "a GNU name of 2 MiB",
      archive(longName("x".repeat(2 ** 21)), one),
      /byte 0: extended header is unreasonably long/,
    ],
    ["a pax header that lies", archive(member({ name: "p", type: "x", size: 2 ** 19 }), one), /cut off/],
    [
      "a pax record without length",
      archive(member({ name: "p", type: "x", data: "path=a\n" }), one),
      /byte 0: pax header/,
    ],
    ["a pax record too long", archive(member({ name: "p", type: "x", data: "99 path=a\n" }), one), /malformed record/],
    [
      "a pax record of no bytes",
      archive(member({ name: "p", type: "x", data: "0 path=a\n" }), one),
      /malformed record/,
    ],
    ["a pax record without =", archive(member({ name: "p", type: "x", data: "8 patha\n" }), one), /malformed record/],
    ["a pax header before nothing", archive(one, pax({ path: "b" })), /byte 2048: archive is cut off.*announces/],
    ["a sparse member of GNU", archive(member({ name: "a", type: "S", magic: "gnu" })), /a is stored sparse/],
    ["a sparse member of pax", archive(pax({ "GNU.sparse.major": "1" }), one), /a\.txt is stored sparse/],
    ["two archives in one file", Buffer.concat([archive(one), archive(one)]), /byte 1024: more follows the end/],
    ["gzip", gzipSync(archive(one)), /is compressed with gzip.*Unpack it first/],
    ["gzip of next to nothing", gzipSync(""), /is compressed with gzip/],
    ["zip", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(600)]), /is compressed with zip/],
    ["zstd", Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd), Buffer.alloc(600)]), /is compressed with zstd/],
    ["an absolute name", archive(file("/etc/passwd", "x")), /byte 0: member's name "\/etc\/passwd" leads out/],
    ["a name that climbs", archive(file("a/../../b", "x")), /byte 0: member's name "a\/\.\.\/\.\.\/b" leads out/],
    ["a folder that climbs", archive(member({ name: "../", type: "5" })), /leads out/],
    ["a pax name that climbs", archive(pax({ path: "../b" }), one), /leads out/],
    ["a pax name with a NUL", archive(pax({ path: "a\0b" }), one), /leads out/],
    ["a GNU name that climbs", archive(longName(`${LONG}/../../x`), one), /leads out/],
  ])("%s", async (_name, bytes, sentence) => {
    const error = await refusal(bytes);
    expect(error).toMatchObject(BAD_INPUT);
    expect(String(error)).toMatch(sentence);
    expect(String(error)).toContain(".tar");
    expect(String(error).length).toBeLessThan(600);
  });
});

test("an archive may end in one block of zeros or in many, and hold nothing", async () => {
  expect(await list(Buffer.concat([one, Buffer.alloc(512)]))).toHaveLength(1);
  expect(await list(Buffer.concat([one, Buffer.alloc(20 * 512)]))).toHaveLength(1);
  expect(await list(archive())).toEqual([]);
});

test("what is written comes back, whatever its names and sizes", async () => {
  const part = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
    .map((word) => word.replaceAll(/[/\0]/g, "_"))
    .filter((word) => word !== "." && word !== "..");
  const entry = fc.record({
    parts: fc.array(part, { minLength: 1, maxLength: 8 }),
    data: fc.uint8Array({ maxLength: 2000 }),
    style: fc.constantFrom("pax", "gnu"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async (entries) => {
      const members = entries.flatMap(({ parts, data, style }) => {
        const name = parts.join("/");
        return style === "pax" ? [file(name, data)] : [longName(name), member({ name: "cut", data, magic: "gnu" })];
      });
      const bytes = archive(...members);
      const listed = await list(bytes);
      expect(listed.map(({ name }) => name)).toEqual(entries.map(({ parts }) => parts.join("/")));
      for (const [i, { start, size }] of listed.entries()) {
        expect(bytes.subarray(start, start + size)).toEqual(Buffer.from(entries[i]?.data ?? []));
      }
    }),
    { numRuns: 60 },
  );
});

test("bytes changed or cut anywhere give members or bad input, nothing else", async () => {
  const bytes = archive(
    pax({ comment: "global" }, "g"),
    pax({ path: LONG, size: "700" }),
    member({ name: "cut", data: "y".repeat(700), size: 1 }),
    longName(LONG),
    member({ name: "cut", data: "z", magic: "gnu", binarySize: true }),
    member({ name: "soft", type: "2", link: "a" }),
    one,
  );
  const damage = fc.array(fc.record({ at: fc.nat(bytes.length - 1), value: fc.nat(255) }), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(damage, fc.nat(bytes.length), fc.boolean(), async (changes, length, reseal) => {
      const damaged = Buffer.from(bytes);
      for (const { at, value } of changes) {
        damaged[at] = value;
        // Without a checksum that fits, nothing but the checksum would be tried.
        if (reseal) seal(damaged.subarray(at - (at % 512), at - (at % 512) + 512));
      }
      const outcome = await list(changes.length > 0 ? damaged : damaged.subarray(0, length)).catch(
        (error: unknown) => error,
      );
      if (Array.isArray(outcome)) return;
      expect(outcome).toBeInstanceOf(TesseraError);
      expect(outcome).toMatchObject(BAD_INPUT);
    }),
    { numRuns: 400 },
  );
});

function systemTar(): boolean {
  try {
    return execFileSync("tar", ["--version"]).toString().includes("GNU tar");
  } catch {
    return false;
  }
}

// Reason to skip: another tar (or none) has other formats and options.
describe.skipIf(!systemTar())("the system's tar", () => {
  const names = {
    short: "a/b.png",
    long: LONG,
    longest: `${"ß/".repeat(40)}${"é".repeat(110)}/${"漢".repeat(70)}.png`,
  };
  test.each([
    ["ustar", [names.short, LONG]],
    ["gnu", Object.values(names)],
    ["pax", Object.values(names)],
    ["v7", [names.short]],
  ])("--format=%s is read", async (format, used) => {
    const root = temporary(format);
    for (const name of used) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), `data of ${name}`);
    }
    await symlink("a/b.png", join(root, "link"));
    const path = `${root}.tar`;
    execFileSync("tar", [`--format=${format}`, "--sort=name", "-cf", path, "-C", root, "."]);
    const members = await listFile(path);
    expect(
      Object.fromEntries(members.filter(({ kind }) => kind === "file").map(({ name, text }) => [name, text])),
    ).toEqual(Object.fromEntries(used.map((name) => [name, `data of ${name}`])));
    expect(members.filter(({ kind }) => kind === "link").map(({ linkTarget }) => linkTarget)).toEqual(["a/b.png"]);
  });
});
