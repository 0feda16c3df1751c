import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSafetensors, type StateTensor, stateDict, writeSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ToyModel } from "../test/toy-model.js";
import { loadAdapter, saveAdapter } from "./adapter-files.js";
import { AdapterMismatchError, UnsupportedAdapterError } from "./errors.js";
import { injectLora } from "./inject.js";
import { fromPeftConfig, toPeftConfig } from "./peft-config.js";

const root = mkdtempSync(join(tmpdir(), "seg-lora-"));
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => tf.setBackend("cpu"));

let folders = 0;
/** A trained adapter of a toy model on disk. */
function saved(settings: object = {}) {
  const model = new ToyModel();
  const handle = injectLora(model, { targetModules: ["q_proj", "conv"], r: 2, loraAlpha: 3, ...settings }, { seed: 0 });
  let n = 0;
  for (const parameter of handle.trainableParameters().values()) {
    parameter.assign(Float32Array.from({ length: parameter.size }, () => Math.cos(++n)));
  }
  const dir = join(root, String(folders++));
  saveAdapter(handle, dir);
  return { dir, model, handle };
}

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

function rewrite(dir: string, change: (dict: Map<string, StateTensor>) => void): void {
  const path = join(dir, "adapter_model.safetensors");
  const dict = readSafetensors(path).toStateDict();
  change(dict);
  writeSafetensors(path, dict, { metadata: { format: "pt" } });
}

describe("saveAdapter", () => {
  test("writes PEFT's keys without the adapter name", () => {
    const { dir } = saved();
    expect(readdirSync(dir).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    const file = readSafetensors(join(dir, "adapter_model.safetensors"));
    expect(file.metadata).toEqual({ format: "pt" });
    expect(file.names().length).toBe(8);
    expect(file.info("base_model.model.conv.lora_A.weight")).toEqual({ dtype: "F32", shape: [2, 3, 3, 3] });
    expect(file.info("base_model.model.conv.lora_B.weight")).toEqual({ dtype: "F32", shape: [4, 2, 1, 1] });
    expect(file.info("base_model.model.layers.2.self_attn.q_proj.lora_B.weight").shape).toEqual([4, 2]);
  });

  test("writes every PEFT field, sorted, with full target paths", () => {
    const { dir } = saved({
      layersToTransform: 1,
      layersPattern: "layers",
      targetModules: ["q_proj"],
      excludeModules: ["conv"],
    });
    const config = readJson(join(dir, "adapter_config.json"));
    expect(Object.keys(config)).toEqual(Object.keys(config).toSorted());
    expect(config).toMatchObject({
      peft_type: "LORA",
      task_type: "FEATURE_EXTRACTION",
      auto_mapping: null,
      r: 2,
      lora_alpha: 3,
      target_modules: ["layers.1.self_attn.q_proj"],
      layers_to_transform: null,
      exclude_modules: null,
      inference_mode: true,
    });
    expect(Object.keys(config)).not.toContain("onUnsupported");
  });

  test("writes the same bytes for the same adapter", () => {
    const [a, b] = [saved(), saved()];
    for (const name of readdirSync(a.dir))
      expect(readFileSync(join(a.dir, name))).toEqual(readFileSync(join(b.dir, name)));
  });
});

describe("loadAdapter", () => {
  test.each([
    ["plain", {}],
    ["rank-stabilised with patterns", { useRslora: true, rankPattern: { q_proj: 3 }, alphaPattern: { conv: 5 } }],
    ["with adapter biases", { loraBias: true }],
    ["with base biases", { bias: "lora_only" }],
    ["with all biases", { bias: "all" }],
  ])("restores a saved adapter, %s", (_, settings) => {
    const { dir, model } = saved(settings);
    const other = new ToyModel();
    const handle = loadAdapter(other, dir);
    expect(other.run()).toEqual(model.run());
    expect([...stateDict(other).keys()]).toEqual([...stateDict(model).keys()]);
    const again = join(root, String(folders++));
    saveAdapter(handle, again);
    for (const name of readdirSync(dir)) expect(readFileSync(join(again, name))).toEqual(readFileSync(join(dir, name)));
  });

  const key = "base_model.model.layers.1.self_attn.q_proj.lora_B.weight";
  const values = (shape: number[]): StateTensor => ({
    dtype: "F32",
    shape,
    data: new Float32Array(shape[0]! * shape[1]!),
  });
  test.each<[string, (dict: Map<string, StateTensor>) => void, object]>([
    ["missing", (dict) => dict.delete(key), { missing: [key], unexpected: [] }],
    [
      "extra",
      (dict) => dict.set("base_model.model.x", values([1, 1])),
      { missing: [], unexpected: ["base_model.model.x"] },
    ],
    ["misshapen", (dict) => dict.set(key, values([4, 3])), { mismatched: [{ key, expected: [4, 2], actual: [4, 3] }] }],
  ])("refuses a %s tensor and leaves the model alone", (_, change, fields) => {
    const { dir } = saved();
    rewrite(dir, change);
    const model = new ToyModel();
    const before = model.run();
    expect(() => loadAdapter(model, dir)).toThrow(expect.objectContaining({ code: "lora/mismatch", ...fields }));
    expect(model.run()).toEqual(before);
    expect(stateDict(model).has("conv.weight")).toBe(true);
  });

  test("not strict: a layer without its tensors has no effect", () => {
    const { dir } = saved({ targetModules: ["q_proj"] });
    rewrite(dir, (dict) => {
      for (const name of [...dict.keys()]) if (name.includes("lora_B")) dict.delete(name);
      dict.set("base_model.model.x", values([1, 1]));
    });
    const model = new ToyModel();
    const before = model.run();
    loadAdapter(model, dir, { strict: false });
    expect(model.run()).toEqual(before);
    rewrite(dir, (dict) => dict.set(key, values([4, 3])));
    expect(() => loadAdapter(new ToyModel(), dir, { strict: false })).toThrow(AdapterMismatchError);
  });

  test("names what is not there or not readable", () => {
    const { dir } = saved();
    expect(() => loadAdapter(new ToyModel(), join(root, "none"))).toThrow(/does not exist/);
    rmSync(join(dir, "adapter_model.safetensors"));
    expect(() => loadAdapter(new ToyModel(), dir)).toThrow(/not found/);
    writeFileSync(join(dir, "adapter_model.bin"), "");
    expect(() => loadAdapter(new ToyModel(), dir)).toThrow(/the file is empty/);
    writeFileSync(join(dir, "adapter_config.json"), "{");
    expect(() => loadAdapter(new ToyModel(), dir)).toThrow(expect.objectContaining({ field: "adapter_config.json" }));
  });
});

describe("fromPeftConfig", () => {
  const file = { peft_type: "LORA", r: 4, target_modules: ["b", "a"] };

  test("takes PEFT's defaults for what is absent and passes unknown fields through", () => {
    const config = fromPeftConfig({ ...file, new_field: { x: 1 }, layers_pattern: null });
    expect(config).toMatchObject({
      r: 4,
      loraAlpha: 8,
      taskType: null,
      targetModules: ["b", "a"],
      extra: { new_field: { x: 1 } },
    });
    expect(toPeftConfig(config, ["p.b", "p.a"])).toMatchObject({ new_field: { x: 1 }, target_modules: ["p.a", "p.b"] });
  });

  test.each([
    ["use_qalora", true],
    ["layer_replication", [[0, 1]]],
    ["loftq_config", { loftq_bits: 4 }],
    ["future_config", { a: 1 }],
    ["target_parameters", ["x"]],
    ["init_lora_weights", "pissa"],
    ["init_lora_weights", "olora"],
    ["peft_type", "IA3"],
  ])("refuses %s = %j", (field, value) => {
    expect(() => fromPeftConfig({ ...file, [field]: value })).toThrow(
      expect.objectContaining({ code: "lora/unsupported", field }),
    );
  });

  test("refuses malformed values", () => {
    for (const bad of [null, [], { ...file, r: "8" }, { ...file, target_modules: null }, { ...file, bias: "some" }]) {
      expect(() => fromPeftConfig(bad)).toThrow(UnsupportedAdapterError);
    }
  });
});

const fixtures = join(process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../shared"), "fixtures/peft");
describe.skipIf(!existsSync(fixtures))("files written by PEFT 0.21", () => {
  const adapters = existsSync(fixtures)
    ? readdirSync(fixtures).filter((name) => existsSync(join(fixtures, name, "adapter")))
    : [];

  test.each(adapters)("the configuration of %s keeps every field when written again", (name) => {
    const json = readJson(join(fixtures, name, "adapter/adapter_config.json"));
    const written = toPeftConfig(fromPeftConfig(json), json["target_modules"] as string[]);
    const resolved = ["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"];
    expect(Object.keys(written)).toEqual(Object.keys(json));
    for (const [key, value] of Object.entries(json))
      if (!resolved.includes(key)) expect([key, written[key]]).toEqual([key, value]);
  });

  test("sam-plain has the keys that we write", () => {
    const file = readSafetensors(join(fixtures, "sam-plain/adapter/adapter_model.safetensors"));
    const { dir } = saved();
    const ours = readSafetensors(join(dir, "adapter_model.safetensors"));
    const pattern = /^base_model\.model\.(.+)\.lora_(A|B)\.weight$/;
    for (const name of [...file.names(), ...ours.names()]) expect(name).toMatch(pattern);
    expect(file.metadata).toEqual(ours.metadata);
    // Same order in the file: by name, all tensors being F32.
    expect(file.names()).toEqual(file.names().toSorted());
    expect(ours.names()).toEqual(ours.names().toSorted());
  });

  test("a foreign adapter is refused by a model it does not fit", () => {
    expect(() => loadAdapter(new ToyModel(), join(fixtures, "sam-plain/adapter"))).toThrow(AdapterMismatchError);
    expect(() => loadAdapter(new ToyModel(), join(fixtures, "sam-plain-bin/adapter"))).toThrow(AdapterMismatchError);
  });
});
