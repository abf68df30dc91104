/**
 * The members of a tar archive and where their bytes lie, found from the headers alone. Extracts nothing, follows no link, holds no
 * content: names are only keys here, and one that would leave a folder is refused all the same.
 */
import type { FileHandle } from "node:fs/promises";
import { badInput, type TesseraError } from "../../../shared/errors.ts";
import { BLOCK, otherFormat, parsePax, parsePaxSize, parseTarHeader, text } from "./tar-header.ts";
import type { PaxRecords, TarHeader } from "./tar-header.ts";

export interface TarMember {
  /** With "/" between its parts, without "./" before and "/" behind. */
  readonly name: string;
  readonly kind: "file" | "folder" | "link" | "other";
  /** Where a link, hard or symbolic, leads to; as written. */
  readonly linkTarget?: string;
  /** Byte of the archive its header (the last one, if it has several) begins at. */
  readonly header: number;
  /** First byte of its data. */
  readonly start: number;
  /** Length of its data, bytes. */
  readonly size: number;
}

/** One read serves a header and those behind it, if the next one is near; far ones are read alone, and what lies between is not. */
const WINDOW_BYTES = 2 ** 16;
const LONE_BYTES = 2 ** 12;
const NEAR_BYTES = 2 ** 14;
/** Names are the longest thing in extended headers; the next megabyte is an attack or rubble. */
const MAX_EXTENDED_BYTES = 2 ** 20;
/** Padding behind the end is at most one record of tar's usual 20 blocks. */
const PADDING_BYTES = 20 * BLOCK;

/**
 * Members in archive order, one read each at most. The handle stays the caller's.
 * @param path names the archive in errors.
 * @throws bad-input, with file and byte, if the archive is compressed, cut off, damaged, or joined from several; if a name is
 *   absolute or has a ".." in it; if a member is stored sparse.
 */
export async function* listTarMembers(file: FileHandle, path: string): AsyncGenerator<TarMember, void, undefined> {
  const { size: fileSize } = await file.stat();
  const read = createWindow(file, path);
  let everywhere: PaxRecords = {};
  let upcoming: PaxRecords | undefined;
  checkFormat(await read(0, Math.min(fileSize, BLOCK)), path);
  for (let position = 0; ;) {
    const where = placeIn(path, position);
    const block = await read(position, BLOCK);
    if (isZero(block)) {
      if (upcoming !== undefined) throw cutOff(path, position, "the member that an extended header announces");
      checkEnd(await read(position, Math.min(fileSize - position, PADDING_BYTES)), where);
      return;
    }
    const header = parseTarHeader(block, where);
    const start = position + BLOCK;
    if (isExtended(header.type)) {
      if (header.size > MAX_EXTENDED_BYTES) throw tooLong(where, header.size);
      const data = await read(start, header.size);
      if (header.type === "g") everywhere = { ...everywhere, ...parsePax(data, where) };
      else upcoming = { ...upcoming, ...extension(header.type, data, where) };
      position = start + padded(header.size);
      continue;
    }
    const member = toMember(header, { ...everywhere, ...upcoming }, { path, position });
    if (start + member.size > fileSize) throw cutOff(path, position, `${member.name} of ${member.size} bytes`);
    yield member;
    position = start + padded(member.size);
    upcoming = undefined;
  }
}

/** The data of one member. @throws bad-input if the archive ends before it does. */
export async function readTarMember(
  file: FileHandle,
  { start, size }: Pick<TarMember, "start" | "size">,
  path: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  if ((await readInto(file, bytes, start)) < size) throw cutOff(path, start, `${size} bytes of data`);
  return bytes;
}

/** "shard.tar, byte 1024" */
export const placeIn = (path: string, byte: number): string => `${path}, byte ${byte}`;

function toMember(header: TarHeader, pax: PaxRecords, at: { path: string; position: number }): TarMember {
  const where = placeIn(at.path, at.position);
  const written = pax.path || header.name;
  const kind = kindOf(header.type, written);
  const name = checkedName(written, where);
  if (header.type === "S" || pax.sparse === true) {
    throw badInput({ what: `member ${name} is stored sparse`, where, todo: "Pack the archive anew without --sparse" });
  }
  const size = pax.size ? parsePaxSize(pax.size, where) : header.size;
  const place = { name, kind, header: at.position, start: at.position + BLOCK };
  // Links, devices and folders have no data; their size, where not 0, is that of something else.
  if (/[1-6]/.test(header.type)) {
    return kind === "link"
      ? { ...place, size: 0, linkTarget: pax.linkpath || header.linkTarget }
      : { ...place, size: 0 };
  }
  return { ...place, size };
}

function kindOf(type: string, name: string): TarMember["kind"] {
  if (type === "5") return "folder";
  if (type === "1" || type === "2") return "link";
  if (type === "0" || type === "7") return name.endsWith("/") ? "folder" : "file"; // V7 knew folders by their slash
  return "other";
}

/** @throws bad-input for a name that, written to disk, could leave the folder. */
function checkedName(name: string, where: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || parts.includes("..") || name.includes("\0")) {
    throw badInput({
      what: `member's name ${JSON.stringify(name)} leads out of the archive`,
      where,
      expected: 'a relative name without ".."',
      todo: "Do not trust this archive; pack one of your own",
    });
  }
  return parts.join("/") || ".";
}

const isExtended = (type: string): boolean => type === "x" || type === "g" || type === "L" || type === "K";

/** What the header before a member says of it: pax records, or GNU's long name ("L") or link target ("K"). */
function extension(type: string, data: Uint8Array, where: string): PaxRecords {
  if (type === "x") return parsePax(data, where);
  return type === "L" ? { path: text(data) } : { linkpath: text(data) };
}

const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK;

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Bytes of the file at a position, valid until the next call; what lies around them is read with them. */
function createWindow(file: FileHandle, path: string) {
  const window = new Uint8Array(WINDOW_BYTES);
  let [from, to] = [0, 0];
  return async (position: number, length: number): Promise<Uint8Array> => {
    if (length > WINDOW_BYTES) return readTarMember(file, { start: position, size: length }, path);
    if (position < from || position + length > to) {
      const bytes = position - to < NEAR_BYTES ? window : window.subarray(0, Math.max(length, LONE_BYTES));
      [from, to] = [position, position + (await readInto(file, bytes, position))];
    }
    if (position + length > to) throw cutOff(path, position, `${length} bytes`);
    return window.subarray(position - from, position - from + length);
  };
}

/** Fills `bytes` from `position` on. @returns how many the file had. */
async function readInto(file: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

function checkFormat(block: Uint8Array, path: string): void {
  const format = otherFormat(block);
  if (format === undefined) return;
  throw badInput({
    what: `is compressed with ${format}`,
    where: path,
    expected: "a plain tar archive, whose members can be read in place",
    todo: "Unpack it first",
  });
}

/** Behind the first block of zeros there is nothing but zeros. */
function checkEnd(rest: Uint8Array, where: string): void {
  if (isZero(rest)) return;
  throw badInput({
    what: "more follows the end of the archive",
    where,
    expected: "zeros",
    todo: "Archives joined end to end have to be given one by one",
  });
}

function cutOff(path: string, position: number, missing: string): TesseraError {
  return badInput({
    what: "archive is cut off",
    where: placeIn(path, position),
    expected: missing,
    got: "the end of the file",
    todo: "Fetch or pack it anew",
  });
}

function tooLong(where: string, size: number): TesseraError {
  return badInput({
    what: "extended header is unreasonably long",
    where,
    expected: `at most ${MAX_EXTENDED_BYTES} bytes`,
    got: String(size),
  });
}
