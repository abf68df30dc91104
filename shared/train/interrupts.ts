/**
 * Ctrl-C and SIGTERM as an AbortSignal: the first asks to stop at the next safe point, the second exits at once. Knows no loop;
 * whoever holds the signal decides what a safe point is.
 */
import { EXIT_CODES, TesseraError } from "../errors.ts";

export interface Interrupts {
  /** Aborted at the first signal; its `reason` is a TesseraError whose exit code is 130 (SIGINT) or 143 (SIGTERM). */
  readonly signal: AbortSignal;
  /** The exit code the first signal asks for; undefined while none has come. */
  exitCode(): number | undefined;
  /** Gives the signals back to Node's default handling. */
  dispose(): void;
}

type SignalName = "SIGINT" | "SIGTERM";

/** The part of `process` that is used; tests hand in an EventEmitter. */
export interface SignalSource {
  on(event: SignalName, listener: () => void): unknown;
  off(event: SignalName, listener: () => void): unknown;
}

export interface InterruptOptions {
  readonly source?: SignalSource;
  /** Ends the process; called at the second signal. */
  readonly exit?: (code: number) => void;
  /** Told once, at the first signal: a sentence for the screen. */
  readonly notify?: (line: string) => void;
  /** Milliseconds from any origin. */
  readonly now?: () => number;
}

const CODES = { SIGINT: "interrupted", SIGTERM: "terminated" } as const;

/** One Ctrl-C reaches us twice when a wrapper such as `npm run` passes on what the terminal has already sent to the group. */
const ECHO_MS = 100;

export function installInterrupts(options: InterruptOptions = {}): Interrupts {
  const source = options.source ?? process;
  const exit = options.exit ?? ((code: number) => process.exit(code));
  const now = options.now ?? (() => performance.now());
  const controller = new AbortController();
  let first: { code: number; at: number } | undefined;

  const receive = (name: SignalName): void => {
    const code = EXIT_CODES[CODES[name]];
    if (first === undefined) {
      first = { code, at: now() };
      options.notify?.("Stopping after the running step; once more to stop at once.");
      controller.abort(new TesseraError(CODES[name], { what: `stopped by ${name}` }));
    } else if (now() - first.at >= ECHO_MS) {
      exit(code);
    }
  };
  const listeners = { SIGINT: () => receive("SIGINT"), SIGTERM: () => receive("SIGTERM") };
  source.on("SIGINT", listeners.SIGINT);
  source.on("SIGTERM", listeners.SIGTERM);
  return {
    signal: controller.signal,
    exitCode: () => first?.code,
    dispose() {
      source.off("SIGINT", listeners.SIGINT);
      source.off("SIGTERM", listeners.SIGTERM);
    },
  };
}
