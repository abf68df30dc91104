/** `tessera import-prior`: an ONNX file from elsewhere → a published prior. */
import { z } from "zod";

import { usageError } from "../../shared/errors.ts";
import { openTokens } from "../../shared/token-file/index.ts";
import type { TokenizerSpec } from "../../shared/tokens.ts";
import { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import {
  importPrior,
  MASK_SCHEDULES,
  MEASURE_REMARKS,
  MEASURES,
  LEARNT_OBJECTIVES,
  type LearntObjective,
} from "../../stage2-prior/index.ts";
import { artifactPath, claimOutput, outputOptions } from "../artifacts.ts";
import { defineCommand, formatTable } from "../command.ts";
import { sessionOptions, threadsOption } from "../engines.ts";
import { option } from "../options.ts";

const SCHEDULES = Object.keys(MASK_SCHEDULES) as [keyof typeof MASK_SCHEDULES];

export const command = defineCommand({
  meta: {
    name: "import-prior",
    summary:
      "Check that an ONNX file from elsewhere is a prior of a tokenizer's tokens, and publish it, unchanged, beside those trained here.",
    examples: [
      [
        "tessera import-prior bert.onnx --objective masked --tokenizer emoji --held-out emoji-held-out --out emoji-bert",
        "an unconditional masked prior, measured",
      ],
      [
        "tessera import-prior gpt.onnx --objective causal --tokenizer digits --classes-of digits-training --out digits-gpt",
        "one that takes the classes of a token set",
      ],
    ],
    positional: "model",
  },
  args: z.strictObject({
    model: option(z.string().min(1), { describe: "ONNX file with the signature of a prior (artifacts/README.md)" }),
    objective: option(z.enum(LEARNT_OBJECTIVES), { describe: "What it learnt to predict" }),
    tokenizer: option(z.string().min(1), {
      describe: "Name or path of the tokenizer whose tokens it learnt",
      alias: "t",
    }),
    classes: option(z.string().min(1).optional(), {
      describe: "Names of its classes in the order of their ids, with commas between (default: unconditional)",
    }),
    classesOf: option(z.string().min(1).optional(), {
      describe: "Token set whose classes it takes, instead of --classes",
    }),
    maskSchedule: option(z.enum(SCHEDULES).optional(), {
      describe: "How much is masked, for masked and diffusion priors (default cosine)",
    }),
    heldOut: option(z.string().min(1).optional(), { describe: "Name or path of a token set to measure bits/token on" }),
    ...outputOptions("prior"),
    ...threadsOption,
  }),
  async run(options, { reporter, signal }) {
    const { model: file, objective } = options;
    const maskSchedule = maskScheduleOf(options);
    const directory = artifactPath("prior", options.out);
    await claimOutput(directory, options);
    const session = sessionOptions(options);
    const tokenizer = await specOf(artifactPath("tokenizer", options.tokenizer), session);
    const classes = await classesOf(options, tokenizer);
    const { fingerprint } = tokenizer;
    const heldOut =
      options.heldOut === undefined
        ? undefined
        : await openTokens(artifactPath("tokens", options.heldOut), { fingerprint });
    reporter.note(`checking ${file}`);
    const images = heldOut?.count ?? 0;
    let measuring = false;
    const { sha256, bitsPerToken } = await importPrior({
      ...{ file, tokenizer, objective, classes, maskSchedule, heldOut, directory, session, signal },
      overwrite: options.overwrite,
      onProgress: (share) => {
        if (!measuring) reporter.start("measure", images, { unitsPerStep: { count: 1, unit: "images" } });
        measuring = true;
        reporter.progress(Math.round(share * images));
      },
    });
    reporter.finish();
    const measure = MEASURES[objective];
    return {
      json: {
        path: directory,
        objective,
        classes: classes.length,
        sha256,
        bitsPerToken: bitsPerToken ?? null,
        measure,
      },
      text: formatTable([
        ["prior", directory],
        ["objective", objective],
        ["classes", classes.length === 0 ? "unconditional" : String(classes.length)],
        ...(bitsPerToken === undefined
          ? []
          : [["held-out bits/token", `${bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[measure]})`]]),
      ]),
    };
  },
});

/** @throws usage where nothing is masked */
function maskScheduleOf(options: { objective: LearntObjective; maskSchedule?: string | undefined }): string {
  const { objective, maskSchedule } = options;
  const masks = objective === "masked" || objective === "diffusion";
  if (maskSchedule === undefined || masks) return maskSchedule ?? MASK_SCHEDULES.cosine.name;
  throw usageError({
    what: `a ${objective} prior masks nothing`,
    where: "--mask-schedule",
    todo: "Leave --mask-schedule out.",
  });
}

/** @throws as `loadTokenizer`, which checks that the fingerprint is that of the encoder */
async function specOf(directory: string, session: { threads?: number }): Promise<TokenizerSpec> {
  const tokenizer = await loadTokenizer(directory, session);
  await tokenizer.dispose();
  return tokenizer.spec;
}

/** @throws usage for two lists of classes, or a token set without any */
async function classesOf(
  { classes, classesOf: set }: { classes?: string | undefined; classesOf?: string | undefined },
  { fingerprint }: TokenizerSpec,
): Promise<readonly string[]> {
  if (set === undefined) return classes?.split(",").map((name) => name.trim()) ?? [];
  if (classes !== undefined) throw usageError({ what: "--classes and --classes-of name the classes twice", todo: "Leave one of them out." }); // prettier-ignore
  const { header, directory } = await openTokens(artifactPath("tokens", set), { fingerprint });
  if (header.classes.length > 0) return header.classes;
  throw usageError({
    what: "the token set has no classes",
    where: directory,
    todo: "Leave --classes-of out for an unconditional prior.",
  });
}
