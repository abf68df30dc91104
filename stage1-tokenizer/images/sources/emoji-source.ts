/**
 * The embedded data set: every drawing of Twemoji (graphics © Twitter and contributors, CC-BY 4.0), labelled with its Unicode
 * group. Knows no pixel size: records are SVG files.
 */
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { z } from "zod";
import { failure } from "../../../shared/errors.ts";
import { emojiFamily } from "./emoji-families.ts";
import type { ImageRecord, ImageSource } from "../source.ts";

const require = createRequire(import.meta.url);
const UnicodeData = z.record(z.string(), z.object({ group: z.string() }));
/** What the look-up ignores: variation selector and skin tones. */
const UNGROUPED = /^(fe0f|1f3f[b-f])$/;

/** The nine Unicode groups as classes; 3,720 records ("1f600" is 😀), sorted by key. */
export function createEmojiSource(): ImageSource {
  const groups = readGroups();
  const classes = [...new Set(groups.values())];
  return {
    name: "emoji",
    classes,
    async *records() {
      const folder = dirname(resolvePackage("@twemoji/svg/package.json"));
      const files = (await readdir(folder)).filter((file) => file.endsWith(".svg")).sort();
      for (const file of files) yield emojiRecord(join(folder, file), file.slice(0, -".svg".length), groups, classes);
    },
  };
}

function emojiRecord(
  path: string,
  key: string,
  groups: ReadonlyMap<string, string>,
  classes: readonly string[],
): ImageRecord {
  const label = classes.indexOf(emojiGroup(key, groups));
  return { key, label, family: emojiFamily(key), read: () => readFile(path) };
}

/** The Unicode group of an emoji, with a rule for the drawings that are no recommended emoji of their own. */
function emojiGroup(key: string, groups: ReadonlyMap<string, string>): string {
  const known = groups.get(lookupKey(key.split("-")));
  if (known !== undefined) return known;
  if (/^1f1(e[6-9a-f]|f[0-9a-f])$/.test(key)) return "Flags"; // regional indicators: the letters flags are spelt with
  if (/^1f3f[b-f]$/.test(key)) return "Symbols"; // swatches of the skin tones
  if (key === "e50a") return "Travel & Places"; // Shibuya, from the private use area
  return "People & Body"; // pairs with two skin tones, hair, Mx Claus, the levitating person with a gender
}

function lookupKey(points: readonly string[]): string {
  return points.filter((point) => !UNGROUPED.test(point)).join("-");
}

/** Code points (hexadecimal, joined by "-", as `lookupKey` leaves them) → group, in Unicode's order of groups. */
function readGroups(): ReadonlyMap<string, string> {
  const data = UnicodeData.parse(
    JSON.parse(readFileSync(resolvePackage("unicode-emoji-json/data-by-emoji.json"), "utf8")),
  );
  return new Map(
    Object.entries(data).map(([emoji, { group }]) => [
      lookupKey(Array.from(emoji, (character) => (character.codePointAt(0) ?? 0).toString(16))),
      group,
    ]),
  );
}

function resolvePackage(file: string): string {
  try {
    return require.resolve(file);
  } catch (cause) {
    throw failure({
      what: "the embedded emoji are not installed",
      where: file,
      todo: "Run npm ci in the project.",
      cause,
    });
  }
}
