/** Where artefacts go: `artifacts/<kind>/<name>` under the folder the user works in, unless a path says otherwise. */
import { basename, join, resolve } from "node:path";
import { z } from "zod";

import { option } from "./options.ts";

export const ARTIFACTS = "artifacts";
export type ArtifactFolder = "tokenizer" | "prior" | "tokens" | "runs" | "demo" | "generated";

/** A bare word is a name below `artifacts/<folder>`; anything with a slash is a path. */
export function artifactPath(folder: ArtifactFolder, nameOrPath: string): string {
  return nameOrPath.includes("/") || nameOrPath.includes("\\") || nameOrPath.startsWith(".")
    ? resolve(nameOrPath)
    : resolve(ARTIFACTS, folder, nameOrPath);
}

/** Checkpoints of a run live beside its artefact, under a name of their own. */
export const checkpointPath = (artifact: string): string =>
  join(artifact, "..", `.${basename(artifact)}.checkpoint.safetensors`);

export const outputOptions = (what: string) => ({
  out: option(z.string().min(1), { describe: `Name below artifacts/, or path, of the ${what}`, alias: "o" }),
  overwrite: option(z.boolean().default(false), { describe: "Replace what is there" }),
});
