/**
 * How an image becomes [H, W, 3] pixels, as plain JSON: part of a tokenizer's fingerprint. Knows no image library and no file.
 */
import { z } from "zod";
import { badInput } from "../../shared/errors.ts";

const side = z.int().min(1).max(8192);
const byte = z.int().min(0).max(255);

/** Unknown keys fail. What has one legal value is written down all the same: another value would be other pixels. */
export const PreprocessingSchema = z.strictObject({
  /** [H, W] in pixels. */
  size: z.tuple([side, side]),
  /** cover crops to the middle, contain pads with `background`, fill stretches. */
  fit: z.enum(["cover", "contain", "fill"]),
  kernel: z.enum(["nearest", "linear", "cubic", "mitchell", "lanczos2", "lanczos3"]),
  /** [R, G, B] under transparent pixels and around contained images. */
  background: z.tuple([byte, byte, byte]),
  colourSpace: z.literal("srgb"),
  /** Turned upright by the EXIF orientation. */
  autoOrient: z.literal(true),
  /** Halving JPEG and WebP while loading is faster, but gives other pixels. */
  fastShrinkOnLoad: z.literal(false),
});

export type Preprocessing = Readonly<z.infer<typeof PreprocessingSchema>>;

export interface PreprocessingChanges {
  readonly fit?: Preprocessing["fit"];
  readonly kernel?: Preprocessing["kernel"];
  readonly background?: readonly [r: number, g: number, b: number];
}

/** Cover, Lanczos-3, white background, unless `changes` says otherwise. @throws bad-input on a value out of range. */
export function createPreprocessing(
  size: readonly [height: number, width: number],
  changes: PreprocessingChanges = {},
): Preprocessing {
  const defaults = {
    fit: "cover",
    kernel: "lanczos3",
    background: [255, 255, 255],
    colourSpace: "srgb",
    autoOrient: true,
    fastShrinkOnLoad: false,
  };
  return parsePreprocessing({ size: [...size], ...defaults, ...changes }, "preprocessing");
}

/** @throws bad-input naming the field, if `value` (parsed JSON) is no preprocessing record. */
export function parsePreprocessing(value: unknown, where: string): Preprocessing {
  const result = PreprocessingSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    ({ path, message }) => `${path.map(String).join(".") || "record"}: ${message}`,
  );
  throw badInput({ what: `preprocessing record is not valid: ${problems.join("; ")}`, where });
}

/** One text for equal records, whatever the order of their keys: what the fingerprint hashes. */
export function serializePreprocessing(preprocessing: Preprocessing): string {
  return JSON.stringify(parsePreprocessing(preprocessing, "preprocessing")); // strictObject returns its keys in schema order
}
