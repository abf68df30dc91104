/** What the options ask of a prior. */
import { expect, test } from "vitest";
import { z } from "zod";
import { decodingOptions, decodingRequest } from "../../pipelines/decoding-options.ts";

const request = (given: Readonly<Record<string, unknown>>) =>
  decodingRequest(z.strictObject(decodingOptions).parse(given));

test("nothing is asked for but temperature 1", () => {
  expect(request({})).toEqual({ temperature: 1 });
});

test("every option reaches the prior", () => {
  const plain = { temperature: 0.5, topK: 3, topP: 0.9, sampler: "halton", steps: 4, choiceTemperature: 2 };
  expect(request({ ...plain, class: "x", guidance: 2 })).toEqual({
    ...plain,
    className: "x",
    guidance: { scale: 2, schedule: "constant" },
  });
  expect(request({ guidance: 3, guidanceSchedule: "cosine" }).guidance).toEqual({ scale: 3, schedule: "cosine" });
});

test("a guidance schedule without a scale is a usage error", () => {
  expect(() => request({ guidanceSchedule: "linear" })).toThrow(/--guidance-schedule.*Give --guidance/);
});
