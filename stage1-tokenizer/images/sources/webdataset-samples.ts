/**
 * The samples of one shard in WebDataset's layout: members that share the name up to the first dot of their last part. Knows one
 * archive at a time, and no classes.
 */
import type { FileHandle } from "node:fs/promises";
import { z } from "zod";
import { parseConfig } from "../../../shared/config.ts";
import { badInput, type TesseraError } from "../../../shared/errors.ts";
import { listTarMembers, placeIn, readTarMember, type TarMember } from "./tar.ts";

export interface Sample {
  /** "train/0001" of train/0001.jpg and train/0001.cls. */
  readonly key: string;
  /** Archive and byte its first member's header is at. */
  readonly where: string;
  readonly image: TarMember | undefined;
  /** .cls, or without one .json. */
  readonly label: TarMember | undefined;
}

/** A sample while its members come in; the first of several is kept where one is expected. */
interface Gathering {
  readonly key: string;
  readonly where: string;
  image?: TarMember;
  cls?: TarMember;
  json?: TarMember;
  /** Something like "seg.png", which is an image but not the sample's. */
  other?: TarMember;
}

const IMAGE = /^(jpe?g|png|webp)$/;
const IMAGE_LIKE = /\.(jpe?g|png|webp)$/;
/** Labels are a few bytes; .json files may say more. */
const MAX_LABEL_BYTES = 2 ** 20;
/** 15 digits are exact in a number. */
const INTEGER = /^[+-]?\d{1,15}$/;

const Name = z.union([z.string(), z.int()], { error: "expected text or an integer" }).nullish();
const LabelFile = z.looseObject({ label: Name, class: Name });

/**
 * Samples in archive order. Members without an extension, hidden ones and folders belong to none.
 * @throws bad-input as `listTarMembers` does; for two images or two labels in a sample, for a link in the place of one, and
 *   for a sample whose only images have a longer extension ("a.v2.jpg").
 */
export async function* listSamples(file: FileHandle, path: string): AsyncGenerator<Sample, void, undefined> {
  let gathering: Gathering | undefined;
  for await (const member of listTarMembers(file, path)) {
    if (member.kind !== "file" && member.kind !== "link") continue;
    const name = sampleName(member.name);
    if (name === undefined) continue;
    if (gathering?.key !== name.key) {
      if (gathering !== undefined) yield toSample(gathering);
      gathering = { key: name.key, where: placeIn(path, member.header) };
    }
    take(gathering, member, name.extension);
  }
  if (gathering !== undefined) yield toSample(gathering);
}

/**
 * The label as the name of a class: "7" for 7; undefined if the sample has none.
 * @throws bad-input if its file holds no label where one is expected.
 */
export async function readLabel(file: FileHandle, { label }: Sample, path: string): Promise<string | undefined> {
  if (label === undefined) return undefined;
  const where = `${placeIn(path, label.header)}, ${label.name}`;
  if (label.size > MAX_LABEL_BYTES) {
    const expected = `at most ${MAX_LABEL_BYTES} bytes`;
    throw badInput({ what: "label is too long", where, expected, got: String(label.size) });
  }
  const text = Buffer.from(await readTarMember(file, label, path)).toString("utf8");
  return label.name.toLowerCase().endsWith(".cls") ? integerLabel(text.trim(), where) : jsonLabel(text, where);
}

function sampleName(name: string): { key: string; extension: string } | undefined {
  const base = name.lastIndexOf("/") + 1;
  const dot = name.indexOf(".", base);
  if (dot <= base) return undefined; // no extension, or hidden
  return { key: name.slice(0, dot), extension: name.slice(dot + 1).toLowerCase() };
}

function take(gathering: Gathering, member: TarMember, extension: string): void {
  const role = roleOf(extension);
  if (role === undefined) return;
  if (role === "other") {
    gathering.other ??= member;
    return;
  }
  if (member.kind === "link") throw isLink(gathering, member);
  const earlier = gathering[role];
  if (earlier !== undefined) throw hasTwo(gathering, role === "image" ? "images" : "labels", [earlier, member]);
  gathering[role] = member;
}

function roleOf(extension: string): "image" | "cls" | "json" | "other" | undefined {
  if (IMAGE.test(extension)) return "image";
  if (extension === "cls" || extension === "json") return extension;
  return IMAGE_LIKE.test(extension) ? "other" : undefined;
}

function toSample({ key, where, image, cls, json, other }: Gathering): Sample {
  if (image === undefined && other !== undefined) {
    throw badInput({
      what: `sample ${key} has no image of its own`,
      where,
      expected: "a member with nothing but .jpg, .jpeg, .png or .webp behind its first dot",
      got: other.name,
      todo: "Rename the members: all that share the name up to the first dot are one sample",
    });
  }
  return { key, where, image, label: cls ?? json };
}

function integerLabel(text: string, where: string): string {
  if (INTEGER.test(text)) return String(Number(text) + 0); // + 0: no "-0"
  throw badInput({ what: "label is malformed", where, expected: "an integer", got: JSON.stringify(text.slice(0, 40)) });
}

function jsonLabel(text: string, where: string): string | undefined {
  const { label, class: name } = parseConfig(LabelFile, parseJson(text, where), where);
  const found = label ?? name ?? "";
  return found === "" ? undefined : String(found);
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badInput({ what: "label file is no JSON", where, cause });
  }
}

function isLink({ key, where }: Gathering, { name, linkTarget = "" }: TarMember): TesseraError {
  return badInput({
    what: `member ${name} of sample ${key} is a link to ${linkTarget}`,
    where,
    expected: "a file",
    todo: "Links are not followed; pack the archive with --dereference --hard-dereference",
  });
}

function hasTwo({ key, where }: Gathering, what: string, [first, second]: readonly [TarMember, TarMember]) {
  const todo = "Members that share the name up to the first dot are one sample: rename one";
  const got = `${first.name} and ${second.name}`;
  return badInput({ what: `sample ${key} has two ${what}`, where, expected: "one", got, todo });
}
