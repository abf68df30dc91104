/** Versions as the installed package.json files state them, read without importing the packages. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Our own; package.json stands above this file by one folder in the sources and by two when built. */
export function ownVersion(): string {
  const places = ["../package.json", "../../package.json"].map((above) => new URL(above, import.meta.url));
  return places.map(readVersion).find((version) => version !== undefined) ?? "unknown";
}

/** Of a dependency, found as Node would find it; undefined where it is not installed. */
export function installedVersion(name: string): string | undefined {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  return folders
    .map((folder) => readVersion(join(folder, name, "package.json")))
    .find((version) => version !== undefined);
}

function readVersion(file: string | URL): string | undefined {
  if (!existsSync(file)) return undefined;
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version?: unknown };
  return typeof version === "string" ? version : undefined;
}
