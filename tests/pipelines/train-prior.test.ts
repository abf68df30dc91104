/** What does not fit together is refused before anything is opened or written; counting priors from token files to images. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { silentReporter } from "../../shared/train/reporter.ts";
import { command } from "../../pipelines/commands/train-prior.ts";
import { COUNTING_OBJECTIVES } from "../../stage2-prior/index.ts";
import { drawFolder, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained } from "../stage1-tokenizer/tiny-artifact.ts";
import { tinyConfig } from "../stage1-tokenizer/tiny-config.ts";

const temporary = useTemporaryDirectory();

test("--heads with a pixelcnn is a usage error (2)", async () => {
  const options = command.args.parse({ objective: "pixelcnn", tokens: "none", out: "none", heads: 4 });
  const { signal } = new AbortController();
  const run = command.run(options, { reporter: silentReporter, print: () => undefined, signal });
  await expect(run).rejects.toMatchObject({ exitCode: 2, message: expect.stringMatching(/--heads/) as string });
});

describe("a counting prior", () => {
  let tokenizer: string;
  let training: string;
  let heldOut: string;

  beforeAll(async () => {
    const images = await drawFolder(temporary("images"), ["east", "west"], 12);
    tokenizer = await publishUntrained(tinyConfig({}), temporary("tokenizer"));
    [training, heldOut] = [temporary("training"), temporary("held-out")];
    const tokenize = ["tokenize", "--tokenizer", tokenizer, "--source", images, "--held-out", 0.4, "--threads", 1];
    expect(await tessera(...tokenize, "--split", "training", "--out", training)).toMatchObject({ code: 0 });
    expect(await tessera(...tokenize, "--split", "held-out", "--out", heldOut)).toMatchObject({ code: 0 });
  });

  const count = (objective: string, out: string, ...words: readonly (string | number)[]): Promise<Outcome> =>
    tessera("train-prior", "--objective", objective, "--tokens", training, "--out", out, ...words);
  const generate = (prior: string, out: string, ...words: readonly (string | number)[]): Promise<Outcome> =>
    tessera("generate", "--tokenizer", tokenizer, "--prior", prior, "--out", out, "--count", 3, ...words);

  test.each(COUNTING_OBJECTIVES)("%s: from token files to images, a film and its description", async (objective) => {
    const [prior, out, again] = [temporary(objective), temporary("made"), temporary("made")];
    const made = await count(objective, prior, "--held-out", heldOut, "--json");
    expect(made.code, made.stderr).toBe(0);
    expect(Object.keys(made.json ?? {})).toEqual(["path", "objective", "bitsPerToken", "measure", "parameters", "counts"]); // prettier-ignore
    expect(made.json).toMatchObject({ path: prior, objective, measure: "exact", parameters: null });
    expect(existsSync(`${prior}.run`)).toBe(false);

    const options = ["--seed", 5, "--temperature", 0.9, "--top-k", 7, "--top-p", 0.9];
    const sampled = await generate(prior, out, ...options, "--film", "--json");
    expect(sampled.code, sampled.stderr).toBe(0);
    expect(existsSync(join(out, "seed5-film.webp"))).toBe(true);
    expect(await generate(prior, again, ...options)).toMatchObject({ code: 0 });
    const pictures = [out, again].map((folder) => readFileSync(join(folder, "seed5-00002.png")));
    expect(pictures[0]?.equals(pictures[1] ?? Buffer.alloc(0))).toBe(true);

    const { code, json } = await tessera("inspect", prior, "--json");
    expect(code).toBe(0);
    const metrics = { bitsPerToken: made.json?.["bitsPerToken"] };
    expect(json).toMatchObject({ verified: true, kind: "prior", provenance: { metrics, from: { tokens: training } } });
  });

  test.each([
    [["--sampler", "halton"], /sampler.*markov2d/],
    [["--steps", 4], /steps.*markov2d/],
    [["--choice-temperature", 1], /choiceTemperature.*markov2d/],
    [["--class", "east"], /unconditional/],
    [["--class", "east", "--guidance", 2], /unconditional/],
  ] as const)("generate refuses %j, as of every prior of raster order (2)", async (wrong, sentence) => {
    const prior = temporary("prior");
    expect(await count("markov2d", prior)).toMatchObject({ code: 0 });
    const { code, stderr } = await generate(prior, temporary("out"), ...wrong);
    expect(code).toBe(2);
    expect(stderr).toMatch(sentence);
  });

  test.each([
    [["--preset", "emoji-small"], "--preset"],
    [["--steps", 5, "--layers", 1, "--heads", 2, "--width", 8], "--layers, --width, --heads, --steps"],
    [["--batch-size", 2, "--learning-rate", 0.1, "--dropout", 0], "--batch-size, --learning-rate, --dropout"],
    [["--minutes", 1, "--threads", 1], "--minutes, --threads"],
    [["--conditional", "--resume"], "--conditional, --resume"],
  ])("refuses %j, which is of networks, and names it (2)", async (wrong, named) => {
    const out = temporary("refused");
    const { code, stderr } = await count("unigram", out, ...wrong);
    expect(code).toBe(2);
    expect(stderr).toContain(named);
    expect(existsSync(out)).toBe(false);
  });

  test("is not put where something is, unless asked (2)", async () => {
    const out = temporary("prior");
    expect(await count("uniform", out)).toMatchObject({ code: 0 });
    expect(await count("uniform", out)).toMatchObject({ code: 2 });
    expect(await count("unigram", out, "--overwrite")).toMatchObject({ code: 0 });
  });
});
