/** The house rules, on the house as it stands; and each rule on made-up sources that break it, so that none can pass by being blind. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import * as rules from "./architecture-rules.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const paths = [...rules.ROOMS, "tests", "artifacts"].flatMap((room) =>
  readdirSync(join(root, room), { recursive: true, encoding: "utf8" }).map(
    (file) => `${room}/${file.replaceAll("\\", "/")}`,
  ),
);
const sources = paths.filter((path) => path.endsWith(".ts") && !path.startsWith("artifacts/"));
const house = rules.readHouse(
  Object.fromEntries(sources.map((path) => [path, readFileSync(join(root, path), "utf8")])),
);

const RULES: Readonly<Record<string, rules.Rule>> = {
  "rooms are entered by their doors": rules.layers,
  "onnxruntime-node has one importer": rules.onnxRuntimeBehindSession,
  "TensorFlow.js stays in shared/engine": rules.tensorFlowBehindEngine,
  "imports are literal": rules.importsAreLiteral,
  "pure parts reach no runtime": rules.pureParts,
  "inference does not load TensorFlow.js": rules.inferenceWithoutTensorFlow,
  "--help loads neither runtime nor command": rules.helpIsLight,
  "no import cycles": rules.noCycles,
  "no default exports": rules.noDefaultExports,
  "relative imports exist": rules.importsExist,
  "names are kebab-case": rules.kebabCase,
};

describe("the house", () => {
  test("was read: the files that must exist are there, with imports", () => {
    expect([...house.keys()]).toEqual(
      expect.arrayContaining(["shared/errors.ts", "shared/tokens.ts", "pipelines/main.ts"]),
    );
    expect(house.get("shared/tokens.ts")?.imports.map(({ target }) => target)).toContain("shared/errors.ts");
  });

  test.each(Object.entries(RULES))("%s", (_name, rule) => {
    expect(rule(house)).toEqual([]);
  });

  test("every folder has a README", () => {
    expect(rules.missingReadmes(paths)).toEqual([]);
  });

  test("the top level holds nothing else", () => {
    expect(rules.strayEntries(readdirSync(root))).toEqual([]);
  });
});

/** Violations of `rule` in made-up sources, joined. */
const broken = (rule: rules.Rule, made: Readonly<Record<string, string>>): string =>
  rule(rules.readHouse(made)).join("\n");

describe("reading imports", () => {
  test("declarations, re-exports, types, import types, import() and require() are all seen", () => {
    const text = `
      import a from "pkg/sub"; import type { B } from "./b.ts"; import { type C } from "../c.ts"; import "@scope/d/deep";
      export * from "./e.ts"; export type { F } from "./f.ts"; type G = import("./g.ts").G;
      const h = await import("./h.ts"); const i = require("i"); const j = await import(name);
      const text = 'import "not-me"'; // import "nor-me"`;
    const { imports } = rules.readHouse({ "shared/x/y.ts": text }).get("shared/x/y.ts") ?? { imports: [] };
    const seen = imports.map(
      ({ target, typeOnly, dynamic }) => `${target}${typeOnly ? " type" : ""}${dynamic ? " dynamic" : ""}`,
    );
    expect(seen).toEqual([
      ...[
        "pkg",
        "shared/x/b.ts type",
        "shared/c.ts",
        "@scope/d",
        "shared/x/e.ts",
        "shared/x/f.ts type",
        "shared/x/g.ts type",
      ],
      ...["shared/x/h.ts dynamic", "i dynamic", "? dynamic"],
    ]);
  });
});

describe("each rule refuses", () => {
  test.each([
    ["shared/a.ts", "../stage1-tokenizer/index.ts", "shared may not enter stage1-tokenizer"],
    ["shared/a.ts", "../pipelines/main.ts", "shared may not enter pipelines"],
    ["stage1-tokenizer/a.ts", "../stage2-prior/index.ts", "stage1-tokenizer may not enter stage2-prior"],
    ["stage2-prior/sample/a.ts", "../../stage1-tokenizer/index.ts", "stage2-prior may not enter stage1-tokenizer"],
    ["stage2-prior/a.ts", "../pipelines/command.ts", "stage2-prior may not enter pipelines"],
    ["pipelines/a.ts", "../stage1-tokenizer/tokenizer.ts", "front door stage1-tokenizer/index.ts"],
    ["pipelines/commands/a.ts", "../../stage2-prior/sample/index.ts", "front door stage2-prior/index.ts"],
    ["shared/a.ts", "../tests/b.ts", "shared may not enter tests"],
  ])("layers: %s → %s", (from, to, part) => {
    for (const form of [`import { x } from "${to}"`, `import type { X } from "${to}"`, `await import("${to}")`]) {
      expect(broken(rules.layers, { [from]: form })).toContain(part);
    }
  });

  test("layers: and lets through what is right", () => {
    const made = {
      "shared/a.ts": 'import "./b.ts"; import "node:fs"; import "@tensorflow/tfjs"; import "zod";',
      "stage1-tokenizer/a.ts": 'import "../shared/rng.ts"; import "./model/b.ts";',
      "pipelines/commands/a.ts":
        'import "../../stage2-prior/index.ts"; import "../../shared/rng.ts"; import "../main.ts";',
      "tests/a.ts": 'import "../stage2-prior/sample/causal.ts";',
    };
    expect(broken(rules.layers, made)).toBe("");
  });

  test("runtimes outside their room", () => {
    const made = {
      "stage1-tokenizer/a.ts": 'import type * as ort from "onnxruntime-node"; import "@tensorflow/tfjs";',
      "shared/onnx/session.ts": 'await import("onnxruntime-node")',
      "shared/engine/tf.ts": 'import "@tensorflow/tfjs"',
      "pipelines/commands/doctor.ts": 'await import("@tensorflow/tfjs-node-gpu")',
    };
    expect(broken(rules.onnxRuntimeBehindSession, made)).toMatch(
      /^stage1-tokenizer\/a\.ts imports onnxruntime-node.*$/,
    );
    expect(broken(rules.tensorFlowBehindEngine, made)).toMatch(
      /^stage1-tokenizer\/a\.ts imports @tensorflow\/tfjs:.*$/,
    );
    const probe = { "pipelines/commands/doctor.ts": 'import "@tensorflow/tfjs"' };
    expect(broken(rules.tensorFlowBehindEngine, probe)).toContain("doctor.ts");
  });

  test("computed imports, except where packages are probed", () => {
    const made = {
      "shared/a.ts": "import(name)",
      "shared/engine/b.ts": "import(name)",
      "pipelines/commands/doctor.ts": "import(name)",
    };
    expect(broken(rules.importsAreLiteral, made)).toBe("shared/a.ts imports a path computed at run time");
  });

  test.each([
    ["stage2-prior/sample/causal.ts", "onnxruntime-node"],
    ["stage2-prior/baselines.ts", "sharp"],
    ["stage2-prior/baselines/markov2d.ts", "sharp"],
    ["stage2-prior/vocabulary.ts", "@tensorflow/tfjs"],
    ["stage2-prior/mask-schedule.ts", "@tensorflow/tfjs"],
    ["shared/rng.ts", "onnxruntime-node"],
  ])("a runtime behind %s, however far or lazily", (path, runtime) => {
    const up = "../".repeat(path.split("/").length - 1);
    const through = { "shared/a.ts": 'export * from "./b.ts"', "shared/b.ts": `await import("${runtime}")` };
    expect(broken(rules.pureParts, { ...through, [path]: `import "${up}shared/a.ts"` })).toContain(
      `${path} → shared/a.ts → shared/b.ts → ${runtime}`,
    );
    expect(broken(rules.pureParts, { ...through, [path]: `import type { A } from "${up}shared/a.ts"` })).toBe("");
  });

  test("inference that loads TensorFlow.js when it is loaded", () => {
    const engine = { "shared/engine/tf.ts": 'export * as tf from "@tensorflow/tfjs"' };
    for (const path of ["stage1-tokenizer/tokenizer.ts", "stage2-prior/prior.ts", "stage2-prior/import.ts"]) {
      expect(
        broken(rules.inferenceWithoutTensorFlow, { ...engine, [path]: 'import "../shared/engine/tf.ts"' }),
      ).toContain(path);
      expect(
        broken(rules.inferenceWithoutTensorFlow, { ...engine, [path]: 'await import("../shared/engine/tf.ts")' }),
      ).toBe("");
    }
  });

  test("a command that help would load", () => {
    const command = { "pipelines/commands/demo.ts": 'import "sharp"' };
    expect(broken(rules.helpIsLight, { ...command, "pipelines/main.ts": 'import "./commands/demo.ts"' })).toContain(
      "sharp",
    );
    expect(broken(rules.helpIsLight, { ...command, "pipelines/main.ts": '() => import("./commands/demo.ts")' })).toBe(
      "",
    );
  });

  test("cycles, of two, of three, and of oneself", () => {
    const made = {
      "shared/a.ts": 'import "./b.ts"',
      "shared/b.ts": 'import type { C } from "./c.ts"',
      "shared/c.ts": 'export * from "./a.ts"',
      "shared/d.ts": 'import "./a.ts"; import "./e.ts"',
      "shared/e.ts": 'import "./d.ts"',
      "shared/f.ts": 'import "./f.ts"',
    };
    expect(broken(rules.noCycles, made).split("\n")).toHaveLength(3);
    expect(broken(rules.noCycles, { ...made, "shared/c.ts": "", "shared/e.ts": "", "shared/f.ts": "" })).toBe("");
  });

  test.each([
    "export default 1",
    "export default function f() {}",
    "class A {} export { A as default }",
    'export { default } from "./b.ts"',
  ])("%s", (text) => {
    expect(broken(rules.noDefaultExports, { "shared/a.ts": text })).toContain("shared/a.ts");
    expect(broken(rules.noDefaultExports, { "shared/a.ts": 'import a from "sharp"; export const b = a;' })).toBe("");
  });

  test("imports of nothing, names and folders out of style", () => {
    expect(broken(rules.importsExist, { "shared/a.ts": 'import "./gone.ts"' })).toContain("shared/gone.ts");
    expect(
      broken(rules.kebabCase, { "shared/myFile.ts": "", "shared/Nn/a.ts": "", "shared/my-file.test.ts": "" }).split(
        "\n",
      ),
    ).toHaveLength(2);
    const paths = ["artifacts/README.md", "shared/README.md", "shared/a.ts", "shared/nn/b.ts", "stage1-tokenizer/c.ts"];
    expect(rules.missingReadmes(paths)).toEqual(["shared/nn has no README.md", "stage1-tokenizer has no README.md"]);
    expect(rules.strayEntries(["shared", "README.md", ".git", "node_modules", "notes.txt", "scripts"])).toHaveLength(2);
  });
});
