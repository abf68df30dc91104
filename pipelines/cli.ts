#!/usr/bin/env node
/** The executable: hands the process's words, streams and signals to `main`. Decides nothing. */
import { installInterrupts } from "../shared/train/interrupts.ts";
import { main } from "./main.ts";

// A reader that closes early (`tessera … | head`) is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await main(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  installInterrupts,
});
