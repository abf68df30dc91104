/**
 * What the footer of a Parquet file says: row groups, the column of images, the column of labels, the names of the classes. Knows
 * how data sets of images name and nest these; reads no row.
 */
import { basename } from "node:path";
import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaElement, type SchemaTree } from "hyparquet";
import { z } from "zod";
import { badInput, TesseraError } from "../../../shared/errors.ts";
import type { ParquetChunk, ParquetColumn } from "./parquet-column.ts";
import { openRangedFile, type RangedFile } from "./ranged-file.ts";
import { readThrift } from "./thrift.ts";

export interface ParquetFile {
  readonly file: RangedFile;
  /** File name without ".parquet". */
  readonly stem: string;
  /** Rows of each row group. */
  readonly groups: readonly number[];
  /** Of bytes. */
  readonly images: ParquetColumn;
  readonly labels?: LabelColumn;
}

export interface LabelColumn extends ParquetColumn {
  readonly kind: "integer" | "string";
  /** Names of the integers 0, 1, …; empty if the file has none. */
  readonly names: readonly string[];
}

const MAGIC = "PAR1";
/** Length of the footer and the magic behind it. */
const TAIL = 8;
/** Footers of real files have kilobytes. */
const MAX_FOOTER = 2 ** 26;
/** A list of that many rows is the least that decoding takes, and a few bytes can say it. */
const MAX_GROUP_ROWS = 2 ** 24;
/** Before what "huggingface" calls an image or a class label. */
const IMAGE_NAMES = ["image", "img", "image_bytes", "bytes"];
const LABEL_NAMES = ["label", "class"];

const Count = z.bigint().min(0n).max(BigInt(Number.MAX_SAFE_INTEGER)).transform(Number);
/** What is used of the footer; the library takes the presence of all of it on trust. */
const Footer = z.object({
  schema: z.array(z.object({ name: z.string() })).min(1),
  num_rows: Count,
  row_groups: z.array(
    z.object({
      num_rows: Count.refine((rows) => rows <= MAX_GROUP_ROWS, `more than ${MAX_GROUP_ROWS} rows in a group`),
      columns: z.array(
        z.object({
          file_path: z.undefined("columns in other files are not read").optional(),
          meta_data: z.object({
            path_in_schema: z.array(z.string()),
            codec: z.enum(["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"]),
            num_values: Count,
            total_compressed_size: Count,
            data_page_offset: Count,
            dictionary_page_offset: Count.optional(),
          }),
        }),
      ),
    }),
  ),
});
type Footer = z.output<typeof Footer>;

/** Key-value metadata as the library `datasets` writes it. */
const HuggingFace = z.object({ info: z.object({ features: z.record(z.string(), z.unknown()) }) });
const Feature = z.object({ _type: z.string(), names: z.array(z.string()).optional() });

/** @throws bad-input if the file is no Parquet, its footer does not hold together, or it has no column of images. */
export async function openParquetFile(path: string): Promise<ParquetFile> {
  const file = await openRangedFile(path, "Parquet file");
  const metadata = await readFooter(file);
  try {
    const footer = Footer.parse(metadata);
    const tree = parquetSchema(metadata).children;
    const features = readFeatures(metadata);
    checkRows(footer, path);
    const images = findImages(tree, features, path);
    const labels = findLabels(tree, features, path);
    return {
      file,
      stem: basename(path, ".parquet"),
      groups: footer.row_groups.map((group) => group.num_rows),
      images: { elements: images, chunks: findChunks(footer, images) },
      ...(labels && { labels: { ...labels, chunks: findChunks(footer, labels.elements) } }),
    };
  } catch (cause) {
    throw asBadInput(cause, path);
  }
}

async function readFooter(file: RangedFile): Promise<FileMetaData> {
  const { path: where, size } = file;
  const [head, tail] = size < MAGIC.length + TAIL ? ["", ""] : await readMagic(file);
  if (head !== MAGIC || tail !== MAGIC) {
    const what = head === MAGIC ? "Parquet file is cut off: it has no footer" : "file is no Parquet";
    const todo = tail === "PARE" ? "Encrypted files are not read" : "Download it again or check the path";
    throw badInput({ what, where, expected: `${MAGIC} at both ends`, got: JSON.stringify([head, tail]), todo });
  }
  const length = new DataView((await file.read(size - TAIL, 4)).buffer).getUint32(0, true);
  const room = size - MAGIC.length - TAIL;
  if (length > Math.min(room, MAX_FOOTER)) {
    throw badInput({
      what: "length of the Parquet footer cannot be right",
      where,
      expected: `at most ${Math.min(room, MAX_FOOTER)} bytes`,
      got: String(length),
    });
  }
  const footer = await file.read(size - TAIL - length, length + TAIL);
  try {
    readThrift(footer.subarray(0, length), 0);
    return parquetMetadata(footer, { geoparquet: false });
  } catch (cause) {
    throw asBadInput(cause, where);
  }
}

async function readMagic(file: RangedFile): Promise<[head: string, tail: string]> {
  const text = async (start: number) => Buffer.from(await file.read(start, MAGIC.length)).toString("latin1");
  return [await text(0), await text(file.size - MAGIC.length)];
}

function asBadInput(cause: unknown, where: string): TesseraError {
  if (cause instanceof TesseraError) return cause;
  return badInput({ what: `footer of the Parquet file cannot be read: ${reasonOf(cause)}`, where, cause });
}

function reasonOf(cause: unknown): string {
  const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined;
  if (issue !== undefined) return `${issue.path.map(String).join(".")}: ${issue.message}`;
  // The library follows what is not there: its words would say nothing.
  return cause instanceof Error && !(cause instanceof TypeError) ? cause.message : "it is damaged";
}

function checkRows({ num_rows, row_groups }: Footer, where: string): void {
  const rows = row_groups.reduce((sum, group) => sum + group.num_rows, 0);
  if (rows === num_rows) return;
  throw badInput({
    what: "row groups of the Parquet file do not add up",
    where,
    expected: `${num_rows} rows`,
    got: String(rows),
  });
}

function readFeatures({ key_value_metadata }: FileMetaData): ReadonlyMap<string, z.output<typeof Feature>> {
  const text = key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
  const parsed = HuggingFace.safeParse(text === undefined ? undefined : JSON.parse(text));
  const features = Object.entries(parsed.data?.info.features ?? {});
  return new Map(
    features.flatMap(([name, value]) => {
      const feature = Feature.safeParse(value);
      return feature.success ? [[name, feature.data]] : [];
    }),
  );
}

type Features = ReturnType<typeof readFeatures>;
const featuresOf = (features: Features, type: string): string[] =>
  [...features].filter(([, feature]) => feature._type === type).map(([name]) => name);

/** From the top-level element down to the bytes. */
function findImages(columns: readonly SchemaTree[], features: Features, where: string): SchemaElement[] {
  for (const name of [...IMAGE_NAMES, ...featuresOf(features, "Image")]) {
    const column = columns.find(({ element }) => element.name === name);
    const bytes = column?.children.find(({ element }) => element.name === "bytes");
    if (column === undefined || column.element.repetition_type === "REPEATED") continue;
    if (isBytes(column)) return [column.element];
    if (bytes && isBytes(bytes)) return [column.element, bytes.element];
  }
  throw badInput({
    what: "Parquet file has no column of images",
    where,
    expected: 'a column "image" of {bytes, path}, or of bytes',
    got: columns.map(describe).join(", ") || "no column",
  });
}

function isBytes({ element, children }: SchemaTree): boolean {
  const { type, repetition_type, converted_type, logical_type } = element;
  const bare = converted_type === undefined && logical_type === undefined;
  return type === "BYTE_ARRAY" && children.length === 0 && repetition_type !== "REPEATED" && bare;
}

function findLabels(
  columns: readonly SchemaTree[],
  features: Features,
  where: string,
): Omit<LabelColumn, "chunks"> | undefined {
  const names = [...LABEL_NAMES, ...featuresOf(features, "ClassLabel")];
  const column = names
    .map((name) => columns.find(({ element }) => element.name === name))
    .find((candidate) => candidate !== undefined);
  if (column === undefined) return undefined;
  const kind = labelKind(column);
  if (kind !== undefined) {
    return { kind, elements: [column.element], names: features.get(column.element.name)?.names ?? [] };
  }
  throw badInput({
    what: `labels of the Parquet file cannot be used`,
    where,
    expected: "integers or strings",
    got: describe(column),
    todo: "Give the column another name to go without labels",
  });
}

function labelKind({ element, children }: SchemaTree): LabelColumn["kind"] | undefined {
  const { type, repetition_type, converted_type = "none", logical_type } = element;
  if (children.length > 0 || repetition_type === "REPEATED") return undefined;
  if (type === "BYTE_ARRAY") {
    const text = /^(none|UTF8|ENUM)$/.test(converted_type) && /^(none|STRING|ENUM)$/.test(logical_type?.type ?? "none");
    return text ? "string" : undefined;
  }
  const whole = /^(none|U?INT_\d+)$/.test(converted_type) && /^(none|INTEGER)$/.test(logical_type?.type ?? "none");
  return whole && (type === "INT32" || type === "INT64") ? "integer" : undefined;
}

function describe({ element, children }: SchemaTree): string {
  const { name, type, converted_type } = element;
  const inner = children.map((child) => child.element.name).join(", ");
  return children.length > 0 ? `${name} of {${inner}}` : `${name} of ${converted_type ?? type ?? "nothing"}`;
}

/** One a row group. */
function findChunks({ row_groups }: Footer, elements: readonly SchemaElement[]): ParquetChunk[] {
  const path = elements.map(({ name }) => name).join("\0");
  return row_groups.map(({ num_rows, columns }, group) => {
    const chunk = columns.find(({ meta_data }) => meta_data.path_in_schema.join("\0") === path)?.meta_data;
    if (chunk === undefined) throw new Error(`row group ${group} has no column ${elements[0]?.name ?? ""}`);
    if (chunk.num_values !== num_rows) {
      throw new Error(`row group ${group} has ${num_rows} rows, but ${chunk.num_values} in a column`);
    }
    // Some writers say 0 where there is no dictionary.
    const { codec, total_compressed_size: length, data_page_offset, dictionary_page_offset } = chunk;
    return { codec, rows: num_rows, start: dictionary_page_offset || data_page_offset, length };
  });
}
