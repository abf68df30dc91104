/**
 * Does a graph that has the signature of a prior behave like one? Finds out by running it on a few made-up rows: sizes that only show then, ids
 * that it must take, and what its logits must not depend on. Knows no artefact and no training code.
 */
import { invariant, mismatch, type ErrorSentence } from "../shared/errors.ts";
import { sizeOf } from "../shared/records.ts";
import { Rng } from "../shared/rng.ts";
import { ask, emptyCache, type Probed, type Question } from "./graph-probe.ts";
import type { PriorShape } from "./signature.ts";
import { classIdCount, unknownId } from "./vocabulary.ts";

/** Logits that should be equal may differ by rounding: by this share of the largest one. */
const TOLERANCE = 1e-4;
/** Class ids tried side by side. */
const CLASSES_AT_ONCE = 4;

/**
 * @throws mismatch if the graph cannot be run as its signature says, answers in other shapes, or its logits depend on what they must not; numerical
 * if one is not finite; the signal's reason
 */
export async function checkGraphBehaviour(options: Probed): Promise<void> {
  const rows = createRows(options.shape);
  await checkRuns(options, rows);
  await checkClasses(options, rows);
  await checkNeighbours(options, rows);
  if (options.shape.objective === "causal") {
    await checkOrder(options, { row: rows.asked, own: 0 });
    await checkCache(options, rows);
  }
  if (options.shape.objective === "pixelcnn") await checkOrder(options, { row: rows.codes, own: 1 });
}

/** Ids [L] to ask with. */
interface Rows {
  /** Codes alone, the last one among them. */
  readonly codes: Int32Array;
  /** As the first call of a sampler has it, with the id K: nothing known, or for the causal signature codes after the start. */
  readonly asked: Int32Array;
  /** `asked` with other codes, or a part of them known. */
  readonly other: Int32Array;
}

function createRows({ objective, codebookSize, grid }: PriorShape): Rows {
  const length = sizeOf(grid);
  const rng = Rng.fromSeed(0).fork("rows");
  const draw = (): Int32Array => Int32Array.from({ length }, () => rng.integer(codebookSize));
  const codes = draw().fill(codebookSize - 1, 0, 1);
  const unknown = unknownId(codebookSize);
  if (objective === "causal") return { codes, asked: draw().fill(unknown, 0, 1), other: draw().fill(unknown, 0, 1) };
  const asked = new Int32Array(length).fill(unknown);
  return { codes, asked, other: draw().map((code, i) => (i % 2 === 0 ? code : unknown)) };
}

/** Under class 0, for whether there is a null class is another question. */
async function checkRuns(options: Probed, { codes, asked, other }: Rows): Promise<void> {
  const { codebookSize } = options.shape;
  const first = (rows: readonly Int32Array[], failing: Question["failing"]) =>
    ask(options, { rows, classIds: new Int32Array(rows.length), failing });
  await first([codes], { what: "the graph cannot be run on one image" });
  await first([asked], {
    what: "the graph does not take the id of an unknown token",
    expected: `ids 0 … ${codebookSize}, where ${codebookSize} = K is the unknown one`,
    todo: "Give its embedding table K + 1 rows.",
  });
  await first([asked, other], {
    what: "the graph cannot be run on two images at once",
    todo: "Export it with a free batch size.",
  });
}

/** Image i of a sample must not depend on the batch it is drawn in, neither on its tokens nor on its classes. */
async function checkNeighbours(options: Probed, { asked, other }: Rows): Promise<void> {
  const images = [asked, other].map((row, i) => ({ row, classId: i * options.shape.classes.length }));
  const askFor = async (those: typeof images): Promise<readonly Float32Array[]> => {
    const classIds = Int32Array.from(those, ({ classId }) => classId);
    return ask(options, { rows: those.map(({ row }) => row), classIds });
  };
  const alone: Float32Array[] = [];
  for (const image of images) alone.push(...(await askFor([image])));
  const turned = await askFor(images.toReversed());
  for (const together of [await askFor(images), turned.toReversed()]) {
    together.forEach((image, i) => {
      checkSame(options, image, alone[i], {
        what: "an image's logits depend on the other images of the batch",
        expected: "the logits that the image has alone",
        todo: "Export it in evaluation mode: no batch statistics, no dropout.",
      });
    });
  }
}

async function checkClasses(options: Probed, { asked }: Rows): Promise<void> {
  const { classes, objective } = options.shape;
  if (classes.length === 0) return;
  const row = objective === "causal" ? asked.subarray(0, 1) : asked;
  const all = Array.from({ length: classIdCount(classes.length) }, (_, id) => id);
  for (let start = 0; start < all.length; start += CLASSES_AT_ONCE) {
    const ids = all.slice(start, start + CLASSES_AT_ONCE);
    const failing = {
      what: `the graph does not take every class id of ${ids.join(", ")}`,
      expected: `0 … ${classes.length}, where ${classes.length} is the null class`,
      todo: "Give its class table one row a class and one for no class, and name as many classes.",
    };
    await ask(options, { rows: ids.map(() => row), classIds: Int32Array.from(ids), failing });
  }
}

/**
 * Changes the ids from some position on: the logits before it must stay.
 * @param own 1 where the logits of the position itself must stay too: its token is what they predict
 */
async function checkOrder(options: Probed, { row, own }: { row: Int32Array; own: 0 | 1 }): Promise<void> {
  const { codebookSize } = options.shape;
  const unknown = unknownId(codebookSize);
  const [before] = await ask(options, { rows: [row] });
  for (const from of someOf(sizeOf(options.shape.grid)).filter((position) => position + own > 0)) {
    const changed = row.map((id, i) => (i < from ? id : (id + 1 + (i % (codebookSize - 1))) % codebookSize));
    const open = own === 1 ? [row.map((id, i) => (i < from ? id : unknown))] : []; // what is still to be drawn
    const images = await ask(options, { rows: [changed, ...open] });
    const stays = (from + own) * codebookSize;
    for (const image of images)
      checkSame(options, image.subarray(0, stays), before?.subarray(0, stays), {
        what: `logits up to position ${from + own - 1} depend on tokens from position ${from} on`,
        expected: own === 1 ? "logits at t from the tokens before t alone" : "logits from no later token",
        todo: "It may have learnt another objective: masked and diffusion priors look both ways.",
      });
  }
}

/** Decoding in pieces, each under the cache of those before, comes to the logits of the whole rows. */
async function checkCache(options: Probed, { asked, other }: Rows): Promise<void> {
  const { codebookSize } = options.shape;
  const rows = [asked, other];
  const whole = await ask(options, { rows });
  const cuts = [...someOf(asked.length), asked.length].filter((cut) => cut > 0);
  const cache = emptyCache(options, rows.length);
  let from = 0;
  for (const to of cuts) {
    const failing = { what: `the graph cannot be run on ${to - from} positions after ${from} in its cache` };
    const piece = await ask(options, { rows: rows.map((row) => row.subarray(from, to)), cache, failing });
    for (const [i, image] of piece.entries()) {
      const expected = whole[i]?.subarray(from * codebookSize, to * codebookSize);
      checkSame(options, image, expected, {
        what: `decoding with the cache gives other logits than the whole row, from position ${from} on`,
        expected: "the same logits",
        todo: "Caches are [N, H, R, Dh], of which the first past_length rows count; positions count on from there.",
      });
    }
    from = to;
  }
}

/** First positions, those at the end of a row, the middle and the last ones: where implementations differ. */
function someOf(length: number): number[] {
  const candidates = [0, 1, 2, length >> 2, length >> 1, length - 2, length - 1];
  return [...new Set(candidates)].filter((position) => position >= 0 && position < length).sort((a, b) => a - b);
}

/** @throws mismatch with the largest difference, if it is more than rounding */
function checkSame(
  { where }: Probed,
  got: Float32Array | undefined,
  expected: Float32Array | undefined,
  sentence: Required<Pick<ErrorSentence, "what" | "expected" | "todo">>,
): void {
  invariant(got !== undefined && got.length === expected?.length, "logits of as many positions are compared");
  let [largest, furthest] = [0, 0];
  for (const [i, logit] of expected.entries()) {
    largest = Math.max(largest, Math.abs(logit));
    furthest = Math.max(furthest, Math.abs(logit - (got[i] ?? NaN)));
  }
  if (furthest <= TOLERANCE * largest) return;
  const difference = `a difference of ${furthest.toPrecision(3)} between logits of size ${largest.toPrecision(3)}`;
  throw mismatch({ ...sentence, where, got: difference });
}
