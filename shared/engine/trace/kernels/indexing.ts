/** Kernels that look up, scatter and compare indices. */
import { gather, oneHot } from "../../graph/operators/indexing.ts";
import { matMul, swapLast } from "../../graph/operators/linear.ts";
import { reshape } from "../../graph/operators/shape.ts";
import { sizeOf } from "../../../records.ts";
import type { tf } from "../../tf.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

export const INDEXING: readonly TraceKernel[] = [
  kernel<"x" | "indices", tf.GatherV2Attrs>("GatherV2", (g, { x, indices }, { axis, batchDims }) => {
    if (batchDims !== 0) throw new Error("GatherV2 with batchDims has no recording kernel: use a one-hot product.");
    return gather(g, x, indices, axis < 0 ? axis + x.shape.length : axis);
  }),
  kernel<"indices", tf.OneHotAttrs>("OneHot", (g, { indices }, { depth, onValue, offValue }) =>
    oneHot(g, indices, depth, [offValue, onValue]),
  ),
  // One product with a one-hot matrix: deterministic whatever the number of threads, which a parallel scatter-add is not.
  kernel<"x" | "segmentIds", tf.UnsortedSegmentSumAttrs>(
    "UnsortedSegmentSum",
    (g, { x, segmentIds }, { numSegments }) => {
      const count = sizeOf(segmentIds.shape);
      const rest = x.shape.slice(segmentIds.shape.length);
      const membership = oneHot(g, reshape(g, segmentIds, [count]), numSegments, [0, 1]);
      const sums = matMul(g, swapLast(g, membership), reshape(g, x, [count, sizeOf(rest)]));
      return reshape(g, sums, [numSegments, ...rest]);
    },
  ),
];
