/**
 * The same work in several processes: requests go to whichever has least to do, answers come back as promises. Knows nothing of the work. Processes,
 * not worker threads: onnxruntime ends the whole process if a thread is stopped within a run.
 *
 * Requests and answers are plain data and typed arrays, cloned on the way. When a process ends unasked, every request fails, open or to come:
 * what ended it, most often want of memory, would end the next one too.
 */
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { extname } from "node:path";
import { type ErrorCode, failure, TesseraError } from "./errors.ts";

export interface ProcessPool<Request, Answer, Note = never> {
  /**
   * @param onNote called with what is told of the request before it is answered; what it throws is thrown
   * @throws whatever the work threw, TesseraErrors as they were; failure if a process has ended.
   */
  ask(request: Request, onNote?: (note: Note) => void): Promise<Answer>;
  /** Ends the processes, idle or not, and waits until they are gone. Requests that are open then fail. */
  close(): Promise<void>;
}

export interface ProcessPoolOptions {
  /** A module that calls `answerRequests`, as plain Node can run it: see `scriptBeside`. */
  readonly script: URL | undefined;
  /** Its `process.argv.slice(2)`. */
  readonly words: readonly string[];
  readonly count: number;
  /** What the processes are, in errors: "a process that makes tokens". */
  readonly name: string;
}

interface Question {
  readonly id: number;
  readonly request: unknown;
}

type Reply = { readonly id: number } & (
  | { readonly note: unknown }
  | { readonly answer: unknown }
  | { readonly code: ErrorCode | undefined; readonly error: Error }
);

interface Open {
  readonly note: (note: unknown) => void;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Member {
  readonly child: ChildProcess;
  readonly open: Map<number, Open>;
  readonly ended: Promise<void>;
}

/** A process's part of the threads of all together (the processor's, where it is not said how many). */
export const threadShare = (threads: number | undefined, processes: number): number =>
  Math.max(1, Math.floor((threads ?? availableParallelism()) / processes));

/** The script `name` beside the module at `url`; undefined among sources in TypeScript, which plain Node may not run. */
export const scriptBeside = (url: string, name: string): URL | undefined =>
  extname(url) === ".js" ? new URL(`./${name}.js`, url) : undefined;

/** @throws failure if there is no script */
export function startProcesses<Request, Answer, Note = never>(
  options: ProcessPoolOptions,
): ProcessPool<Request, Answer, Note> {
  const { script } = options;
  if (script === undefined) {
    const todo = "Build the package first, or take one process";
    throw failure({ what: "sources cannot be run in processes of their own", where: options.name, todo });
  }
  let broken: TesseraError | undefined;
  let serial = 0;
  const breakWith = (error: TesseraError): void => {
    broken ??= error;
    for (const { open } of members) {
      for (const { reject } of open.values()) reject(broken);
      open.clear();
    }
  };
  const members = Array.from({ length: options.count }, () => startMember({ ...options, script }, breakWith));
  return {
    ask: (request, onNote) =>
      new Promise<Answer>((resolve, reject) => {
        const [first, ...others] = members;
        if (broken !== undefined || first === undefined) {
          reject(broken ?? failure({ what: "there are no processes", where: options.name }));
          return;
        }
        const member = others.reduce((least, other) => (other.open.size < least.open.size ? other : least), first);
        const question: Question = { id: serial++, request };
        member.child.send(question, (error) => {
          if (error !== null) member.child.kill("SIGKILL"); // most often gone already; its end says why
        });
        // What comes back is what `answerRequests` was given to return and to tell: both ends are one program.
        member.open.set(question.id, {
          note: (note) => onNote?.(note as Note),
          resolve: (answer) => resolve(answer as Answer),
          reject,
        });
      }),
    close: async () => {
      breakWith(failure({ what: `${options.name} was ended` }));
      for (const { child } of members) child.kill("SIGKILL"); // it holds nothing that could be left half done
      await Promise.all(members.map(({ ended }) => ended));
    },
  };
}

function startMember(
  { script, words, name }: ProcessPoolOptions & { readonly script: URL },
  breakWith: (error: TesseraError) => void,
): Member {
  const child = fork(script, words, {
    serialization: "advanced",
    detached: true, // a group of its own: Ctrl-C is for the process that started it, which ends it in its own time
    stdio: ["ignore", "ignore", "inherit", "ipc"], // standard output is the command's
  });
  const open = new Map<number, Open>();
  child.on("message", (message) => {
    const reply = message as Reply;
    const asked = open.get(reply.id);
    if ("note" in reply) {
      try {
        asked?.note(reply.note);
      } catch (error) {
        open.delete(reply.id);
        asked?.reject(toError(error));
      }
      return;
    }
    open.delete(reply.id);
    if ("answer" in reply) asked?.resolve(reply.answer);
    else asked?.reject(revive(reply));
  });
  const ended = new Promise<void>((resolve) => {
    child.on("exit", (code, signal) => {
      breakWith(lost(name, signal ?? `exit code ${code}`));
      resolve();
    });
    child.on("error", (error) => {
      breakWith(lost(name, error.message));
      if (child.pid === undefined) resolve(); // it never started
    });
  });
  return { child, open, ended };
}

const toError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

function lost(name: string, got: string): TesseraError {
  const todo = "If the system ended it for want of memory, take fewer processes";
  return failure({ what: `${name} ended before its work did`, got, todo });
}

/** Cloning leaves an error its message and its stack, but not its class. The message is a sentence already; its full stop is set again. */
function revive({ code, error }: { readonly code: ErrorCode | undefined; readonly error: Error }): Error {
  return code === undefined ? error : new TesseraError(code, { what: error.message.replace(/\.$/, ""), cause: error });
}

/**
 * The other end: answers the requests of the process that started this one, several at a time, until that process ends.
 * @param answer may `tell` how far it is
 */
export function answerRequests<Request, Answer, Note = never>(
  answer: (request: Request, tell: (note: Note) => void) => Promise<Answer>,
): void {
  const end = (): boolean => process.kill(process.pid, "SIGKILL"); // an orderly exit could trip over native threads at work
  if (!process.connected) end(); // gone before this one was ready
  process.on("disconnect", end);
  process.on("message", (message) => {
    const { id, request } = message as { id: number; request: Request };
    const send = (reply: Reply): void => void process.send?.(reply);
    const reply = async (): Promise<Reply> => {
      try {
        return { id, answer: await answer(request, (note) => send({ id, note })) };
      } catch (error) {
        const code = error instanceof TesseraError ? error.code : undefined;
        return { id, code, error: toError(error) };
      }
    };
    void reply().then(send);
  });
}
