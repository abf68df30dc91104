/** The sources as plain Node runs them: transpiled file by file into a temporary folder, without type checking. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));

const compilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
};

/** @returns the folder, with `pipelines/cli.js` and the like in it; the caller removes it. */
export function transpileRooms(rooms: readonly string[]): string {
  const build = mkdtempSync(join(tmpdir(), "tessera-cli-"));
  copyFileSync(join(root, "package.json"), join(build, "package.json"));
  symlinkSync(join(root, "node_modules"), join(build, "node_modules"));
  for (const room of rooms) {
    for (const file of readdirSync(join(root, room), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts")) continue;
      const { outputText } = ts.transpileModule(readFileSync(join(root, room, file), "utf8"), { compilerOptions });
      const target = join(build, room, file.replace(/\.ts$/, ".js"));
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, outputText);
    }
  }
  return build;
}
