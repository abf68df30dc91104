/** The order of the passes: what each assumes of the ones before it. */
import type { Graph } from "./graph.ts";
import { eliminateCommon, eliminateDead, mergeReshapes } from "./passes/eliminate.ts";
import { foldConstants } from "./passes/fold-constants.ts";
import { foldUniforms } from "./passes/fold-uniforms.ts";
import { fuseBias, reuseRelu } from "./passes/fuse-conv.ts";
import { fuseSum } from "./passes/fuse-sum.ts";
import { sinkTransposes } from "./passes/sink-transposes.ts";

export function optimize(graph: Graph): Graph {
  const folded = [eliminateDead, foldUniforms, foldConstants, foldUniforms].reduce((g, pass) => pass(g), graph);
  // Transposes sink twice: the first round turns some of them into reshapes that the common-subexpression pass then merges.
  const laidOut = [eliminateCommon, sinkTransposes, eliminateCommon, eliminateDead].reduce(
    (g, pass) => pass(g),
    folded,
  );
  return [fuseBias, reuseRelu, mergeReshapes, foldConstants, eliminateCommon, fuseSum, eliminateDead].reduce(
    (g, pass) => pass(g),
    laidOut,
  );
}
