import { expect, test } from "vitest";
import {
  createPreprocessing,
  parsePreprocessing,
  serializePreprocessing,
} from "../../../stage1-tokenizer/images/index.ts";
import { BAD_INPUT } from "./fixtures.ts";

test("survives JSON, and equal records have one text whatever the order of their keys", () => {
  const record = createPreprocessing([64, 48], { fit: "contain", background: [1, 2, 3] });
  const text = serializePreprocessing(record);
  const reversed: unknown = Object.fromEntries(Object.entries(record).reverse());
  expect(parsePreprocessing(JSON.parse(text), "manifest")).toEqual(record);
  expect(serializePreprocessing(parsePreprocessing(reversed, "manifest"))).toBe(text);
});

test("every field changes the text", () => {
  const texts = [
    createPreprocessing([64, 64]),
    createPreprocessing([64, 32]),
    createPreprocessing([64, 64], { fit: "fill" }),
    createPreprocessing([64, 64], { kernel: "cubic" }),
    createPreprocessing([64, 64], { background: [0, 0, 0] }),
  ].map(serializePreprocessing);
  expect(new Set(texts).size).toBe(texts.length);
});

test.each([
  ["size", { size: [0, 64] }],
  ["size", { size: [64.5, 64] }],
  ["size", { size: [Number.NaN, 64] }],
  ["size", { size: [64] }],
  ["kernel", { kernel: "lanczos9" }],
  ["background.1", { background: [0, 256, 0] }],
  ["fastShrinkOnLoad", { fastShrinkOnLoad: true }],
  ["crop", { crop: "random" }],
])("a wrong or unknown %s is refused by name", (field, change) => {
  const parse = () => parsePreprocessing({ ...createPreprocessing([64, 64]), ...change }, "manifest.json");
  expect(parse).toThrow(expect.objectContaining(BAD_INPUT));
  expect(parse).toThrow("manifest.json");
  expect(parse).toThrow(field);
});
