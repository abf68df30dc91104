import { expect, test } from "vitest";

import { createSession } from "../../../shared/onnx/session.ts";
import { encodeModel } from "../../../shared/onnx/write.ts";
import { LINEAR } from "./models.ts";

/** Native libraries in this process. */
function libraries(): readonly string[] {
  const report = process.report.getReport() as unknown as { sharedObjects: readonly string[] };
  return report.sharedObjects.filter((path) => path.includes("onnxruntime"));
}

test("the runtime is loaded by the first session, not by the import", async () => {
  expect(libraries()).toEqual([]);
  await (await createSession(encodeModel(LINEAR))).dispose();
  expect(libraries()).not.toEqual([]);
});
