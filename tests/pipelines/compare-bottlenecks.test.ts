/** `tessera compare-bottlenecks`: a row for each, made once; what would make rows that cannot be compared is refused. */
import { existsSync, readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { openArtifact } from "../../shared/artifact.ts";
import { BOTTLENECKS } from "../../stage1-tokenizer/index.ts";
import { drawFolder, tessera, type Outcome } from "../e2e/tiny.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";

const temporary = useTemporaryDirectory();
const SIDE = 8;
let images: string;
let out: string;
let first: Outcome;

type Words = Readonly<Record<string, string | number>>;
const compare = (changes: Words = {}): Promise<Outcome> => {
  const words: Words = {
    ...{ "--source": images, "--held-out": 0.3, "--out": out, "--only": "vq,reinforce", "--steps": 3, "--draws": 4 },
    ...{ "--tiles": 3, "--image-size": SIDE, "--hidden": 8, "--codebook-size": 60, "--code-dimension": 2 },
    ...{ "--batch-size": 4, "--threads": 1, ...changes },
  };
  return tessera("compare-bottlenecks", ...Object.entries(words).flat(), "--json");
};

interface Row extends Readonly<Record<string, number | string | null>> {
  readonly bottleneck: string;
}
const rowsOf = ({ json }: Outcome): Row[] => json?.["rows"] as Row[];
const manifestOf = (name: string): string => readFileSync(join(out, name, "manifest.json"), "utf8");

beforeAll(async () => {
  images = await drawFolder(temporary("images"), ["east", "west"], 10);
  await writeFile(join(images, "west", "broken.png"), "no image");
  out = temporary("comparison");
  first = await compare();
});

describe("a comparison", () => {
  test("has a row for each bottleneck that was asked for, in that order, on one line of JSON", () => {
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(rowsOf(first).map(({ bottleneck }) => bottleneck)).toEqual(["vq", "reinforce"]);
    for (const row of rowsOf(first)) {
      expect(row["psnr"]).toBeGreaterThan(0);
      expect(row["rate"]).toBeCloseTo((SIDE / 2) ** 2 * Math.log2(60), 9);
      expect(row["seconds"]).toBeGreaterThan(0);
      expect(row).not.toHaveProperty("reconstructions");
    }
  });

  test("shows where the estimators draw: not in vq", () => {
    const [vq, reinforce] = rowsOf(first);
    expect(vq).toMatchObject({ noiseBefore: 0, noiseAfter: 0, noiseDraws: 4 });
    for (const when of ["noiseBefore", "noiseAfter"]) {
      expect(reinforce?.[when]).toBeGreaterThan(0);
      expect(reinforce?.[when]).toBeLessThanOrEqual(4);
    }
  });

  test("draws the originals above a row for each", async () => {
    const sheet = join(out, "comparison.png");
    expect(first.json).toMatchObject({ sheet });
    expect(await sharp(sheet).metadata()).toMatchObject({ format: "png", channels: 3 });
    expect((await readdir(out)).sort()).toEqual(["comparison.png", "reinforce", "reinforce.run", "vq", "vq.run"]);
  });

  test("goes on without an image that cannot be decoded", () => {
    expect(first.stderr).toMatch(/left out west\/broken\.png/);
  });

  test("publishes what it trained, with its origin", async () => {
    const { manifest } = await openArtifact(join(out, "vq"), { kind: "tokenizer" });
    expect(manifest.provenance).toMatchObject({ seed: 0, steps: 3 });
    expect(manifest.provenance.from).toMatchObject({ training: { digest: expect.any(String) as string } });
  });

  test("goes on with what is missing and leaves the rest as it was", async () => {
    const before = [manifestOf("vq"), manifestOf("reinforce")];
    const again = await compare({ "--only": "vq,reinforce,fsq,gaussian" });
    expect(again.code, again.stderr).toBe(0);
    expect([manifestOf("vq"), manifestOf("reinforce")]).toEqual(before);
    const trained = again.stderr.match(/^(\S+): 3 steps$/gm);
    expect(trained).toEqual(["fsq: 3 steps", "gaussian: 3 steps"]);
    const rows = rowsOf(again);
    expect(rows.map(({ bottleneck }) => bottleneck)).toEqual(["vq", "reinforce", "fsq", "gaussian"]);
    expect(rows.slice(0, 2)).toEqual(rowsOf(first));
    expect(rows[2]?.["rate"]).toBe((SIDE / 2) ** 2 * 6); // 8·8, the nearest to 60
    expect(rows[3]?.["rate"]).toBeCloseTo(Number(rows[3]?.["klNats"]) / Math.LN2, 9);
    expect((await openArtifact(join(out, "gaussian"))).manifest.kind).toBe("autoencoder");
  });

  test("prints a table for people", () => {
    const lines = first.stderr.split("\n");
    expect(lines.some((line) => /^bottleneck +bits\/image +PSNR/.test(line))).toBe(true);
    expect(lines.some((line) => /^vq +95 +\d/.test(line))).toBe(true);
  });
});

describe("refused", () => {
  test.each<[string, Words, RegExp]>([
    ["another number of steps", { "--steps": 4 }, /vq: was made with other options: steps\./],
    ["another seed", { "--seed": 1 }, /other options: seed\./],
    ["another size and rate", { "--hidden": 10, "--learning-rate": 0.1 }, /other options: hidden, learningRate\./],
    ["other images", { "--held-out": 0.6 }, /other options: images\./],
  ])("%s than what is in the folder was made with (4)", async (_what, changes, message) => {
    const before = manifestOf("vq");
    const { code, stderr } = await compare(changes);
    expect([code, stderr]).toEqual([4, expect.stringMatching(message)]);
    expect(manifestOf("vq")).toBe(before);
  });

  test("a bottleneck that does not exist (2), with those that do", async () => {
    const { code, stderr } = await compare({ "--only": "vq,vqq" });
    expect(code).toBe(2);
    for (const name of BOTTLENECKS) expect(stderr).toContain(name);
  });

  test("a setting that one of them does not take (2), before any is trained", async () => {
    const fresh = temporary("fresh");
    const { code, stderr } = await compare({ "--only": "vq,gaussian", "--reconstruction": "l2", "--out": fresh });
    expect([code, stderr]).toEqual([2, expect.stringContaining("must be a likelihood for gaussian")]);
    expect(existsSync(join(fresh, "vq"))).toBe(false);
  });
});
