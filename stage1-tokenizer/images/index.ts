/**
 * The front of this folder: sources, preprocessing, decoding, batches, sheets. Knows no model.
 */
export { type Batches, type BatchesOptions, createBatches, type ImageBatch, type ImageFailure } from "./batches.ts";
export type { OnImageFailure } from "./batches.ts";
export { type CifarKind, openCifar } from "./cifar-source.ts";
export { decodeImage, decodeRecord, type DecodedRecord, MAX_PIXELS } from "./decode.ts";
export { createEmojiSource } from "./emoji-source.ts";
export { openFolderSource } from "./folder-source.ts";
export { openIdx } from "./idx-source.ts";
export { openParquet } from "./parquet-source.ts";
export {
  createPreprocessing,
  parsePreprocessing,
  type Preprocessing,
  PreprocessingSchema,
  serializePreprocessing,
} from "./preprocess.ts";
export { type ImageContent, type ImageRecord, type ImageSource, iterateRecords } from "./source.ts";
export { listRecords, type RawPixels } from "./source.ts";
export { DEFAULT_SALT, isHeldOut, splitByFamily, type SplitOptions } from "./split.ts";
export { streamImages, type StreamOptions } from "./stream.ts";
export { drawSheet, encodePng, type SheetLayout, type Tile, writeSheet } from "./write.ts";
