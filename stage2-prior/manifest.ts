/** What a prior's manifest says about its graph or counts, checked: the bridge from an artefact of anybody's making to a `Prior`. */
import { z } from "zod";

import type { Manifest } from "../shared/artifact.ts";
import { parseConfig } from "../shared/config.ts";
import { badInput } from "../shared/errors.ts";
import { MASK_SCHEDULES } from "./mask-schedule.ts";
import { isCounting, MEASURES, OBJECTIVES, type PriorShape, type PriorSpec } from "./signature.ts";

const size = z
  .int()
  .min(1)
  .max(1 << 20);

/** Fields of the training configuration follow in the same record; they decide nothing here. */
const shapeSchema = z
  .looseObject({
    objective: z.enum(OBJECTIVES),
    codebookSize: size.min(2),
    grid: z.tuple([size, size]),
    classes: z.array(z.string()),
    maskSchedule: z.enum(Object.keys(MASK_SCHEDULES) as [keyof typeof MASK_SCHEDULES]).default("cosine"),
  })
  .superRefine(({ objective, classes }, context) => {
    if (!isCounting(objective) || classes.length === 0) return;
    context.addIssue({ code: "custom", path: ["classes"], message: `must be empty: a ${objective} prior knows none` });
  });

/** The manifest's `config` of a prior; `measure` says what its metric `bitsPerToken` is. */
export const priorManifestConfig = (shape: PriorShape, config: object): Record<string, unknown> => ({
  ...config,
  ...shape,
  measure: MEASURES[shape.objective],
});

/** @throws bad-input naming the fields that are missing or do not fit. */
export function parsePriorManifest(manifest: Manifest, directory: string): PriorSpec {
  const { fingerprint } = manifest;
  if (fingerprint === undefined) {
    throw badInput({
      what: "the manifest does not say whose tokens the prior learnt",
      where: directory,
      expected: "fingerprint",
    });
  }
  const { objective, codebookSize, grid, classes, maskSchedule } = parseConfig(
    shapeSchema,
    manifest.config,
    `${directory}: config`,
  );
  return { fingerprint, objective, codebookSize, grid, classes, maskSchedule };
}
