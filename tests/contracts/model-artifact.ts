/** What loading a published model of either kind owes a folder that was changed: `testChangedFolder`. Knows no tokens and no latents. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tinyImages } from "../stage1-tokenizer/tiny-artifact.ts";

export interface Editable {
  fingerprint: string;
  files: Record<string, { sha256: string; bytes: number }>;
  config: Record<string, unknown>;
}

/** Changes the manifest of a published model and leaves its graphs. */
export function editManifest(directory: string, change: (manifest: Editable) => unknown): string {
  const path = join(directory, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Editable;
  change(manifest);
  writeFileSync(path, JSON.stringify(manifest));
  return directory;
}

/** A model as far as its kinds are alike. */
export interface ModelUnderTest<Code> {
  encode(images: Uint8Array): Promise<Code>;
  decode(code: Code): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

export function testChangedFolder<Code>(kind: {
  /** A fresh, intact folder each time, of 8×8 images. */
  readonly publish: () => Promise<string>;
  readonly load: (directory: string) => Promise<ModelUnderTest<Code>>;
}): void {
  const { publish, load } = kind;

  describe("a folder whose files were changed", () => {
    test("one byte anywhere in the encoder is found when it is loaded (4)", async () => {
      const directory = await publish();
      const path = join(directory, "encoder.onnx");
      const bytes = readFileSync(path);
      for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 1;
        writeFileSync(path, changed);
        await expect(load(directory)).rejects.toMatchObject({ exitCode: 4 });
      }
    });

    test("one byte of the decoder is found when it is needed (4), and the model can still be disposed of", async () => {
      const directory = await publish();
      const path = join(directory, "decoder.onnx");
      const bytes = readFileSync(path);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      const model = await load(directory);
      const decoded = model.decode(await model.encode(tinyImages(1)));
      await expect(decoded).rejects.toMatchObject({ exitCode: 4, message: expect.stringContaining(path) as string });
      await model.dispose();
    });

    test("encoding needs no decoder; decoding without one is bad input (3)", async () => {
      const directory = await publish();
      rmSync(join(directory, "decoder.onnx"));
      const model = await load(directory);
      const code = await model.encode(tinyImages(1));
      await expect(model.decode(code)).rejects.toMatchObject({ exitCode: 3 });
      await model.dispose();
    });

    test("another fingerprint than the encoder's is refused with both (4)", async () => {
      let own = "";
      const directory = editManifest(await publish(), (manifest) => {
        own = manifest.fingerprint;
        manifest.fingerprint = "0".repeat(64);
      });
      await expect(load(directory)).rejects.toMatchObject({
        exitCode: 4,
        message: expect.stringMatching(new RegExp(`expected ${own}, got 0{64}`)) as string,
      });
    });

    test("a configuration that lacks a field is bad input (3) that names it", async () => {
      const directory = editManifest(await publish(), (manifest) => delete manifest.config["hidden"]);
      await expect(load(directory)).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining("hidden") as string }); // prettier-ignore
    });
  });
}
