/** A directory for one test file, removed at its end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll } from "vitest";

/** Returns a function that names fresh paths inside the directory. */
export function useTemporaryDirectory(): (name?: string) => string {
  const directory = mkdtempSync(join(tmpdir(), "tessera-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  let serial = 0;
  return (name = "case") => join(directory, `${name}-${serial++}`);
}
