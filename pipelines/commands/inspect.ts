/** `tessera inspect`: what an artefact is, from what it came, and whether it is whole. */
import { z } from "zod";

import { openArtifact, type Manifest } from "../../shared/artifact.ts";
import { describeFinding, diagnose, parseTokenizerConfig, type Finding } from "../../stage1-tokenizer/index.ts";
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
    const health = findingsOf(manifest);
    return {
      json: { path, verified: true, ...manifest, ...(health.length > 0 && { health }) },
      text: formatTable([...rows, ...health.map((finding) => ["health", describeFinding(finding)])]),
    };
  },
});

/** What the collapse doctor says of a model by the figures in its manifest. */
function findingsOf({ kind, name, config, provenance }: Manifest): Finding[] {
  if (kind !== "tokenizer" && kind !== "autoencoder") return [];
  const metrics = provenance.metrics ?? {};
  return diagnose({
    config: parseTokenizerConfig(config, { where: `${name}: config`, code: "bad-input" }),
    figures: metrics,
    training: metrics,
    step: provenance.steps ?? 0,
  });
}

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
