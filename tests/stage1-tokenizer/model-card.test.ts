/** The README of a published model says what its graphs take and give. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { decodeModel } from "../../shared/onnx/read.ts";
import { BOTTLENECKS, makesTokens } from "../../stage1-tokenizer/config.ts";
import { modelCard } from "../../stage1-tokenizer/model-card.ts";
import { useTemporaryDirectory } from "../shared/temporary-directory.ts";
import { publishUntrained } from "./tiny-artifact.ts";
import { tinyConfig } from "./tiny-config.ts";

const temporary = useTemporaryDirectory();
const figures = { psnr: 21.123456789, klNats: 0.000123456 };
const card = (bottleneck: string): string =>
  modelCard({ config: tinyConfig({ bottleneck }), figures, fingerprint: "f".repeat(64) });

describe.each(BOTTLENECKS)("the card of a %s model", (bottleneck) => {
  test("says what it is and what it makes", () => {
    const text = card(bottleneck);
    const tokens = makesTokens({ bottleneck });
    expect(text).toMatch(tokens ? /^# Tessera tokenizer\n/ : /^# Tessera autoencoder\n/);
    expect(text.includes("`tokens` int64 [N, 4, 4]")).toBe(tokens);
    expect(text.includes("no tokens")).toBe(!tokens);
    expect(text.includes("`latent` float32 [N, ")).toBe(!tokens);
    expect(text).toContain(`(${bottleneck}, D = 4)`);
    expect(text).toContain("f".repeat(64));
  });

  test("lists every figure, to five digits", () => {
    expect(card(bottleneck)).toContain("- psnr 21.123\n- klNats 0.00012346\n");
  });
});

test.each(["vq", "none", "gaussian-vector"])(
  "a published %s model's card names the sizes of its graphs",
  async (bottleneck) => {
    const directory = await publishUntrained(tinyConfig({ bottleneck }), temporary("model"));
    const text = readFileSync(join(directory, "README.md"), "utf8");
    for (const file of ["encoder.onnx", "decoder.onnx"]) {
      const path = join(directory, file);
      const line = text.split("\n").find((candidate) => candidate.includes(`\`${file}\``)) ?? "";
      const { inputs, outputs } = decodeModel(readFileSync(path), path);
      for (const { name, shape } of [...inputs, ...outputs])
        expect(line).toMatch(new RegExp(`\`${name}\` \\w+ \\[${["N", ...shape.slice(1)].join(", ")}\\]`));
    }
  },
);
