/** What `doctor` finds on machines made up for it, and on this one. */
import { describe, expect, test } from "vitest";
import { command, describeFindings, examine } from "../../pipelines/commands/doctor.ts";
import type { Probes } from "../../pipelines/commands/doctor.ts";
import { silentReporter } from "../../shared/train/reporter.ts";

const GPU = "@tensorflow/tfjs-node-gpu";
const whole: Probes = {
  versionOf: () => "1.2.3",
  load: () => Promise.resolve({ backend: () => ({ isUsingGpuDevice: true }) }),
  providers: () => Promise.resolve(["cpu", "webgpu"]),
};

describe("examine", () => {
  test("a machine with everything", async () => {
    const findings = await examine(whole);
    expect(findings.onnx).toEqual({ usable: true, providers: ["cpu", "webgpu"], missing: null });
    expect(findings.tfjs[GPU]).toEqual({ version: "1.2.3", usable: true, missing: null, todo: null });
    expect(findings.packages).toEqual({ "onnxruntime-node": "1.2.3", "@tensorflow/tfjs": "1.2.3", sharp: "1.2.3" });
    expect(describeFindings(findings)).toContain("usable: cpu, webgpu");
  });

  test("an addon that was never built points to setup:gpu", async () => {
    const load = () => Promise.reject(new Error("The Node.js native addon module can not be found at path: x\nmore"));
    const { tfjs } = await examine({ ...whole, load });
    expect(tfjs[GPU]).toMatchObject({ usable: false, missing: expect.stringContaining("libtensorflow") as string });
    expect(tfjs[GPU]?.todo).toContain("npm run setup:gpu");
    expect(tfjs[GPU]?.missing).not.toContain("more");
  });

  test("a package that silently computes on the CPU is not a usable GPU engine", async () => {
    const load = () => Promise.resolve({ backend: () => ({ isUsingGpuDevice: false }) });
    const { tfjs } = await examine({ ...whole, load });
    expect(tfjs[GPU]).toMatchObject({ usable: false, missing: expect.stringContaining("no GPU") as string });
    expect(tfjs["@tensorflow/tfjs-node"]?.usable).toBe(true);
  });

  test("a package that is not there is not loaded", async () => {
    const load = (name: string) => Promise.reject(new Error(`loaded ${name}`));
    const { tfjs, packages } = await examine({ ...whole, versionOf: () => undefined, load });
    for (const found of Object.values(tfjs))
      expect(found).toMatchObject({ version: null, missing: "the package is not installed" });
    expect(Object.values(packages)).toEqual([null, null, null]);
  });

  test("a runtime that does not load is a finding", async () => {
    const findings = await examine({ ...whole, providers: () => Promise.reject(new Error("no such library")) });
    expect(findings.onnx).toEqual({ usable: false, providers: [], missing: "no such library" });
    expect(describeFindings(findings)).toContain("not usable: no such library");
  });
});

test("on this machine the default engine is usable", async () => {
  const { signal } = new AbortController();
  const { json, text } = await command.run({}, { reporter: silentReporter, print: () => undefined, signal });
  expect(json).toMatchObject({ node: process.versions.node, onnx: { usable: true } });
  expect((json["onnx"] as { providers: string[] }).providers).toContain("cpu");
  for (const name of ["onnxruntime-node", "@tensorflow/tfjs", "sharp", "engine onnx", GPU])
    expect(text).toContain(name);
});
