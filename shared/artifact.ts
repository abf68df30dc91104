/**
 * An artefact: a directory with a `manifest.json` that says what it is, from what it came, and the size and sha256 of every file.
 * Writes it whole, opens it, and refuses what does not match. Knows no model, no image and no token.
 */
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { z } from "zod";

import { errorNumber, explainDiskError, realDisk, writeSynced, type Disk } from "./disk.ts";
import { badInput, invariant, mismatch } from "./errors.ts";
import { sha256File, sha256Hex, type JsonObject, type JsonValue } from "./fingerprint.ts";
import { publishDirectory } from "./publish.ts";

export const FORMAT_VERSION = 1;
export const MANIFEST_FILE = "manifest.json";
export const ARTIFACT_KINDS = ["tokenizer", "autoencoder", "prior", "tokens", "checkpoint"] as const;
export type ArtifactKind = (typeof ARTIFACT_KINDS)[number];

/** Letters, digits, dot, dash, underscore; no folder, no leading dot: a manifest can never point outside its directory. */
const fileName = z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}$/, "must be a plain file name");
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hex digits");
const jsonObject = z.record(z.string(), z.json());

const provenanceSchema = z.strictObject({
  tesseraVersion: z.string(),
  node: z.string(),
  /** ISO 8601, UTC. */
  createdAt: z.iso.datetime(),
  seed: z.int().optional(),
  /** The command line that made it. */
  command: z.string().optional(),
  /** "onnx (cpu, 2 threads)" */
  engine: z.string().optional(),
  steps: z.int().nonnegative().optional(),
  /** What it was made of: a data set, a tokenizer, token files. */
  from: jsonObject.optional(),
  /** What was measured on it, by name. */
  metrics: z.record(z.string(), z.number()).optional(),
});

const manifestSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.enum(ARTIFACT_KINDS),
  name: z.string().min(1),
  files: z.record(fileName, z.strictObject({ sha256, bytes: z.int().nonnegative() })),
  config: z.json(),
  preprocessing: z.json().optional(),
  /** The tokenizer's fingerprint: its own, or that of the tokenizer whose tokens these are or were learnt. */
  fingerprint: sha256.optional(),
  provenance: provenanceSchema,
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Provenance = z.infer<typeof provenanceSchema>;
export type FileDigest = Manifest["files"][string];

export interface ManifestFields {
  readonly kind: ArtifactKind;
  /** By default the directory's name. */
  readonly name?: string;
  readonly config: JsonValue;
  readonly preprocessing?: JsonValue;
  readonly fingerprint?: string;
  /** By default only versions and the time. */
  readonly provenance?: Provenance;
}

export interface PublishArtifact extends ManifestFields {
  readonly directory: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  readonly overwrite?: boolean;
  readonly disk?: Disk;
}

export interface Artifact {
  readonly directory: string;
  readonly manifest: Manifest;
  /** Where a file of the manifest lies; nothing is verified. @throws bad-input if the manifest does not name it. */
  path(name: string): string;
  /** A file's bytes, verified. @throws bad-input if it is missing; mismatch if size or sha256 differ. */
  read(name: string): Promise<Uint8Array>;
  /** Verifies one file, or all of them, in bounded memory. @throws as `read`. */
  verify(name?: string): Promise<void>;
}

/** Provenance with this program's version, Node's version and the time filled in. */
export function createProvenance(known: Partial<Provenance> = {}): Provenance {
  return { tesseraVersion: packageVersion(), node: process.version, createdAt: new Date().toISOString(), ...known };
}

/**
 * Writes `files` and their manifest as one artefact, which appears whole or not at all.
 * @throws usage if the directory exists (and `overwrite` is not set); failure on a full or read-only disk.
 */
export async function publishArtifact(artifact: PublishArtifact): Promise<Manifest> {
  const { directory, files, disk = realDisk } = artifact;
  const bytes = Object.entries(files).map(([name, data]) => [name, toBytes(data)] as const);
  const digests = bytes.map(([name, data]) => [name, { sha256: sha256Hex(data), bytes: data.length }] as const);
  const manifest = createManifest(directory, artifact, Object.fromEntries(digests));
  await publishDirectory(
    directory,
    async (temporary) => {
      for (const [name, data] of bytes) await writeSynced(disk, join(temporary, name), data);
    },
    {
      disk,
      overwrite: artifact.overwrite ?? false,
      seal: (temporary) => writeSynced(disk, join(temporary, MANIFEST_FILE), encodeManifest(manifest)),
    },
  );
  return manifest;
}

/** The manifest of an artefact to be published at `directory`. */
export function createManifest(directory: string, fields: ManifestFields, files: Manifest["files"]): Manifest {
  const manifest = manifestSchema.safeParse({
    formatVersion: FORMAT_VERSION,
    kind: fields.kind,
    name: fields.name ?? basename(resolve(directory)),
    files,
    config: fields.config,
    ...(fields.preprocessing === undefined ? {} : { preprocessing: fields.preprocessing }),
    ...(fields.fingerprint === undefined ? {} : { fingerprint: fields.fingerprint }),
    provenance: fields.provenance ?? createProvenance(),
  });
  invariant(manifest.success, `the manifest of ${directory} is not valid: ${manifest.error?.message ?? ""}`);
  invariant(!(MANIFEST_FILE in files), "a manifest does not list itself");
  return manifest.data;
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  return toBytes(`${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * Opens an artefact; its files are verified when they are read.
 * @throws bad-input if there is no readable manifest; mismatch if it is of another kind or of a newer format.
 */
export async function openArtifact(directory: string, options: { kind?: ArtifactKind } = {}): Promise<Artifact> {
  const manifest = parseManifest(await readManifest(directory), join(directory, MANIFEST_FILE));
  if (options.kind !== undefined && manifest.kind !== options.kind) {
    throw mismatch({
      what: "is another kind of artefact",
      where: directory,
      expected: options.kind,
      got: manifest.kind,
      todo: `Give a folder that holds a ${options.kind} artefact`,
    });
  }
  const entry = (name: string): FileDigest => {
    const digest = Object.hasOwn(manifest.files, name) ? manifest.files[name] : undefined;
    if (digest === undefined) {
      throw badInput({ what: `has no file "${name}" in its manifest`, where: directory, todo: RESTORE });
    }
    return digest;
  };
  const path = (name: string): string => {
    entry(name);
    return join(directory, name);
  };
  const verifyOne = async (name: string): Promise<void> => {
    checkDigest(path(name), entry(name), await missingIsBadInput(path(name), sha256File));
  };
  return {
    directory,
    manifest,
    path,
    async read(name) {
      const bytes = await missingIsBadInput<Uint8Array>(path(name), (file) => readFile(file));
      checkDigest(path(name), entry(name), { sha256: sha256Hex(bytes), bytes: bytes.length });
      return bytes;
    },
    async verify(name) {
      for (const file of name === undefined ? Object.keys(manifest.files) : [name]) await verifyOne(file);
    },
  };
}

/** @throws mismatch naming the file and both digests. */
export function checkDigest(path: string, expected: FileDigest, got: FileDigest): void {
  if (expected.sha256 === got.sha256 && expected.bytes === got.bytes) return;
  throw mismatch({
    what: "is not the file its manifest describes",
    where: path,
    expected: `sha256 ${expected.sha256}, ${expected.bytes} bytes`,
    got: `sha256 ${got.sha256}, ${got.bytes} bytes`,
    todo: RESTORE,
  });
}

const RESTORE = "The artefact was changed or damaged: restore it from a copy or make it again.";

async function readManifest(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, MANIFEST_FILE), "utf8");
  } catch (error) {
    if (errorNumber(error) !== "ENOENT" && errorNumber(error) !== "ENOTDIR") throw explainReadError(error, directory);
    throw badInput({
      what: existsSync(directory) ? `is no artefact: it holds no ${MANIFEST_FILE}` : "there is no such artefact",
      where: directory,
      todo: "Give the folder that a command of Tessera published.",
      cause: error,
    });
  }
}

function parseManifest(text: string, where: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw badInput({ what: "is not valid JSON", where, todo: RESTORE, cause });
  }
  const version = z.looseObject({ formatVersion: z.int() }).safeParse(json);
  if (version.success && version.data.formatVersion > FORMAT_VERSION) {
    throw mismatch({
      what: "was written by a newer version of Tessera",
      where,
      expected: `format version ${FORMAT_VERSION} or older`,
      got: String(version.data.formatVersion),
      todo: "Update Tessera.",
    });
  }
  const manifest = manifestSchema.safeParse(json);
  if (manifest.success) return manifest.data;
  const issue = manifest.error.issues[0];
  throw badInput({
    what: `is not a manifest: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`.trim(),
    where,
    todo: RESTORE,
    cause: manifest.error,
  });
}

async function missingIsBadInput<T>(path: string, read: (path: string) => Promise<T>): Promise<T> {
  try {
    return await read(path);
  } catch (error) {
    if (errorNumber(error) !== "ENOENT" && errorNumber(error) !== "EISDIR") throw explainReadError(error, path);
    throw badInput({ what: "is missing", where: path, todo: RESTORE, cause: error });
  }
}

function explainReadError(error: unknown, where: string): unknown {
  const code = errorNumber(error);
  if (code !== "EACCES" && code !== "EPERM") return explainDiskError(error, where);
  return badInput({ what: "cannot be read", where, got: code, todo: "Check its permissions.", cause: error });
}

function toBytes(data: Uint8Array | string): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}

/** The version in the package.json above this file, from the sources and from the build alike. */
function packageVersion(): string {
  const schema = z.looseObject({ name: z.literal("tessera"), version: z.string() });
  let directory = dirname(fileURLToPath(import.meta.url));
  for (; directory !== dirname(directory); directory = dirname(directory)) {
    const path = join(directory, "package.json");
    const found = existsSync(path) ? schema.safeParse(JSON.parse(readFileSync(path, "utf8"))) : undefined;
    if (found?.success === true) return found.data.version;
  }
  return "unknown";
}

export type { JsonObject, JsonValue };
