/** Token files are plain msgpack: Python reads them with nothing but its msgpack module, following artifacts/README.md. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { expect, test } from "vitest";

import { useTemporaryDirectory } from "../temporary-directory.ts";
import { header, records, writeSmallSet } from "./small-set.ts";

const fresh = useTemporaryDirectory();
const python = ["python3", "/usr/bin/python3", "python"].find(
  (command) => spawnSync(command, ["-c", "import msgpack"]).status === 0,
);

const SCRIPT = `
import array, hashlib, json, msgpack, struct, sys, zlib
data = open(sys.argv[1], "rb").read()
unpacker = msgpack.Unpacker(raw=False)
unpacker.feed(data)
header, *records, footer = list(unpacker)
for record, offset in zip(records, footer["offsets"]):
    label = -1 if record["label"] is None else record["label"]
    assert zlib.crc32(record["key"].encode() + struct.pack("<i", label) + record["tokens"]) == record["crc32"]
    first = msgpack.Unpacker(raw=False); first.feed(data[offset:])
    assert next(first) == record
body = data[: len(data) - len(msgpack.packb(footer))]
assert hashlib.sha256(body).hexdigest() == footer["sha256"], "footer"
assert footer["count"] == len(records)
for record in records:
    tokens = array.array("H", record["tokens"])
    if sys.byteorder == "big": tokens.byteswap()
    record["tokens"] = list(tokens)
print(json.dumps({"header": header, "records": records}))
`;

test("Python's msgpack reads a shard", async (context) => {
  if (python === undefined) return context.skip("no Python with the msgpack module was found");
  const directory = join(fresh(), "set");
  await writeSmallSet(directory, { recordsPerShard: 5 });
  const run = spawnSync(python, ["-c", SCRIPT, join(directory, "00000.tok.msgpack")], { encoding: "utf8" });
  expect(run.stderr).toBe("");
  const read = JSON.parse(run.stdout) as { header: unknown; records: Record<string, unknown>[] };
  const fixed = { format: "tessera-tokens", formatVersion: 1, dtype: "u16le", order: "raster" };
  expect(read.header).toEqual({ ...header, ...fixed });
  expect(read.records.map(({ key, label, tokens }) => ({ key, label, tokens }))).toEqual(
    records.map(({ key, label, tokens }) => ({ key, label: label === -1 ? null : label, tokens: [...tokens] })),
  );
});
