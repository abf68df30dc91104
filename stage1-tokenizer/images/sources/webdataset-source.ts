/**
 * Shards in WebDataset's layout, read in place: an image is a byte range of an archive. Knows samples and their labels, never pixels;
 * what it keeps does not grow with the number of samples.
 */
import type { Stats } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import { badInput, type TesseraError } from "../../../shared/errors.ts";
import { createKeyHashes } from "./key-hashes.ts";
import { orderClasses } from "./class-names.ts";
import type { ImageRecord, ImageSource } from "../source.ts";
import { readTarMember } from "./tar.ts";
import { listSamples, readLabel, type Sample } from "./webdataset-samples.ts";

/** An archive as it was when it was opened. */
interface Shard {
  readonly path: string;
  readonly size: number;
  readonly modified: number;
}

interface Summary {
  readonly classes: readonly string[];
  readonly images: number;
  readonly imageless: number;
}

/** More than any image within `MAX_PIXELS` takes. */
const MAX_IMAGE_BYTES = 2 ** 29;

/**
 * Opens shards in the order given; samples keep the archives' order. The opening reads all headers and labels once, `records()` again
 * on every call. Integer labels are classes "0", "1", … without gaps in numeric order, text labels are sorted by code point.
 * @throws bad-input if a shard is missing, damaged or compressed; if a key comes twice, in one shard or two; if a sample has two
 *   images, a link for one, or a malformed label; if there is no image at all.
 */
export async function openWebDataset(paths: readonly string[]): Promise<ImageSource> {
  const shards = await Promise.all(paths.map(inspectShard));
  const { classes, images, imageless } = await summarize(shards);
  const [first = ""] = paths;
  if (images === 0) {
    throw badInput({ what: "no image in the archive", where: first, expected: "a .jpg, .jpeg, .png or .webp member" });
  }
  const labels = new Map(classes.map((name, label) => [name, label]));
  const others = paths.length > 1 ? ` and ${paths.length - 1} more` : "";
  return {
    name: `webdataset ${basename(first)}${others}`,
    classes,
    notes: imagelessNotes(imageless, `${first}${others}`),
    async *records() {
      for (const shard of shards) {
        for await (const { sample, label } of labelledSamples(shard)) {
          if (sample.image === undefined) continue;
          const index = label === undefined ? undefined : labels.get(label);
          if (label !== undefined && index === undefined) throw changed(shard.path);
          yield toRecord(shard, sample.key, { image: sample.image, label: index });
        }
      }
    },
  };
}

function imagelessNotes(count: number, where: string): string[] {
  if (count === 0) return [];
  return [
    `${where}: ${count === 1 ? "1 sample holds no image and is" : `${count} samples hold no image and are`} left out`,
  ];
}

/** Only what finds the bytes again stays with the record. */
function toRecord(
  shard: Shard,
  key: string,
  of: { image: { start: number; size: number }; label?: number | undefined },
) {
  const { start, size } = of.image;
  const record: ImageRecord = { key, family: key, read: () => readImage(shard, key, { start, size }) };
  return of.label === undefined ? record : { ...record, label: of.label };
}

async function readImage(shard: Shard, key: string, range: { start: number; size: number }): Promise<Uint8Array> {
  if (range.size > MAX_IMAGE_BYTES) {
    const expected = `at most ${MAX_IMAGE_BYTES} bytes`;
    throw badInput({ what: "image is too large", where: key, expected, got: String(range.size) });
  }
  const file = await openShard(shard);
  try {
    return await readTarMember(file, range, shard.path);
  } finally {
    await file.close();
  }
}

async function summarize(shards: readonly Shard[]): Promise<Summary> {
  const names = new Set<string>();
  const hashes = createKeyHashes();
  let [images, imageless] = [0, 0];
  for (const shard of shards) {
    for await (const { sample, label } of labelledSamples(shard)) {
      hashes.add(sample.key);
      if (sample.image === undefined) imageless++;
      else images++;
      if (label !== undefined) names.add(label);
    }
  }
  await refuseRepeated(shards, hashes.repeated());
  return { classes: orderClasses(names), images, imageless };
}

/** @throws bad-input naming both places of the first key that comes twice. */
async function refuseRepeated(
  shards: readonly Shard[],
  isSuspect: ((key: string) => boolean) | undefined,
): Promise<void> {
  if (isSuspect === undefined) return;
  const seen = new Map<string, string>();
  for (const shard of shards) {
    for await (const { sample } of labelledSamples(shard)) {
      if (!isSuspect(sample.key)) continue;
      const earlier = seen.get(sample.key);
      if (earlier !== undefined) throw repeated(sample, earlier);
      seen.set(sample.key, sample.where);
    }
  }
}

/** Samples with their labels; a sample without an image needs none. */
async function* labelledSamples(shard: Shard): AsyncGenerator<{ sample: Sample; label: string | undefined }> {
  const file = await openShard(shard);
  try {
    for await (const sample of listSamples(file, shard.path)) {
      yield { sample, label: sample.image === undefined ? undefined : await readLabel(file, sample, shard.path) };
    }
  } finally {
    await file.close();
  }
}

async function inspectShard(path: string): Promise<Shard> {
  let stats: Stats;
  try {
    stats = await stat(path);
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
  if (!stats.isFile()) throw badInput({ what: "is no file", where: path, expected: "a tar archive" });
  return { path, size: stats.size, modified: stats.mtimeMs };
}

/** @throws bad-input if the archive is gone or no longer the one that was opened. */
async function openShard({ path, size, modified }: Shard): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
  const stats = await file.stat();
  if (stats.size === size && stats.mtimeMs === modified) return file;
  await file.close();
  throw changed(path);
}

function cannotOpen(path: string, cause: unknown): TesseraError {
  return badInput({ what: "archive cannot be opened", where: path, expected: "a tar archive", cause });
}

function changed(path: string): TesseraError {
  return badInput({ what: "archive has changed since it was opened", where: path, todo: "Start again" });
}

function repeated({ key, where }: Sample, earlier: string): TesseraError {
  return badInput({
    what: `sample ${key} comes twice`,
    where,
    expected: "one sample of that name, its members side by side",
    got: `another at ${earlier}`,
    todo: "Sort the members by name, and give every sample a name of its own",
  });
}
