/** `tessera inspect`: what an artefact is, from what it came, and whether it is whole. */
import { z } from "zod";

import { openArtifact } from "../../shared/artifact.ts";
import { defineCommand, formatTable } from "../command.ts";
import { option } from "../options.ts";

export const command = defineCommand({
  meta: {
    name: "inspect",
    summary: "Say what an artefact is and from what it came, and verify every digest.",
    examples: [["tessera inspect artifacts/tokenizer/emoji", "a tokenizer; any published folder will do"]],
    positional: "path",
  },
  args: z.strictObject({
    path: option(z.string().min(1), { describe: "Folder of a tokenizer, a prior or a token set" }),
  }),
  async run({ path }) {
    const artifact = await openArtifact(path);
    await artifact.verify();
    const { manifest } = artifact;
    const { kind, name, fingerprint, provenance, files } = manifest;
    const rows = [
      ["kind", kind],
      ["name", name],
      ["fingerprint", fingerprint ?? "none"],
      ["made", `${provenance.createdAt} by tessera ${provenance.tesseraVersion} on Node ${provenance.node}`],
      ...(provenance.engine === undefined ? [] : [["engine", provenance.engine]]),
      ...(provenance.steps === undefined ? [] : [["steps", String(provenance.steps)]]),
      ...(provenance.seed === undefined ? [] : [["seed", String(provenance.seed)]]),
      ...Object.entries(provenance.from ?? {}).map(([key, value]) => [`from ${key}`, JSON.stringify(value)]),
      ...Object.entries(provenance.metrics ?? {}).map(([key, value]) => [key, String(Number(value.toPrecision(6)))]),
      ...Object.entries(asObject(manifest.config)).map(([key, value]) => [`config ${key}`, JSON.stringify(value)]),
      ...Object.entries(files).map(([file, { bytes, sha256 }]) => [
        `file ${file}`,
        `${bytes} bytes, sha256 ${sha256.slice(0, 16)}… verified`,
      ]),
    ];
    return { json: { path, verified: true, ...manifest }, text: formatTable(rows) };
  },
});

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
