/**
 * Which emoji are near-copies of each other. Knows code points only, not the drawings, so that a family never depends on the
 * version of the graphics.
 *
 * The rule: emoji that show the same drawing with another skin, hair, gender, colour or hand of a dial are one family, and so
 * are the few that are drawn alike under different names (the United States and their outlying islands, frowning and pouting).
 * A shared frame with another drawing inside it (flags, keycaps, signs of the zodiac) or another direction (arrows) is a new
 * picture: a model must draw what is inside, and joining those would put a tenth of the set on one side.
 * The tables below were found by comparing all rendered pairs at 24 px and looking at the closest.
 */

const SKIN_TONE = /^1f3f[b-f]$/;
/** Joiner, text/emoji variation, skin tones, gender signs, hair. */
const MODIFIER = /^(200d|fe0f|1f3f[b-f]|2640|2642|1f9b[0-3])$/;

/** Single code points that are one person, thing or shape in several editions; each maps to the first. */
const ONE_DRAWING: readonly (readonly string[])[] = [
  ["1f9d1", "1f468", "1f469", "1f471", "1f9d4"], // person, man, woman, blond, bearded
  ["1f9d2", "1f466", "1f467"], // child, boy, girl
  ["1f9d3", "1f474", "1f475"], // older person, man, woman
  ["1fac5", "1f934", "1f478"], // royalty
  ["1f64d", "1f64e"], // frowning, pouting
  ["1f512", "1f513"], // locked, unlocked
  ["1f610", "1f611", "1f615", "1f636", "1fae4", "1f626", "1f641", "2639", "1f642"], // one plain face, another line for a mouth
  ["1f495", "1f49e"], // two hearts
  ["1f4c1", "1f4c2"], // folder
  ["2603", "26c4"], // snowman
  ["1f4d5", "1f4d7", "1f4d8", "1f4d9"], // books
  ["1f508", "1f509", "1f50a", "1f507"], // loudspeaker
  ["1f538", "1f539", "1f536", "1f537"], // diamonds
  ["2764", "1f499", "1f49a", "1f49b", "1f49c", "1f5a4", "1f90d", "1f90e", "1f9e1", "1fa75", "1fa76", "1fa77"], // hearts
  ["26aa", "26ab", "1f534", "1f535", "1f7e0", "1f7e1", "1f7e2", "1f7e3", "1f7e4"], // discs
  ["2b1c", "2b1b", "25aa", "25ab", "25fb", "25fc", "25fd", "25fe", ...hexRange(0x1f7e5, 0x1f7eb)], // squares
  hexRange(0x1f550, 0x1f567), // clock faces
  [...hexRange(0x1f311, 0x1f318), "1f31a"], // moon phases
];

/** Whole emoji (after modifiers are gone) that are drawn alike; each maps to the first. */
const ONE_PICTURE: readonly (readonly string[])[] = [
  ["1f46b", "1f46c", "1f46d", "1f9d1-1f91d-1f9d1"], // holding hands
  ["1f48f", "1f9d1-2764-1f48b-1f9d1"], // kiss
  ["1f491", "1f9d1-2764-1f9d1"], // couple with heart
  ["1f91d", "1faf1-1faf2"], // handshake
  ["1f385", "1f936", "1f9d1-1f384"], // Santa, Mrs and Mx Claus
  ["1f1eb-1f1f7", "1f1e8-1f1f5", "1f1f2-1f1eb"], // France, Clipperton, St Martin
  ["1f1f3-1f1f4", "1f1e7-1f1fb", "1f1f8-1f1ef"], // Norway, Bouvet, Svalbard
  ["1f1e6-1f1fa", "1f1ed-1f1f2"], // Australia, Heard & McDonald
  ["1f1ee-1f1f4", "1f1e9-1f1ec"], // Indian Ocean Territory, Diego Garcia
  ["1f1ea-1f1f8", "1f1ea-1f1e6"], // Spain, Ceuta & Melilla
  ["1f1fa-1f1f8", "1f1fa-1f1f2"], // United States, outlying islands
  ["1f1ee-1f1e9", "1f1f2-1f1e8"], // Indonesia, Monaco
  ["1f1f7-1f1f4", "1f1f9-1f1e9", "1f1e6-1f1e9"], // Romania, Chad, Andorra
  ["1f1ef-1f1f4", "1f1f5-1f1f8"], // Jordan, Palestinian Territories
  ["1f1f3-1f1ee", "1f1f8-1f1fb"], // Nicaragua, El Salvador
];

const DRAWING_OF = toFirst(ONE_DRAWING);
const PICTURE_OF = toFirst(ONE_PICTURE);
/** Two or more people with children, in any combination of genders. */
const FAMILY_GROUP = /^(1f46a|(1f9d1-){1,2}1f9d2(-1f9d2)?)$/;

/**
 * @param key code points in lower-case hexadecimal joined by "-": "1f469-1f3fb-200d-1f33e".
 * @returns the name of its family: "1f9d1-1f33e", shared with the farmer of any skin and gender.
 */
export function emojiFamily(key: string): string {
  const points = key.split("-");
  const drawing = points.filter((point) => !MODIFIER.test(point)).map((point) => DRAWING_OF.get(point) ?? point);
  if (drawing.length === 0) return points.every((point) => SKIN_TONE.test(point)) ? "skin-tones" : key;
  const name = drawing.join("-");
  return FAMILY_GROUP.test(name) ? "1f46a" : (PICTURE_OF.get(name) ?? name);
}

function hexRange(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i).toString(16));
}

function toFirst(groups: readonly (readonly string[])[]): ReadonlyMap<string, string> {
  return new Map(groups.flatMap((group) => group.map((member) => [member, group[0] ?? member] as const)));
}
