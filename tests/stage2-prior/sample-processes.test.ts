/** Sampling in several processes: the images of one, errors that come back, and nothing left behind. Processes run the transpiled sources. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Rng } from "../../shared/rng.ts";
import { loadPrior, type LoadPriorOptions, type Prior } from "../../stage2-prior/prior.ts";
import { usualSampleProcesses } from "../../stage2-prior/sample-processes.ts";
import { describePrior } from "../contracts/prior.ts";
import { transpileRooms } from "../pipelines/transpiled.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { FINGERPRINT, publishUntrained } from "./tiny-artifact.ts";
import { tinyPrior } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
let build: string;
let script: URL;
let directory: string;
beforeAll(async () => {
  build = transpileRooms(["shared", "stage2-prior"]);
  script = pathToFileURL(join(build, "stage2-prior/sample-process.js"));
  directory = await publishUntrained(tinyPrior(), temporary("prior"));
}, 60_000);
afterAll(() => rmSync(build, { recursive: true, force: true }));

const open = (options: LoadPriorOptions = {}): Promise<Prior> =>
  loadPrior(directory, { threads: 2, processes: 2, script, ...options });

async function withPrior<Result>(options: LoadPriorOptions, use: (prior: Prior) => Promise<Result>): Promise<Result> {
  const prior = await open(options);
  try {
    return await use(prior);
  } finally {
    await prior.dispose();
  }
}

let scripts = 0;
/** What answers every question with `answer(question)`. */
function scriptOf(answer: string): URL {
  const path = join(build, `script-${scripts++}.js`);
  writeFileSync(
    path,
    `import { badInput } from "./shared/errors.js";
     import { answerRequests } from "./shared/process-pool.js";
     answerRequests(async (question) => (${answer})(question));`,
  );
  return pathToFileURL(path);
}

describePrior({
  name: "causal, in two processes",
  spec: {
    ...{ objective: "causal", codebookSize: 7, grid: [4, 4], classes: ["x", "y", "z"] },
    ...{ maskSchedule: tinyPrior().maskSchedule, fingerprint: FINGERPRINT },
  },
  raster: true,
  open,
});

test.each(["causal", "masked"])(
  "images of a %s prior are the same, bit for bit, in any number of processes",
  async (objective) => {
    const own = await publishUntrained(tinyPrior({ objective }), temporary("prior"));
    const rng = Rng.fromSeed(7).fork("generate");
    rng.uniform(); // wherever the stream stands
    const samples: Int32Array[] = [];
    for (const processes of [1, 2, 3]) {
      const prior = await loadPrior(own, { threads: 2, processes, script });
      for (const batchSize of [16, 2])
        samples.push((await prior.sample({ count: 7, firstIndex: 3, rng, batchSize, className: "y" })).tokens);
      await prior.dispose();
    }
    for (const sample of samples) expect(sample).toEqual(samples[0]);
  },
);

test("batches are as many for each process and as equal as may be; each is told of with its size", async () => {
  const sizes = (processes: number, count: number, batchSize: number): Promise<number[]> =>
    withPrior({ processes }, async (prior) => {
      const told = new Map<number, number>();
      const onProgress = (newTokens: number, images: number): void => {
        told.set(images, (told.get(images) ?? 0) + newTokens);
      };
      await prior.sample({ count, batchSize, rng: Rng.fromSeed(1), onProgress });
      const each = [...told].flatMap(([size, tokens]) => Array<number>(tokens / (16 * size)).fill(size));
      return each.sort((a, b) => a - b);
    });
  expect(await sizes(1, 7, 5)).toEqual([3, 4]);
  expect(await sizes(2, 7, 5)).toEqual([3, 4]);
  expect(await sizes(2, 7, 3)).toEqual([1, 2, 2, 2]);
});

test("processes are as many as pay for themselves, where there is something to run", () => {
  const count = (images: number, threads: number): number => usualSampleProcesses(images, { threads, script });
  expect([-3, 1, 15, 16, 100].map((images) => count(images, 2))).toEqual([1, 1, 1, 2, 2]);
  expect([1, 5, 200].map((threads) => count(1000, threads))).toEqual([1, 5, 8]);
  expect(usualSampleProcesses(1000, { threads: 8 })).toBe(1); // among sources in TypeScript
});

test("processes share the threads; what they cannot load, or what ends them, is known before anything is drawn", async () => {
  const saying = scriptOf(`() => { throw badInput({ what: process.argv[3] }); }`);
  await expect(open({ threads: 5, dtype: "int8", script: saying })).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringContaining('{"threads":2,"dtype":"int8"}') as string,
  });
  await expect(open({ script: scriptOf("() => process.exit(9)") })).rejects.toThrow("exit code 9");
});

test("a process that dies while it samples is a failure that says so", async () => {
  const dying = scriptOf(`(question) => (question === "ready" ? undefined : process.kill(process.pid, "SIGKILL"))`);
  await withPrior({ script: dying }, async (prior) => {
    const sampling = prior.sample({ count: 4, rng: Rng.fromSeed(1) });
    await expect(sampling).rejects.toMatchObject({ exitCode: 1 });
    await expect(sampling).rejects.toThrow(/a process that samples.*SIGKILL/);
  });
});

test("once disposed it neither samples nor starts processes", async () => {
  const prior = await open();
  await prior.dispose();
  await expect(prior.sample({ count: 4, rng: Rng.fromSeed(1) })).rejects.toMatchObject({
    exitCode: 1,
    message: expect.stringMatching(/disposed/) as string,
  });
});

test("after an interruption the next sample is whole again", async () => {
  await withPrior({}, async (prior) => {
    const request = { count: 4, rng: Rng.fromSeed(1) };
    const whole = await prior.sample(request);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort(new Error("enough"));
    await expect(prior.sample({ ...request, signal: controller.signal, onProgress })).rejects.toThrow("enough");
    expect(await prior.sample(request)).toEqual(whole);
  });
});
