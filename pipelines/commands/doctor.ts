/**
 * `tessera doctor`: versions, cores, memory, and which engines this machine can run. Probes by loading, so that it reports what a run would
 * meet; a package that does not load is a finding, not a failure.
 */
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { z } from "zod";
import { defineCommand, formatTable } from "../command.ts";
import { installedVersion, ownVersion } from "../versions.ts";

/** How the machine is asked; tests answer for it. */
export interface Probes {
  readonly versionOf: (name: string) => string | undefined;
  /** Imports a package by name. */
  readonly load: (name: string) => Promise<unknown>;
  /** Execution providers with which onnxruntime runs a model here. */
  readonly providers: () => Promise<readonly string[]>;
}

export interface NativeTfjs {
  readonly version: string | null;
  readonly usable: boolean;
  /** What is missing, in a clause; null where nothing is. */
  readonly missing: string | null;
  readonly todo: string | null;
}

export interface Findings {
  readonly tessera: string;
  readonly node: string;
  readonly platform: string;
  /** null: not installed. */
  readonly packages: Readonly<Record<string, string | null>>;
  readonly cpu: { readonly model: string; readonly logicalCores: number; readonly usableThreads: number };
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
  readonly onnx: { readonly usable: boolean; readonly providers: readonly string[]; readonly missing: string | null };
  readonly tfjs: Readonly<Record<string, NativeTfjs>>;
}

const PACKAGES = ["onnxruntime-node", "@tensorflow/tfjs", "sharp"];
const NATIVE_TFJS = {
  "@tensorflow/tfjs-node-gpu": "Run `npm run setup:gpu`; it needs an NVIDIA GPU with CUDA 11.2 and cuDNN 8.1",
  "@tensorflow/tfjs-node": "Optional: `npm install --no-save --ignore-scripts=false @tensorflow/tfjs-node`",
};

/** Asks everything; never throws for something missing. */
export async function examine(probes: Probes): Promise<Findings> {
  const processors = cpus();
  const tfjs: Record<string, NativeTfjs> = {};
  for (const [name, todo] of Object.entries(NATIVE_TFJS)) tfjs[name] = await examineTfjs(name, todo, probes);
  return {
    tessera: ownVersion(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    packages: Object.fromEntries(PACKAGES.map((name) => [name, probes.versionOf(name) ?? null])),
    cpu: {
      model: processors[0]?.model.trim() ?? "unknown",
      logicalCores: processors.length,
      usableThreads: availableParallelism(),
    },
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
    onnx: await examineOnnx(probes),
    tfjs,
  };
}

async function examineOnnx({ providers }: Probes): Promise<Findings["onnx"]> {
  try {
    return { usable: true, providers: await providers(), missing: null };
  } catch (error) {
    return { usable: false, providers: [], missing: firstLine(error) };
  }
}

async function examineTfjs(name: string, todo: string, { load, versionOf }: Probes): Promise<NativeTfjs> {
  const version = versionOf(name) ?? null;
  if (version === null) return { version, usable: false, missing: "the package is not installed", todo };
  try {
    const loaded = await load(name);
    const missing =
      name.endsWith("-gpu") && !usesGpu(loaded) ? "it loads, but finds no GPU and would compute on the CPU" : null;
    return { version, usable: missing === null, missing, todo: missing === null ? null : todo };
  } catch (error) {
    const line = firstLine(error);
    const addon = /addon|\.node\b|libtensorflow/i.test(line);
    return {
      version,
      usable: false,
      missing: addon ? `its native part (libtensorflow) is not built: ${line}` : line,
      todo,
    };
  }
}

/** tfjs-node-gpu falls back to the CPU in silence; its backend knows. */
function usesGpu(loaded: unknown): boolean {
  const tf = loaded as { backend?: () => { isUsingGpuDevice?: boolean } };
  return tf.backend?.().isUsingGpuDevice === true;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]?.trim() ?? "";
}

/** The findings as columns: what, state, what to do. */
export function describeFindings(findings: Findings): string {
  const { cpu, memory, onnx } = findings;
  const gigabytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const rows: string[][] = [
    ["tessera", findings.tessera],
    ["node", `${findings.node} (${findings.platform})`],
    ...Object.entries(findings.packages).map(([name, version]) => [name, version ?? "not installed: run `npm ci`"]),
    ["processor", `${cpu.model}, ${cpu.logicalCores} logical cores, ${cpu.usableThreads} usable threads`],
    ["memory", `${gigabytes(memory.totalBytes)}, ${gigabytes(memory.freeBytes)} free`],
    ["engine onnx", onnx.usable ? `usable: ${onnx.providers.join(", ")}` : `not usable: ${onnx.missing ?? "unknown"}`],
  ];
  for (const [name, { version, usable, missing, todo }] of Object.entries(findings.tfjs)) {
    rows.push([
      `engine tfjs`,
      `${name} ${version ?? ""}`.trimEnd() + (usable ? ": usable" : `: ${missing ?? "unknown"}`),
    ]);
    if (todo !== null) rows.push(["", todo]);
  }
  return formatTable(rows);
}

const machine: Probes = {
  versionOf: installedVersion,
  load: (name) => import(name),
  providers: async () => (await import("../../shared/onnx/session.ts")).availableProviders(),
};

export const command = defineCommand({
  meta: {
    name: "doctor",
    summary:
      "Say what this machine offers: versions, threads, memory and the engines that run, and what is missing for the others.",
    examples: [
      ["tessera doctor", "A table to read, or to add to a bug report"],
      ["tessera doctor --json", "The same as one line of JSON"],
    ],
  },
  args: z.strictObject({}),
  async run() {
    const findings = await examine(machine);
    return { json: { ...findings }, text: describeFindings(findings) };
  },
});
