/**
 * The house rules as functions of sources: who may import whom, what may be reached, how files are named. Reads imports with TypeScript's
 * own parser. Each rule takes every module of the house and returns sentences, one per violation; a rule about a file that does not
 * exist yet binds on the day it appears.
 */
import { posix } from "node:path";
import ts from "typescript";

export interface Import {
  /** A path in the repository ("shared/rng.ts"), a package name ("@tensorflow/tfjs"), or "?" where it is computed at run time. */
  readonly target: string;
  /** Erased by the compiler: `import type`, `export type`. */
  readonly typeOnly: boolean;
  /** `import(…)` and `require(…)` inside code, as opposed to a declaration. */
  readonly dynamic: boolean;
}

export interface Module {
  readonly path: string;
  readonly imports: readonly Import[];
  readonly hasDefaultExport: boolean;
}

export type House = ReadonlyMap<string, Module>;
export type Rule = (house: House) => string[];

/** @param sources text by path relative to the repository, with forward slashes */
export function readHouse(sources: Readonly<Record<string, string>>): House {
  return new Map(Object.entries(sources).map(([path, text]) => [path, readModule(path, text)]));
}

function readModule(path: string, text: string): Module {
  const imports: Import[] = [];
  let hasDefaultExport = false;
  const add = (specifier: ts.Node | undefined, typeOnly: boolean, dynamic: boolean): void => {
    const target = specifier !== undefined && ts.isStringLiteralLike(specifier) ? resolve(path, specifier.text) : "?";
    imports.push({ target, typeOnly, dynamic });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword, false);
    } else if (ts.isExportDeclaration(node)) {
      if (node.moduleSpecifier !== undefined) add(node.moduleSpecifier, node.isTypeOnly, false);
      if (node.exportClause !== undefined && ts.isNamedExports(node.exportClause)) {
        hasDefaultExport ||= node.exportClause.elements.some((element) => element.name.text === "default");
      }
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true, false);
    } else if (ts.isCallExpression(node) && isLoader(node.expression)) {
      add(node.arguments[0], false, true);
    }
    const isDefault =
      ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword);
    hasDefaultExport ||= ts.isExportAssignment(node) || isDefault === true;
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return { path, imports, hasDefaultExport };
}

const isLoader = (callee: ts.Expression): boolean =>
  callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === "require");

/** Relative specifiers become paths; packages lose their subpath. */
function resolve(from: string, specifier: string): string {
  if (specifier.startsWith(".")) return posix.normalize(posix.join(posix.dirname(from), specifier));
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

type Room = "shared" | "stage1-tokenizer" | "stage2-prior" | "pipelines";
export const ROOMS: readonly Room[] = ["shared", "stage1-tokenizer", "stage2-prior", "pipelines"];
const STAGES: readonly string[] = ["stage1-tokenizer", "stage2-prior"];
const roomOf = (path: string): string => path.split("/", 1)[0] ?? "";
const inHouse = (path: string): boolean => ROOMS.some((room) => room === roomOf(path));

/** Runs `judge` on each import of each module outside tests/. */
const eachImport =
  (judge: (from: string, target: Import) => string | undefined): Rule =>
  (house) =>
    [...house.values()]
      .filter(({ path }) => inHouse(path))
      .flatMap(({ path, imports }) => imports.flatMap((target) => judge(path, target) ?? []));

/** shared imports no other room; a stage only shared; pipelines only shared and front doors; nobody tests/ or artifacts/. */
export const layers = eachImport((from, { target }) => {
  if (!target.includes("/") || target.startsWith("@")) return undefined;
  const [home, other] = [roomOf(from), roomOf(target)];
  if (home === other || other === "shared") return undefined;
  if (home === "pipelines" && STAGES.includes(other)) {
    return target === `${other}/index.ts`
      ? undefined
      : `${from} imports ${target}: use the front door ${other}/index.ts`;
  }
  return `${from} imports ${target}: ${home} may not enter ${other}`;
});

/** onnxruntime-node has one importer. */
export const onnxRuntimeBehindSession = eachImport((from, { target }) =>
  target.startsWith("onnxruntime") && from !== "shared/onnx/session.ts"
    ? `${from} imports ${target}: only shared/onnx/session.ts may`
    : undefined,
);

/** TensorFlow.js enters through shared/engine; doctor may probe for it. */
export const tensorFlowBehindEngine = eachImport((from, { target, dynamic }) =>
  target.startsWith("@tensorflow/") &&
  !from.startsWith("shared/engine/") &&
  !(from === "pipelines/commands/doctor.ts" && dynamic)
    ? `${from} imports ${target}: only shared/engine/** may`
    : undefined,
);

/** A computed import would escape every rule here. */
export const importsAreLiteral = eachImport((from, { target }) =>
  target === "?" && !from.startsWith("shared/engine/") && from !== "pipelines/commands/doctor.ts"
    ? `${from} imports a path computed at run time`
    : undefined,
);

/** Everything loaded when `start` is, with the way there. Dynamic imports count where `lazily` is true; erased ones never. */
export function reached(
  house: House,
  start: string,
  options: { lazily: boolean },
): ReadonlyMap<string, readonly string[]> {
  const ways = new Map<string, readonly string[]>([[start, [start]]]);
  for (const [path, way] of ways) {
    for (const { target, typeOnly, dynamic } of house.get(path)?.imports ?? []) {
      if (typeOnly || (dynamic && !options.lazily) || ways.has(target)) continue;
      ways.set(target, [...way, target]);
    }
  }
  return ways;
}

/** From files that match `from` nothing that matches `never` may be reached. */
const neverReaches =
  (from: RegExp, never: RegExp, options: { lazily: boolean }): Rule =>
  (house) =>
    [...house.keys()]
      .filter((path) => from.test(path))
      .flatMap((path) =>
        [...reached(house, path, options)]
          .filter(([target]) => target !== path && never.test(target))
          .map(([, way]) => `${path} reaches ${way.at(-1) ?? ""}: ${way.join(" → ")}`),
      );

const RUNTIME = /^(@tensorflow\/|onnxruntime|sharp$)/;

/** Samplers, baselines, schedules, vocabulary, tokens, rng and errors run anywhere, at once. */
export const pureParts = neverReaches(
  /^(stage2-prior\/(sample|baselines|judge)(\/|\.ts$)|stage2-prior\/(vocabulary|mask-schedule)\.ts$|shared\/(tokens|rng|errors)\.ts$)/,
  RUNTIME,
  { lazily: true },
);

/** Inference never loads TensorFlow.js. */
export const inferenceWithoutTensorFlow = neverReaches(
  /^(stage1-tokenizer\/tokenizer|stage2-prior\/(prior|import))\.ts$/,
  /^@tensorflow\//,
  { lazily: false },
);

/** `--help` loads neither a runtime nor a command. */
export const helpIsLight = neverReaches(
  /^pipelines\/(cli|main)\.ts$/,
  /^(@tensorflow\/|onnxruntime|sharp$|pipelines\/commands\/)/,
  { lazily: false },
);

/** No import cycles, type imports included: two files that need each other are one file. */
export const noCycles: Rule = (house) => {
  const found = new Map<string, string>();
  const finished = new Set<string>();
  const walk = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) {
      const cycle = way.slice(way.indexOf(path));
      found.set([...cycle].sort().join(), [...cycle, path].join(" → "));
      return;
    }
    if (finished.has(path)) return;
    for (const { target, dynamic } of house.get(path)?.imports ?? []) {
      if (!dynamic && house.has(target)) walk(target, [...way, path]);
    }
    finished.add(path);
  };
  for (const path of house.keys()) walk(path, []);
  return [...found.values()].map((cycle) => `import cycle: ${cycle}`);
};

/** Names stay greppable. */
export const noDefaultExports: Rule = (house) =>
  [...house.values()]
    .filter(({ hasDefaultExport }) => hasDefaultExport)
    .map(({ path }) => `${path} has a default export`);

/** Relative imports name a file that exists, as written. */
export const importsExist: Rule = (house) =>
  [...house.values()].flatMap(({ path, imports }) =>
    imports
      .filter(({ target }) => target.endsWith(".ts") && !house.has(target))
      .map(({ target }) => `${path} imports ${target}, which does not exist`),
  );

export const kebabCase: Rule = (house) =>
  [...house.keys()]
    .filter((path) => !path.split("/").every((part) => /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.d)?(\.ts)?$/.test(part)))
    .map((path) => `${path} is not kebab-case`);

/** Every room, and every folder directly inside shared and the stages, tells what it is. */
export function missingReadmes(paths: readonly string[]): string[] {
  const folders = new Set<string>(["artifacts"]);
  for (const path of paths.filter((candidate) => inHouse(candidate) && candidate.endsWith(".ts"))) {
    const [room = "", inner = "", file] = path.split("/");
    folders.add(room);
    if (file !== undefined && room !== "pipelines") folders.add(`${room}/${inner}`);
  }
  return [...folders]
    .filter((folder) => !paths.includes(`${folder}/README.md`))
    .map((folder) => `${folder} has no README.md`);
}

const TOP_LEVEL = [
  ...[".ci", ".config", ".gitignore", ".npmrc", ".prettierignore", ".prettierrc.json", "LICENSE", "README.md"],
  ...["artifacts", "package-lock.json", "package.json", "tests", "tsconfig.json", ...ROOMS],
];
/** What git ignores or is. */
const NOT_OURS = /^(\.git|node_modules|\.build|\.tsbuildinfo|.*\.log)$/;

/** The first screen of the repository stays one screen. */
export function strayEntries(names: readonly string[]): string[] {
  return names
    .filter((name) => !TOP_LEVEL.includes(name) && !NOT_OURS.test(name))
    .map((name) => `${name} has no place at the top level`);
}
