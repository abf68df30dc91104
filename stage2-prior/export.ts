/** Publishes a trained prior: the graph traced from the training code with the weights frozen in. See artifacts/README.md. */
import { createProvenance, publishArtifact, type Provenance } from "../shared/artifact.ts";
import type { Arrays, PureFunction, Signature, Tensors } from "../shared/engine/engine.ts";
import { exportFunction } from "../shared/engine/export.ts";
import type { TraceInput } from "../shared/engine/trace/trace.ts";
import { entryOf } from "../shared/nn/state.ts";
import { encodeState } from "../shared/train/checkpoint.ts";
import type { PriorConfig } from "./config.ts";
import { priorManifestConfig } from "./manifest.ts";
import { networkOf, sizeOfPrior } from "./model/index.ts";
import { forwardCached } from "./model/transformer.ts";
import { GRAPH_FILE, MEASURE_REMARKS, MEASURES, PAST_LENGTH, pastNames, presentNames } from "./signature.ts";
import { evaluationWeights } from "./training-step.ts";

export interface TrainedPrior {
  readonly config: PriorConfig;
  /** Of the tokenizer whose tokens it learnt. */
  readonly fingerprint: string;
  readonly classes: readonly string[];
  readonly state: { readonly spec: Signature; readonly values: Arrays };
  /** Held-out, on its own objective. */
  readonly bitsPerToken: number;
  readonly parameters: number;
}

export interface PublishPriorOptions {
  readonly directory: string;
  readonly provenance?: Partial<Provenance>;
  readonly overwrite?: boolean;
}

/** @throws usage if the directory exists; failure if the disk refuses. */
export async function publishPrior(trained: TrainedPrior, options: PublishPriorOptions): Promise<void> {
  const { config, fingerprint, bitsPerToken } = trained;
  const weights = { spec: evaluationWeights(trained.state.spec), values: evaluationWeights(trained.state.values) };
  const shape = { ...config, classes: config.classes === 0 ? [] : trained.classes };
  const manifestConfig = JSON.parse(JSON.stringify(priorManifestConfig(shape, config))) as Record<string, never>;
  await publishArtifact({
    directory: options.directory,
    kind: "prior",
    config: manifestConfig,
    fingerprint,
    provenance: createProvenance({ ...options.provenance, metrics: { bitsPerToken } }),
    overwrite: options.overwrite ?? false,
    files: {
      [GRAPH_FILE]: config.objective === "causal" ? exportCausal(config, weights) : exportFullGrid(config, weights),
      "model.safetensors": encodeState(weights),
      "config.json": `${JSON.stringify(manifestConfig, null, 2)}\n`,
      "README.md": modelCard(trained),
    },
  });
}

interface Weights {
  readonly spec: Signature;
  readonly values: Arrays;
}

/** Conditional graphs have the class as an input; the others need none, but the forward pass is the same. */
const classInput = ({ classes }: PriorConfig): Record<string, TraceInput> =>
  classes === 0 ? {} : { class: { shape: ["N"], dtype: "int64" } };

/** The forward pass ignores class ids where there are no classes: the token ids stand in. */
const inputOf = (inputs: Tensors) => ({
  ids: entryOf(inputs, "tokens"),
  classIds: inputs["class"] ?? entryOf(inputs, "tokens"),
});

/** tokens int64 [N,L], class int64 [N] → logits float32 [N,L,K]. */
export function exportFullGrid(config: PriorConfig, weights: Weights): Uint8Array {
  const { codebookSize, grid } = config;
  const length = grid[0] * grid[1];
  const fn: PureFunction = (inputs) => ({
    logits: networkOf(config).forward(inputs, inputOf(inputs)),
  });
  return exportFunction(fn, {
    name: `tessera-${config.objective}-prior`,
    doc: `tokens: int64 [N, ${length}], ${codebookSize} = unknown. logits: float32 [N, ${length}, ${codebookSize}].`,
    inputs: { tokens: { shape: ["N", length], dtype: "int64" }, ...classInput(config) },
    weights,
  });
}

/** tokens int64 [N,T], class int64 [N], past_length int64 [1], past → logits float32 [N,T,K], present: the new rows only. */
export function exportCausal(config: PriorConfig, weights: Weights): Uint8Array {
  const { codebookSize, width, heads, layers } = config;
  const rows: TraceInput = { shape: ["N", heads, "R", width / heads], dtype: "float32" };
  const pastInputs: Record<string, TraceInput> = { [PAST_LENGTH]: { shape: [1], dtype: "int64" } };
  for (let i = 0; i < layers; i++)
    Object.assign(pastInputs, { [pastNames(i).keys]: rows, [pastNames(i).values]: rows });
  const fn: PureFunction = (inputs) => {
    const caches = Array.from({ length: layers }, (_, i) => ({
      keys: entryOf(inputs, pastNames(i).keys),
      values: entryOf(inputs, pastNames(i).values),
    }));
    const past = { length: entryOf(inputs, PAST_LENGTH), caches };
    const { logits, present } = forwardCached(inputs, { ...inputOf(inputs), past }, sizeOfPrior(config));
    const outputs: Record<string, (typeof caches)[number]["keys"]> = { logits };
    for (const [i, { keys, values }] of present.entries()) {
      Object.assign(outputs, { [presentNames(i).keys]: keys, [presentNames(i).values]: values });
    }
    return outputs;
  };
  return exportFunction(fn, {
    name: "tessera-causal-prior",
    doc: `tokens: int64 [N, T], the tokens before the T next positions, ${codebookSize} at the very start. past: [N, heads, R, head dimension] per layer, of which the first past_length rows count.`,
    inputs: { tokens: { shape: ["N", "T"], dtype: "int64" }, ...classInput(config), ...pastInputs },
    weights,
  });
}

function modelCard({ config, fingerprint, bitsPerToken, parameters }: TrainedPrior): string {
  const { objective, grid, codebookSize } = config;
  return `# Tessera prior (${objective})

${networkOf(config).description} (${parameters.toLocaleString("en-US")} parameters) over ${grid.join("×")} tokens of ${codebookSize} codes.

- \`${GRAPH_FILE}\`: signature "${objective}" of the prior contract
- \`model.safetensors\`: the weights by name; \`manifest.json\`: digests, configuration, provenance
- learnt the tokens of tokenizer \`${fingerprint}\`; another tokenizer's are refused

held-out bits/token: ${bitsPerToken.toFixed(3)} (${MEASURE_REMARKS[MEASURES[objective]]}).
`;
}
