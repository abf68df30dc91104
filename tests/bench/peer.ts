/** The PyTorch side of the comparisons, where a Python with torch is installed (Debian: python3-torch, libopenblas0-pthread). */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** The script is no TypeScript and is not built: found from the sources and from the build alike. */
const SCRIPT = ["torch_peer.py", "../../../tests/bench/torch_peer.py"]
  .map((path) => join(fileURLToPath(new URL(".", import.meta.url)), path))
  .find((path) => existsSync(path));

const answer = z.looseObject({ work: z.string(), ms: z.number().positive() });

function findPython(): string | undefined {
  return ["python3", "/usr/bin/python3"].find((python) => spawnSync(python, ["-c", "import torch"]).status === 0);
}

export async function describePeer(): Promise<string> {
  const python = findPython();
  if (python === undefined) return "no Python with torch here: ours alone, no ratios";
  const version = spawnSync(python, ["-c", "import torch; print(torch.__version__)"], {
    encoding: "utf8",
  }).stdout.trim();
  return Promise.resolve(`peer: PyTorch ${version}, two threads on either side`);
}

/** Milliseconds of one work, or undefined where there is no peer. */
export async function runPeer(work: string): Promise<z.infer<typeof answer> | undefined> {
  const python = findPython();
  if (python === undefined || SCRIPT === undefined) return undefined;
  const { stdout, stderr, status } = spawnSync(python, [SCRIPT, work], { encoding: "utf8" });
  if (status !== 0) throw new Error(`The PyTorch peer failed on ${work}: ${stderr}`);
  return Promise.resolve(answer.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")));
}
