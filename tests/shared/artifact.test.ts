import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { createProvenance, openArtifact, publishArtifact, type PublishArtifact } from "../../shared/artifact.ts";
import { canonicalJson, fingerprintTokenizer, sha256Hex, type JsonValue } from "../../shared/fingerprint.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";

const fresh = useTemporaryDirectory();

async function publish(more: Partial<PublishArtifact> = {}): Promise<string> {
  const directory = join(fresh(), "name");
  const files = { "encoder.onnx": new Uint8Array([1, 2, 3]), "config.json": '{"a":1}' };
  await publishArtifact({ directory, kind: "tokenizer", files, config: { a: 1 }, ...more });
  return directory;
}

function editManifest(directory: string, edit: (manifest: Record<string, unknown>) => void): void {
  const path = join(directory, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  edit(manifest);
  writeFileSync(path, JSON.stringify(manifest));
}

describe("an artefact", () => {
  test("gives back what was published, with digests, sizes and provenance", async () => {
    const provenance = createProvenance({ seed: 7, command: "tessera train", from: { data: "emoji" } });
    const fingerprint = "a".repeat(64);
    const directory = await publish({ fingerprint, preprocessing: { size: 64 }, provenance });
    const artifact = await openArtifact(directory, { kind: "tokenizer" });
    expect(artifact.manifest).toMatchObject({ name: "name", fingerprint, preprocessing: { size: 64 }, provenance });
    expect(artifact.manifest.files["encoder.onnx"]).toEqual({ sha256: sha256Hex(new Uint8Array([1, 2, 3])), bytes: 3 });
    expect([...(await artifact.read("encoder.onnx"))]).toEqual([1, 2, 3]);
    await artifact.verify();
    expect(readdirSync(dirname(directory))).toEqual(["name"]);
    expect(provenance.tesseraVersion).toMatch(/^\d+\.\d+\.\d+/);
  });

  test("does not replace an existing folder unless asked, and then as a whole", async () => {
    const directory = await publish();
    const again = { directory, kind: "tokenizer", files: { "new.txt": "x" }, config: {} } as const;
    await expect(publishArtifact(again)).rejects.toMatchObject({ exitCode: 2 });
    expect(readdirSync(directory).sort()).toEqual(["config.json", "encoder.onnx", "manifest.json"]);
    await publishArtifact({ ...again, overwrite: true });
    expect(readdirSync(directory).sort()).toEqual(["manifest.json", "new.txt"]);
    expect(readdirSync(dirname(directory))).toEqual(["name"]);
    await (await openArtifact(directory)).verify();
  });

  test("an empty folder in the way is refused too, and a file as parent", async () => {
    const directory = fresh();
    mkdirSync(directory);
    const artifact = { kind: "prior", files: {}, config: {} } as const;
    await expect(publishArtifact({ ...artifact, directory })).rejects.toMatchObject({ exitCode: 2 });
    const file = fresh();
    writeFileSync(file, "");
    await expect(publishArtifact({ ...artifact, directory: join(file, "x", "y") })).rejects.toMatchObject({
      exitCode: 2,
    });
  });

  test("a changed file is refused, naming it and both digests", async () => {
    const directory = await publish();
    writeFileSync(join(directory, "encoder.onnx"), new Uint8Array([1, 2, 4]));
    const artifact = await openArtifact(directory);
    const refusal = {
      exitCode: 4,
      message: expect.stringMatching(/encoder\.onnx.*[0-9a-f]{64}.*[0-9a-f]{64}/) as unknown,
    };
    await expect(artifact.read("encoder.onnx")).rejects.toMatchObject(refusal);
    await expect(artifact.verify()).rejects.toMatchObject(refusal);
    await expect(artifact.verify("config.json")).resolves.toBeUndefined();
    truncateSync(join(directory, "config.json"), 2);
    await expect(artifact.read("config.json")).rejects.toMatchObject({ exitCode: 4 });
  });

  test("a manifest whose digest is wrong is refused", async () => {
    const directory = await publish();
    editManifest(directory, (manifest) => {
      manifest["files"] = { "encoder.onnx": { sha256: "0".repeat(64), bytes: 3 } };
    });
    await expect((await openArtifact(directory)).read("encoder.onnx")).rejects.toMatchObject({ exitCode: 4 });
  });

  test.each([
    ["a newer format", { formatVersion: 2 }, 4],
    ["an unknown key", { surprise: 1 }, 3],
    ["an unknown kind", { kind: "painting" }, 3],
    ["a path instead of a file name", { files: { "../secret": { sha256: "0".repeat(64), bytes: 1 } } }, 3],
    ["an absolute path", { files: { "/etc/passwd": { sha256: "0".repeat(64), bytes: 1 } } }, 3],
    ["a folder as name", { files: { "..": { sha256: "0".repeat(64), bytes: 1 } } }, 3],
    ["no files", { files: undefined }, 3],
    ["a short digest", { files: { a: { sha256: "00", bytes: 1 } } }, 3],
  ])("a manifest with %s is refused", async (_what, change, exitCode) => {
    const directory = await publish();
    editManifest(directory, (manifest) => Object.assign(manifest, change));
    await expect(openArtifact(directory)).rejects.toMatchObject({ exitCode });
  });

  test("missing folders, manifests and files, wrong kinds and bad JSON have their exit codes", async () => {
    await expect(openArtifact(fresh())).rejects.toMatchObject({ exitCode: 3 });
    const directory = await publish();
    await expect(openArtifact(directory, { kind: "prior" })).rejects.toMatchObject({ exitCode: 4 });
    const artifact = await openArtifact(directory);
    expect(() => artifact.path("nothing")).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
    expect(() => artifact.path("toString")).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
    rmSync(join(directory, "encoder.onnx"));
    await expect(artifact.read("encoder.onnx")).rejects.toMatchObject({ exitCode: 3 });
    writeFileSync(join(directory, "manifest.json"), "{");
    await expect(openArtifact(directory)).rejects.toMatchObject({ exitCode: 3 });
    rmSync(join(directory, "manifest.json"));
    await expect(openArtifact(directory)).rejects.toMatchObject({ exitCode: 3 });
  });
});

describe("the fingerprint", () => {
  test("depends on every byte and every preprocessing value, not on the order of keys", () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const base = fingerprintTokenizer(bytes, { size: 64, fit: "cover" });
    expect(fingerprintTokenizer(bytes, { fit: "cover", size: 64 })).toBe(base);
    expect(fingerprintTokenizer(bytes, { size: 65, fit: "cover" })).not.toBe(base);
    expect(fingerprintTokenizer(new Uint8Array([1, 2, 4]), { size: 64, fit: "cover" })).not.toBe(base);
    expect(base).toMatch(/^[0-9a-f]{64}$/);
  });

  test("canonical JSON is JSON of the same value", () => {
    const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as JsonValue);
    fc.assert(
      fc.property(json, (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(value);
      }),
    );
    expect(() => canonicalJson({ a: Number.NaN })).toThrow(TypeError);
  });
});
