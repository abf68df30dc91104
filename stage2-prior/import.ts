/**
 * Makes an artefact of a prior that was trained elsewhere: reads an ONNX file that nobody vouches for, checks that it has the signature of its
 * objective and behaves like it, and publishes it unchanged with a manifest. Knows no training code.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

import { createProvenance, publishArtifact, type JsonObject, type Provenance } from "../shared/artifact.ts";
import { errorNumber } from "../shared/disk.ts";
import { badInput, TesseraError, usageError } from "../shared/errors.ts";
import { sha256Hex } from "../shared/fingerprint.ts";
import { checkSaturation } from "../shared/onnx/quantize/saturation.ts";
import { decodeModel } from "../shared/onnx/read.ts";
import { createSession, type OnnxSession, type SessionOptions } from "../shared/onnx/session.ts";
import type { TokenSet } from "../shared/token-file/index.ts";
import { checkFingerprint, type TokenizerSpec } from "../shared/tokens.ts";
import { checkGraphBehaviour } from "./graph-behaviour.ts";
import { checkGraphSignature } from "./graph-signature.ts";
import { measureBitsPerToken, type MeasureOptions } from "./held-out.ts";
import { priorManifestConfig } from "./manifest.ts";
import { createFullPass } from "./networks.ts";
import { GRAPH_FILE, MEASURE_REMARKS, MEASURES, type LearntObjective, type PriorShape } from "./signature.ts";
import { checkSameClasses } from "./token-data.ts";

export interface ImportPriorOptions extends MeasureOptions {
  /** Path of the ONNX file. */
  readonly file: string;
  /** Whose tokens it learnt: K, grid and fingerprint. */
  readonly tokenizer: Pick<TokenizerSpec, "fingerprint" | "codebookSize" | "grid">;
  readonly objective: LearntObjective;
  /** Names of the classes in the order of their ids; none if it is unconditional. */
  readonly classes: readonly string[];
  /** By which it masks and is decoded; objectives of raster order have no use for it. */
  readonly maskSchedule: string;
  /** To measure on, if its bits/token are to be known. */
  readonly heldOut?: TokenSet | undefined;
  /** Where the artefact goes. */
  readonly directory: string;
  readonly overwrite?: boolean;
  readonly provenance?: Partial<Provenance>;
  readonly session?: SessionOptions;
}

export interface ImportedPrior {
  /** Of the ONNX file. */
  readonly sha256: string;
  readonly bitsPerToken: number | undefined;
}

/**
 * @throws bad-input if the file cannot be read, is no ONNX file or one that refers to other files, or the runtime refuses it; mismatch if it is not
 * what `objective`, `tokenizer` and `classes` say, the held-out tokens are not of its making, or this processor gets its int8 products wrong; numerical
 * if it gives a number that is not finite;
 * usage for classes without a name or of one name, or if the directory exists; the signal's reason
 */
export async function importPrior(options: ImportPriorOptions): Promise<ImportedPrior> {
  const { file, objective, tokenizer, classes, maskSchedule, heldOut } = options;
  const { codebookSize, grid, fingerprint } = tokenizer;
  const shape: PriorShape = { objective, codebookSize, grid, classes, maskSchedule };
  checkNames(classes);
  if (heldOut !== undefined) checkHeldOut(heldOut, options);
  const graph = await readGraph(file);
  // Before the runtime sees it: references to other files are refused here.
  const model = decodeModel(graph, file);
  checkGraphSignature(model, shape, file);
  await checkSaturation(model, file);
  const session = await openForeign(graph, options);
  let bitsPerToken: number | undefined;
  try {
    await checkGraphBehaviour({ session, shape, where: file, signal: options.signal });
    if (heldOut !== undefined) bitsPerToken = await measure(session, { ...options, heldOut });
  } finally {
    await session.dispose();
  }
  const sha256 = sha256Hex(graph);
  const config = priorManifestConfig(shape, {}) as JsonObject;
  await publishArtifact({
    directory: options.directory,
    kind: "prior",
    config,
    fingerprint,
    provenance: createProvenance({
      ...options.provenance,
      from: { ...options.provenance?.from, file: basename(file), sha256 },
      ...(bitsPerToken === undefined ? {} : { metrics: { bitsPerToken } }),
    }),
    overwrite: options.overwrite ?? false,
    files: {
      [GRAPH_FILE]: graph,
      "config.json": `${JSON.stringify(config, null, 2)}\n`,
      "README.md": modelCard(options, { sha256, bitsPerToken }),
    },
  });
  return { sha256, bitsPerToken };
}

function checkNames(classes: readonly string[]): void {
  const where = "classes";
  if (classes.includes("")) throw usageError({ what: "a class has no name", where, got: classes.join(", ") });
  const twice = classes.find((name, i) => classes.indexOf(name) !== i);
  if (twice !== undefined) throw usageError({ what: `two classes are called "${twice}"`, where });
}

function checkHeldOut(set: TokenSet, { tokenizer, classes }: ImportPriorOptions): void {
  checkFingerprint(tokenizer.fingerprint, set.header.fingerprint, set.directory);
  checkSameClasses({ classes }, set);
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "is a folder",
  ERR_FS_FILE_TOO_LARGE: "passes 2 GiB",
};

async function readGraph(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    const got = errorNumber(cause) ?? "no file";
    const what = UNREADABLE[got] ?? "cannot be read";
    throw badInput({ what, where: file, got, todo: "Give the path of an ONNX file.", cause });
  }
}

/** A graph that the runtime refuses is the file's fault here. */
async function openForeign(graph: Uint8Array, { file, session = {} }: ImportPriorOptions): Promise<OnnxSession> {
  try {
    return await createSession(graph, session);
  } catch (cause) {
    if (!(cause instanceof TesseraError)) throw cause;
    throw badInput({ what: cause.message.replace(/[.]$/, ""), where: file, todo: "Export the model again.", cause });
  }
}

async function measure(
  session: OnnxSession,
  {
    tokenizer,
    classes,
    heldOut,
    objective,
    maskSchedule,
    signal,
    onProgress,
  }: ImportPriorOptions & { heldOut: TokenSet },
): Promise<number> {
  const { codebookSize, grid } = tokenizer;
  const network = createFullPass(session, { codebookSize, length: grid[0] * grid[1] });
  const { grid: tokens, labels } = await heldOut.load();
  const shape = { objective, codebookSize, grid, classes: classes.length, maskSchedule };
  return measureBitsPerToken(network, { tokens, labels }, shape, { signal, onProgress });
}

function modelCard(
  { file, objective, tokenizer, classes }: ImportPriorOptions,
  { sha256, bitsPerToken }: ImportedPrior,
): string {
  const { grid, codebookSize, fingerprint } = tokenizer;
  const figure =
    bitsPerToken === undefined
      ? "held-out bits/token: not measured."
      : `held-out bits/token: ${bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[MEASURES[objective]]}).`;
  return `# Tessera prior (${objective}), trained elsewhere

Imported from \`${basename(file)}\` (sha256 \`${sha256}\`), unchanged: over ${grid.join("×")} tokens of ${codebookSize} codes, ${classes.length === 0 ? "unconditional" : `${classes.length} classes`}.

- \`${GRAPH_FILE}\`: signature "${objective}" of the prior contract, checked by running it
- \`manifest.json\`: digests, configuration, provenance
- said to have learnt the tokens of tokenizer \`${fingerprint}\`; another tokenizer's are refused

${figure}
`;
}
