/** Every recording kernel, by family. */
import { CONVOLUTION } from "./convolution.ts";
import { CREATION } from "./creation.ts";
import { ELEMENTWISE } from "./elementwise.ts";
import { INDEXING } from "./indexing.ts";
import { REDUCTION } from "./reduction.ts";
import { SHAPE } from "./shape.ts";
import type { TraceKernel } from "../kernel.ts";

export const KERNELS: readonly TraceKernel[] = [
  ...ELEMENTWISE,
  ...REDUCTION,
  ...CONVOLUTION,
  ...SHAPE,
  ...INDEXING,
  ...CREATION,
];
