/** The PyTorch side of the comparisons, where a Python with torch is installed (Debian: python3-torch, libopenblas0-pthread). */
import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";

/** A function of torch_peer.py and its arguments. */
export interface PeerCall {
  readonly work: string;
  readonly args: Readonly<Record<string, number | string | boolean>>;
}

/** The script is no TypeScript and is not built: found from the sources and from the build alike. */
const SCRIPT = ["torch_peer.py", "../../../tests/bench/torch_peer.py"]
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path));

const answer = z.union([
  z.strictObject({ seconds: z.number().positive(), peakMegabytes: z.number().positive() }),
  z.strictObject({ missing: z.string() }),
]);
export type PeerAnswer = z.infer<typeof answer>;

let python: string | undefined | null;

function findPython(): string | null {
  const found = ["python3", "/usr/bin/python3"].find((path) => spawnSync(path, ["-c", "import torch"]).status === 0);
  return found ?? null;
}

export function describePeer(): string {
  python ??= findPython();
  if (python === null) return "no Python with torch here: ours alone, no ratios";
  const version = spawnSync(python, ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8" });
  return `peer: PyTorch ${version.stdout.trim()}, two threads on either side`;
}

/** Where other work takes a core, a thread that spins at a barrier costs the peer up to forty times what one that sleeps does. */
const ENVIRONMENT = { OMP_WAIT_POLICY: "passive", ...process.env };

/**
 * Median seconds of one work and the largest resident memory of the process that did it; what is `missing` where the peer lacks a library for it;
 * undefined where there is no peer.
 */
export async function runPeer({ work, args }: PeerCall): Promise<PeerAnswer | undefined> {
  python ??= findPython();
  if (python === null || SCRIPT === undefined) return undefined;
  const { stdout } = await promisify(execFile)(python, [SCRIPT, work, JSON.stringify(args)], { env: ENVIRONMENT });
  return answer.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? ""));
}
