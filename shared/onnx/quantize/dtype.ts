/** What a published graph computes its products and convolutions in. Everything else stays float32. */
export const DTYPES = ["float32", "int8"] as const;
export type Dtype = (typeof DTYPES)[number];
