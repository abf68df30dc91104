/** What the tests of sources with many images in one file share. Knows no format. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { type ImageSource, type RawPixels, listRecords } from "../../../../stage1-tokenizer/images/index.ts";
import { TesseraError } from "../../../../shared/errors.ts";
import { BAD_INPUT } from "../fixtures.ts";

/** Writes `files` (path → bytes) to a new folder at `folder`. */
export function writeFiles(folder: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** The message of the bad-input error that `promise` must reject with. */
export async function badInputOf(promise: Promise<unknown> | undefined): Promise<string> {
  const error: unknown = await promise?.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject(BAD_INPUT);
  return error instanceof TesseraError ? error.message : "";
}

export async function readPixels(source: ImageSource, index: number): Promise<RawPixels> {
  const content = await (await listRecords(source))[index]?.read();
  if (content === undefined || content instanceof Uint8Array) throw new Error("expected pixels");
  return content;
}

/** Opens and reads everything; bad input is an answer, any other error is thrown. */
export async function readAll(open: () => Promise<ImageSource>): Promise<"opened" | "refused"> {
  try {
    const source = await open();
    for await (const record of source.records()) {
      await record.read().catch((error: unknown) => {
        if (!(error instanceof TesseraError && error.code === "bad-input")) throw error;
      });
    }
    return "opened";
  } catch (error) {
    if (error instanceof TesseraError && error.code === "bad-input") return "refused";
    throw error;
  }
}

export interface Damage {
  readonly flips: readonly (readonly [position: number, bits: number])[];
  /** Share of the file that is kept. */
  readonly keep: number;
}

export function damage(bytes: Uint8Array, { flips, keep }: Damage): Uint8Array {
  const damaged = bytes.slice(0, Math.ceil(bytes.length * keep));
  for (const [position, bits] of flips) {
    const at = position % Math.max(1, damaged.length);
    if (at < damaged.length) damaged[at] = (damaged[at] ?? 0) ^ bits;
  }
  return damaged;
}
