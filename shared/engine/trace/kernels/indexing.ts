/** Kernels that look up, scatter and compare indices. */
import { gather, oneHot, scatterAdd } from "../../graph/operators/indexing.ts";
import { matMul, swapLast } from "../../graph/operators/linear.ts";
import { reshape } from "../../graph/operators/shape.ts";
import { sizeOf } from "../../../records.ts";
import type { tf } from "../../tf.ts";
import { kernel, type TraceKernel } from "../kernel.ts";

/**
 * Segment sums are a product with a one-hot matrix, whose work grows with the number of segments, or a scatter, which the runtime does on one
 * thread in the order of the rows (both give equal results in every run). On two threads the product of 128 segments took half the time of the
 * scatter, of 512 twice: 16,384 rows of 64, and 4,096 of 256. Ids are 0 … segments − 1: what others would do differs between the two.
 */
const MOST_IN_PRODUCT = 256;
/** Counts and the like: a product would be all overhead. */
const WIDEST_SCATTERED = 4;

export const INDEXING: readonly TraceKernel[] = [
  kernel<"x" | "indices", tf.GatherV2Attrs>("GatherV2", (g, { x, indices }, { axis, batchDims }) => {
    if (batchDims !== 0) throw new Error("GatherV2 with batchDims has no recording kernel: use a one-hot product.");
    return gather(g, x, indices, axis < 0 ? axis + x.shape.length : axis);
  }),
  kernel<"indices", tf.OneHotAttrs>("OneHot", (g, { indices }, { depth, onValue, offValue }) =>
    oneHot(g, indices, depth, [offValue, onValue]),
  ),
  kernel<"x" | "segmentIds", tf.UnsortedSegmentSumAttrs>(
    "UnsortedSegmentSum",
    (g, { x, segmentIds }, { numSegments }) => {
      const count = sizeOf(segmentIds.shape);
      const rest = x.shape.slice(segmentIds.shape.length);
      const width = sizeOf(rest);
      const rows = reshape(g, x, [count, width]);
      const ids = reshape(g, segmentIds, [count]);
      if (width <= WIDEST_SCATTERED || numSegments > MOST_IN_PRODUCT)
        return reshape(g, scatterAdd(g, rows, ids, numSegments), [numSegments, ...rest]);
      const sums = matMul(g, swapLast(g, oneHot(g, ids, numSegments, [0, 1])), rows);
      return reshape(g, sums, [numSegments, ...rest]);
    },
  ),
];
