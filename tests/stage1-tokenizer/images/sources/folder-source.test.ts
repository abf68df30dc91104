import { mkdir, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listRecords, openFolderSource } from "../../../../stage1-tokenizer/images/index.ts";
import { testImageSource } from "../../../contracts/image-source.ts";
import { BAD_INPUT, plain, withFolder } from "../fixtures.ts";

const png = await plain([200, 30, 60]).png().toBuffer();
const jpeg = await plain([20, 130, 60]).jpeg().toBuffer();
const webp = await plain([20, 30, 160]).webp().toBuffer();
const FILES = {
  "loose.PNG": png,
  "cats/b.jpg": jpeg,
  "cats/a.png": png,
  "cats/deep/er/c.webp": webp,
  "dogs/d.jpeg": jpeg,
  "dogs/notes.txt": "no image",
  "dogs/.hidden.png": png,
  ".git/e.png": png,
  "empty/readme.md": "no image",
};

describe("a folder", () => {
  let folder = "";
  let remove = (): void => undefined;
  let removed: Promise<void>;
  beforeAll(async () => {
    await new Promise<void>((ready) => {
      removed = withFolder(FILES, async (root) => {
        folder = root;
        await new Promise<void>((done) => {
          remove = done;
          ready();
        });
      });
    });
  });
  afterAll(async () => {
    remove();
    await removed;
  });
  testImageSource({ name: "folder", count: 5, create: () => openFolderSource(folder) });
});

test("sub-folders with an image are the classes; root images have no label; hidden and other files are passed over", () =>
  withFolder(FILES, async (root) => {
    const source = await openFolderSource(root);
    expect(source.classes).toEqual(["cats", "dogs"]);
    expect((await listRecords(source)).map(({ key, label }) => [key, label])).toEqual([
      ["cats/a.png", 0],
      ["cats/b.jpg", 0],
      ["cats/deep/er/c.webp", 0],
      ["dogs/d.jpeg", 1],
      ["loose.PNG", undefined],
    ]);
  }));

test("keys are sorted by code point, not by UTF-16 unit", () =>
  withFolder({ "\u{1f600}.png": png, "\uff5e.png": png, "z.png": png }, async (root) => {
    const keys = (await listRecords(await openFolderSource(root))).map(({ key }) => key);
    expect(keys).toEqual(["z.png", "\uff5e.png", "\u{1f600}.png"]);
  }));

test("one class is enough", () =>
  withFolder({ "only/a.png": png, "only/b.png": png }, async (root) => {
    const source = await openFolderSource(root);
    expect(source.classes).toEqual(["only"]);
    expect((await listRecords(source)).map(({ label }) => label)).toEqual([0, 0]);
  }));

test("links count inside the tree, as family of their target; links out of it, to folders and to nothing do not", () =>
  withFolder({ "tree/cats/a.png": png, "outside.png": png }, async (root) => {
    const tree = join(root, "tree");
    await mkdir(join(tree, "dogs"));
    await symlink(join(tree, "cats/a.png"), join(tree, "dogs/inside.png"));
    await symlink(join(root, "outside.png"), join(tree, "dogs/outside.png"));
    await symlink(join(tree, "nothing.png"), join(tree, "dogs/broken.png"));
    await symlink(tree, join(tree, "dogs/loop.png"));
    await symlink(tree, join(tree, "loop"));
    const records = await listRecords(await openFolderSource(tree));
    expect(records.map(({ key, family }) => [key, family])).toEqual([
      ["cats/a.png", "cats/a.png"],
      ["dogs/inside.png", "cats/a.png"],
    ]);
  }));

test("a folder reached through a link, or with a slash at the end, has the same records", () =>
  withFolder({ "real/cats/a.png": png }, async (root) => {
    await symlink(join(root, "real"), join(root, "link"));
    for (const path of ["link", "real/"]) {
      expect((await listRecords(await openFolderSource(join(root, path)))).map(({ key }) => key)).toEqual([
        "cats/a.png",
      ]);
    }
  }));

test("a file that vanished after the listing fails when read", () =>
  withFolder({ "a.png": png, "b.png": png }, async (root) => {
    const records = await listRecords(await openFolderSource(root));
    await rename(join(root, "a.png"), join(root, "c.png"));
    await expect(records[0]?.read()).rejects.toThrow("ENOENT");
  }));

test("a missing folder, a file, and a folder without an image are bad input", () =>
  withFolder({ "a.png": png, "none/readme.md": "no image", "none/.b.png": png }, async (root) => {
    for (const path of ["missing", "a.png", "none"]) {
      const error: unknown = await openFolderSource(join(root, path)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject(BAD_INPUT);
      expect(String(error)).toContain(path);
    }
  }));
