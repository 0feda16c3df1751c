import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { CheckpointFormatError, SafetensorsFormatError } from "../errors.js";
import type { StateTensor } from "../module.js";
import { writeSafetensors } from "../safetensors/write.js";
import { openSharded } from "./open-sharded.js";
import { openWeights } from "./open-weights.js";

const directory = mkdtempSync(join(tmpdir(), "seg-nn-shards-"));
afterAll(() => rmSync(directory, { recursive: true }));

const f32 = (...values: number[]): StateTensor => ({
  dtype: "F32",
  shape: [values.length],
  data: Float32Array.from(values),
});

/** A folder with two shards and the given weight_map. */
function folder(name: string, weightMap: unknown): string {
  const path = join(directory, name);
  mkdirSync(path);
  writeSafetensors(join(path, "model-00001-of-00002.safetensors"), new Map([["a", f32(1)]]));
  writeSafetensors(join(path, "model-00002-of-00002.safetensors"), new Map([["b", f32(2, 3)]]));
  const text =
    typeof weightMap === "string" ? weightMap : JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap });
  writeFileSync(join(path, "model.safetensors.index.json"), text);
  return path;
}

const good = { b: "model-00002-of-00002.safetensors", a: "model-00001-of-00002.safetensors" };

describe("openSharded, openWeights", () => {
  test("joins the shards in the order of the index", () => {
    const path = folder("good", good);
    const file = openSharded(path);
    expect(file.names()).toEqual(["b", "a"]);
    expect(file.metadata).toEqual({ total_size: 12 });
    expect(file.info("b")).toEqual({ dtype: "F32", shape: [2] });
    expect([...file.toStateDict()].map(([name, { data }]) => [name, ...data])).toEqual([
      ["b", 2, 3],
      ["a", 1],
    ]);
    expect(openWeights(path).names()).toEqual(["b", "a"]);
  });

  test.each<[string, unknown, RegExp]>([
    ["a parent folder", { a: "../good/model-00001-of-00002.safetensors" }, /no file name in the folder/],
    ["an absolute path", { a: "/etc/passwd" }, /no file name/],
    ["a backslash", { a: "..\\x" }, /no file name/],
    ["the folder itself", { a: ".." }, /no file name/],
    ["a missing shard", { a: "x.safetensors" }, /x.safetensors is not there/],
    ["a tensor that its shard lacks", { b: good.a }, /lacks tensor "b"/],
    ["a list", [], /no weight_map/],
    ["a duplicate key", `{"weight_map":{"a":"${good.a}","a":"${good.a}"}}`, /"a" twice/],
    ["half a file", `{"weight_map":`, /not JSON/],
  ])("refuses %s", (name, weightMap, message) => {
    const path = folder(`bad ${name}`, weightMap);
    expect(() => openSharded(path)).toThrow(message);
    expect(() => openSharded(path)).toThrow(SafetensorsFormatError);
  });

  test("a folder without weights is named", () => {
    expect(() => openWeights(directory)).toThrow(CheckpointFormatError);
  });
});
