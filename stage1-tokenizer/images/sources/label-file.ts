/** Lists of images in CSV, TSV and JSON Lines. Knows columns and lines; whether the images are there is its caller's matter. */
import type { Stats } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { CsvError, parse } from "csv-parse/sync";
import { badInput, type TesseraError, usageError } from "../../../shared/errors.ts";

export interface ListedImage {
  /** Counted from 1; the last one of an entry that has several. */
  readonly line: number;
  /** As written. */
  readonly file: string;
  readonly label?: string;
  readonly family?: string;
}

/** The first of the names that a file has is the one that counts. */
const FILE_NAMES = ["file", "file_name", "filename", "path", "image"] as const;
const LABEL_NAMES = ["label", "class", "category"] as const;
const FAMILY_NAMES = ["family", "group"] as const;
const MAX_FILE_BYTES = 2 ** 28;
const MAX_LINE_CHARACTERS = 2 ** 20;

/** One line's values by name; undefined where it has none. */
interface Entry {
  readonly line: number;
  readonly value: (name: string) => unknown;
}

/**
 * @throws usage for another extension than .csv, .tsv, .jsonl or .ndjson; bad-input if the file is missing, no UTF-8 text, or has a
 *   malformed line, which is named.
 */
export async function readLabelFile(path: string): Promise<ListedImage[]> {
  const [extension] = /\.(csv|tsv|jsonl|ndjson)$/i.exec(path.toLowerCase()) ?? [];
  if (extension === undefined) {
    throw usageError({ what: "is no known list of images", where: path, expected: "a .csv, .tsv or .jsonl file" });
  }
  const text = await readText(path);
  const isTable = extension === ".csv" || extension === ".tsv";
  const entries = isTable ? tableEntries(text, path, extension === ".csv" ? "," : "\t") : jsonEntries(text, path);
  return Array.from(entries, (entry) => toListedImage(entry, path));
}

function toListedImage(entry: Entry, path: string): ListedImage {
  const where = lineOf(path, entry.line);
  const file = textOf(entry, FILE_NAMES, where);
  if (file === undefined) {
    throw badInput({ what: "line names no image", where, expected: `a value for ${FILE_NAMES.join(", ")}` });
  }
  const label = textOf(entry, LABEL_NAMES, where);
  const family = textOf(entry, FAMILY_NAMES, where);
  return {
    line: entry.line,
    file,
    ...(label === undefined ? {} : { label }),
    ...(family === undefined ? {} : { family }),
  };
}

/** The first of `names` that has a value, numbers as text. @throws bad-input if it is neither. */
function textOf({ value }: Entry, names: readonly string[], where: string): string | undefined {
  for (const name of names) {
    const found = value(name) ?? "";
    if (typeof found === "number") return String(found);
    if (typeof found !== "string") {
      throw badInput({ what: `${name} is malformed`, where, expected: "text or a number", got: JSON.stringify(found) });
    }
    if (found !== "") return found;
  }
  return undefined;
}

/** "labels.csv, line 7" */
export const lineOf = (path: string, line: number): string => `${path}, line ${line}`;

async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes); // leaves a byte order mark out
  } catch (cause) {
    throw badInput({ what: "is no UTF-8 text", where: path, todo: "Save it as UTF-8", cause });
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  let stats: Stats;
  try {
    stats = await stat(path);
  } catch (cause) {
    throw badInput({ what: "list of images cannot be opened", where: path, expected: "a file", cause });
  }
  if (!stats.isFile()) throw badInput({ what: "is no file", where: path, expected: "a list of images" });
  if (stats.size > MAX_FILE_BYTES) {
    const expected = `at most ${MAX_FILE_BYTES} bytes`;
    throw badInput({ what: "list of images is too long", where: path, expected, got: String(stats.size) });
  }
  try {
    return await readFile(path);
  } catch (cause) {
    throw badInput({ what: "list of images cannot be read", where: path, todo: "Check its permissions", cause });
  }
}

function* tableEntries(text: string, path: string, delimiter: string): Generator<Entry> {
  const [header, ...rows] = tableRows(text, path, delimiter);
  if (header === undefined) throw badInput({ what: "has no header", where: path, expected: "a line of column names" });
  const columns = header.record.map((name) => name.toLowerCase());
  checkColumns(columns, lineOf(path, header.line));
  for (const { line, record } of rows) {
    if (record.length !== columns.length) {
      const got = String(record.length);
      throw badInput({
        what: "line is malformed",
        where: lineOf(path, line),
        expected: `${columns.length} values`,
        got,
      });
    }
    yield { line, value: (name) => record[columns.indexOf(name)] };
  }
}

interface Row {
  readonly line: number;
  readonly record: readonly string[];
}

function tableRows(text: string, path: string, delimiter: string): Row[] {
  const rows: Row[] = [];
  try {
    parse(text, {
      delimiter,
      max_record_size: MAX_LINE_CHARACTERS,
      record_delimiter: ["\r\n", "\n", "\r"],
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
      on_record: (record, { lines: line }) => {
        rows.push({ line, record });
        return null; // collected here, with its line
      },
    });
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw malformed(cause, lineOf(path, Number(cause["lines"])));
  }
  return rows;
}

function malformed(cause: CsvError, where: string): TesseraError {
  const [reason = ""] = cause.message.split(":", 1); // what follows quotes the line, however long it is
  return badInput({ what: `line is malformed: ${reason.toLowerCase()}`, where, todo: "Check the quotes", cause });
}

function checkColumns(columns: readonly string[], where: string): void {
  const got = columns.join(", ").slice(0, 200);
  if (!FILE_NAMES.some((name) => columns.includes(name))) {
    throw badInput({ what: "no column names the images", where, expected: FILE_NAMES.join(" or "), got });
  }
  for (const name of [...FILE_NAMES, ...LABEL_NAMES, ...FAMILY_NAMES]) {
    if (columns.indexOf(name) === columns.lastIndexOf(name)) continue;
    throw badInput({ what: `column ${name} comes twice`, where, expected: "one", got });
  }
}

function* jsonEntries(text: string, path: string): Generator<Entry> {
  for (const [i, content] of text.split(/\r?\n/).entries()) {
    if (content.trim() === "") continue;
    const fields = parseObject(content, lineOf(path, i + 1));
    yield { line: i + 1, value: (name) => (Object.hasOwn(fields, name) ? fields[name] : undefined) };
  }
}

function parseObject(text: string, where: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badInput({ what: "line is no JSON", where, expected: '{"file": "…", "label": "…"}', cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw badInput({ what: "line is no JSON object", where, expected: '{"file": "…", "label": "…"}' });
}
