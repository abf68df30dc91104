/** Where artefacts go: `artifacts/<kind>/<name>` under the folder the user works in, unless a path says otherwise. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";

import { explainDiskError, realDisk } from "../shared/disk.ts";
import { prepareTarget } from "../shared/publish.ts";
import { option } from "./options.ts";

export const ARTIFACTS = "artifacts";
export type ArtifactFolder = "tokenizer" | "prior" | "tokens" | "comparison" | "demo" | "generated" | "evaluation";

/** A bare word is a name below `artifacts/<folder>`; anything with a slash is a path. */
export function artifactPath(folder: ArtifactFolder, nameOrPath: string): string {
  return nameOrPath.includes("/") || nameOrPath.includes("\\") || nameOrPath.startsWith(".")
    ? resolve(nameOrPath)
    : resolve(ARTIFACTS, folder, nameOrPath);
}

/** A run's checkpoints and figures lie beside its artefact. */
export const runDirectory = (artifact: string): string => `${artifact}.run`;

/**
 * Makes the parent of an artefact to be and finds out what would stand in its way, before any work is done for it.
 * @throws usage if it exists and may not be replaced; failure if its parent cannot be made or written to
 */
export async function claimOutput(directory: string, options: { readonly overwrite: boolean }): Promise<void> {
  try {
    await prepareTarget(directory, options);
    await access(dirname(directory), constants.W_OK);
  } catch (error) {
    throw explainDiskError(error, directory);
  }
}

/** A folder for loose files, such as images. @throws failure if it cannot be made or written to. */
export async function makeFolder(directory: string): Promise<void> {
  try {
    await realDisk.makeParents(directory);
    await access(directory, constants.W_OK);
  } catch (error) {
    throw explainDiskError(error, directory);
  }
}

export const outputOptions = (what: string) => ({
  out: option(z.string().min(1), { describe: `Name below artifacts/, or path, of the ${what}`, alias: "o" }),
  overwrite: option(z.boolean().default(false), { describe: "Replace what is there" }),
});
