/**
 * The front of this folder: sources, sets and their orders, preprocessing, decoding, batches, augmentation, sheets. Knows no model.
 */
export { augment, type Augmentation, type BatchShape } from "./augment.ts";
export { type Batches, type BatchesOptions, createBatches, type ImageBatch, type ImageFailure } from "./batches.ts";
export { checkBatchSize, describeImageFailure, noImage, type OnImageFailure } from "./batches.ts";
export { type CifarKind, openCifar } from "./sources/cifar-source.ts";
export { decodeImage, decodeRecord, type DecodedRecord, MAX_PIXELS, readRecord } from "./decode.ts";
export { createEmojiSource } from "./sources/emoji-source.ts";
export { losslessBytes, type LosslessBytes } from "./lossless.ts";
export { listOrder, type RecordOrder, streamOrder, type StreamOrderOptions } from "./order.ts";
export { findImageFiles, openFolderSource } from "./sources/folder-source.ts";
export { openLabelledSource } from "./sources/labelled-source.ts";
export { fitMask, type Mask, readMask } from "./mask.ts";
export { openPicture, type Picture } from "./picture.ts";
export { openIdx } from "./sources/idx-source.ts";
export { openParquet } from "./sources/parquet-source.ts";
export {
  createPreprocessing,
  parsePreprocessing,
  type Preprocessing,
  PreprocessingSchema,
  serializePreprocessing,
} from "./preprocess.ts";
export { type Film, writeFilm } from "./film.ts";
export { orderOf, type OrderOptions, recordSet, type RecordSet, SHUFFLE_BUFFER, splitSource } from "./record-set.ts";
export { type Records, takeEvenly } from "./record-set.ts";
export { type ImageContent, type ImageRecord, type ImageSource, iterateRecords } from "./source.ts";
export { listRecords, type RawPixels } from "./source.ts";
export { DEFAULT_SALT, isHeldOut, splitByFamily, type SplitOptions } from "./split.ts";
export { streamImages, type StreamOptions } from "./stream.ts";
export { type RecordSurvey, surveyRecords } from "./survey.ts";
export { expandShards } from "./sources/webdataset-shards.ts";
export { openWebDataset } from "./sources/webdataset-source.ts";
export { drawSheet, encodePng, type SheetLayout, type Tile, writeSheet } from "./write.ts";
