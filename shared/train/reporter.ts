/**
 * Progress for people: one rewritten line on a terminal, a plain line now and then elsewhere. Writes to the stream it is given (the
 * standard error of the command line, never its output) and knows nothing of what is being counted.
 */
import { printable } from "../errors.ts";

export interface UnitsPerStep {
  readonly count: number;
  /** Plural: "images", "tokens". */
  readonly unit: string;
}

export interface StartOptions {
  /** Steps already done before this run; the rate leaves them out. */
  readonly first?: number;
  readonly unitsPerStep?: UnitsPerStep;
}

export interface Reporter {
  /** Begins a task of `total` steps (0: nobody knows how many); a task still running is finished first. */
  start(label: string, total: number, options?: StartOptions): void;
  /** `done` of `total` steps are finished; `metrics` are shown beside them, `loss` first. Ignored between tasks. */
  progress(done: number, metrics?: Readonly<Record<string, number>>): void;
  /** Ends the task with one last line. */
  finish(): void;
  /** A line of its own. */
  note(line: string): void;
  /** A line of its own that is written even when quiet. */
  warn(line: string): void;
}

export interface ReporterOptions {
  readonly stream: { write(text: string): unknown };
  readonly isTTY?: boolean;
  /** Width of the terminal, asked for each line, since windows are resized. */
  readonly columns?: () => number | undefined;
  /** Only warnings are written. */
  readonly quiet?: boolean;
  /** Milliseconds from any origin. */
  readonly now?: () => number;
}

interface Task {
  readonly label: string;
  readonly total: number;
  readonly unitsPerStep: UnitsPerStep | undefined;
  readonly startedAt: number;
  readonly rate: ReturnType<typeof createRate>;
  done: number;
  metrics: Readonly<Record<string, number>>;
  /** When a line was last written, and for how many finished steps. */
  writtenAt: number;
  writtenFor: number | undefined;
}

const TTY_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
const ERASE_LINE = "\r\u001b[2K";

export function createReporter(options: ReporterOptions): Reporter {
  const { stream, isTTY = false, quiet = false, now = () => performance.now() } = options;
  const interval = isTTY ? TTY_INTERVAL_MS : PLAIN_INTERVAL_MS;
  let task: Task | undefined;

  const draw = (current: Task, end: string): void => {
    if (quiet) return;
    const line = progressLine(current, { bar: isTTY, seconds: (now() - current.startedAt) / 1000 });
    stream.write(isTTY ? `${ERASE_LINE}${line.slice(0, (options.columns?.() ?? 80) - 1)}${end}` : `${line}\n`);
    current.writtenAt = now();
    current.writtenFor = current.done;
  };
  const writeLine = (line: string): void => {
    stream.write(`${isTTY && task !== undefined && !quiet ? ERASE_LINE : ""}${line}\n`);
    if (isTTY && task !== undefined) draw(task, "");
  };
  const reporter: Reporter = {
    start(label, total, { first = 0, unitsPerStep } = {}) {
      reporter.finish();
      const startedAt = now();
      const rate = createRate(first, startedAt);
      const metrics = {};
      task = {
        label,
        total,
        unitsPerStep,
        startedAt,
        rate,
        done: first,
        metrics,
        writtenAt: startedAt,
        writtenFor: undefined,
      };
      if (isTTY) draw(task, "");
    },
    progress(done, metrics = {}) {
      if (task === undefined) return;
      task.done = done;
      task.metrics = metrics;
      task.rate.update(done, now());
      if (now() - task.writtenAt >= interval) draw(task, "");
    },
    finish() {
      if (task === undefined) return;
      if (isTTY || task.writtenFor !== task.done) draw(task, "\n");
      task = undefined;
    },
    note(line) {
      if (!quiet) writeLine(line);
    },
    warn(line) {
      writeLine(`warning: ${printable(line)}`);
    },
  };
  return reporter;
}

/** A reporter that says nothing, for callers without a screen. */
export const silentReporter: Reporter = createReporter({ stream: { write: () => true }, quiet: true });

/**
 * Steps per second, as (steps done) / (time taken) with both sums fading by 1/e every 15 s: smooth, without a bias towards the
 * first measurement, and quick to follow a machine that becomes busy.
 */
function createRate(first: number, startedAt: number) {
  const FADE_SECONDS = 15;
  let [at, done, steps, seconds] = [startedAt, first, 0, 0];
  return {
    update(nowDone: number, now: number): void {
      const elapsed = (now - at) / 1000;
      const fade = Math.exp(-elapsed / FADE_SECONDS);
      steps = steps * fade + (nowDone - done);
      seconds = seconds * fade + elapsed;
      [at, done] = [now, nowDone];
    },
    perSecond: (): number | undefined => (steps > 0 && seconds > 0 ? steps / seconds : undefined),
  };
}

function progressLine(task: Task, options: { bar: boolean; seconds: number }): string {
  const { done, total, unitsPerStep } = task;
  const endless = total === 0;
  const fraction = endless ? 0 : Math.min(1, done / total);
  const percent = options.bar ? `[${bar(fraction, 20)}]` : `${Math.floor(fraction * 100)} %`;
  const perSecond = task.rate.perSecond();
  const parts = [endless ? `${done} ${unitsPerStep?.unit ?? "steps"}` : `${percent} ${done}/${total}`];
  if (perSecond !== undefined) {
    parts.push(
      unitsPerStep === undefined
        ? `${figure(perSecond)} steps/s`
        : `${figure(perSecond * unitsPerStep.count)} ${unitsPerStep.unit}/s`,
    );
  }
  if (endless) parts.push(`in ${formatDuration(options.seconds)}`);
  else if (done >= total) parts.push(`done in ${formatDuration(options.seconds)}`);
  else if (perSecond !== undefined) parts.push(`${formatDuration((total - done) / perSecond)} left`);
  const { loss, ...others } = task.metrics;
  if (loss !== undefined) parts.push(`loss ${figure(loss)}`);
  for (const [name, value] of Object.entries(others)) parts.push(`${name} ${figure(value)}`);
  return `${task.label} ${parts.join(" · ")}`;
}

function bar(fraction: number, width: number): string {
  const full = Math.floor(fraction * width);
  return "█".repeat(full) + "·".repeat(width - full);
}

/** Four significant digits, without an exponent for the sizes that occur. */
function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(4)));
}

/** Seconds as "12s", "3m05s" or "2h07m". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
}
