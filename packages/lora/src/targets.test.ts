import { describe, expect, test } from "vitest";
import { ToyModel } from "../test/toy-model.js";
import { LoraTargetError } from "./errors.js";
import { injectLora } from "./inject.js";
import { resolveTargets } from "./targets.js";

const model = new ToyModel();
const paths = (targetModules: string | string[], extra: object = {}) =>
  resolveTargets(model, { targetModules, ...extra }).targets.map(({ path }) => path);
const each = (...names: string[]) => [0, 1, 2].flatMap((i) => names.map((name) => `layers.${i}.self_attn.${name}`));

describe("resolveTargets", () => {
  test("a list entry equals a path or ends one at a dot: proj does not match q_proj", () => {
    expect(paths(["proj"])).toEqual(each("proj"));
    expect(paths(["layers.1.self_attn.q_proj"])).toEqual(["layers.1.self_attn.q_proj"]);
    expect(paths(["self_attn.q_proj", "v_proj"])).toEqual(each("q_proj", "v_proj"));
  });

  test("a string is a regular expression for the whole path", () => {
    expect(paths("layers\\.\\d+\\.self_attn\\.(q|v)_proj")).toEqual(each("q_proj", "v_proj"));
    expect(paths(".*q_proj")).toEqual(each("q_proj"));
    expect(() => paths("q_proj")).toThrow(LoraTargetError);
    expect(() => paths("(")).toThrow(/not a regular expression/);
  });

  test("all-linear takes every Linear that is not tied", () => {
    const result = resolveTargets(model, { targetModules: "ALL-linear" });
    expect(result.targets.map(({ path }) => path)).toEqual(each("q_proj", "k_proj", "v_proj", "proj"));
    expect(result.skipped.map(({ path }) => path)).toEqual(["head", "tied_head"]);
  });

  test("globs, re:, .* and a trailing .weight are resolved", () => {
    expect(paths(["layers.*.self_attn.q_proj"])).toEqual(each("q_proj"));
    expect(() => paths(["layers.*.q_proj"])).toThrow(LoraTargetError);
    expect(paths(["layers.**.q_proj"])).toEqual(each("q_proj"));
    expect(paths(["re:layers\\.0\\..*k_proj"])).toEqual(["layers.0.self_attn.k_proj"]);
    expect(paths([".*self_attn\\.proj"])).toEqual(each("proj"));
    expect(paths(["conv.weight"])).toEqual(["conv"]);
  });

  test("aliases count only when the literal entry matches nothing", () => {
    const aliases = { query: "q_proj", proj: "k_proj", "stem.0": "conv" };
    expect(paths(["self_attn.query", "proj"], { aliases })).toEqual(each("q_proj", "proj"));
    expect(paths(["stem.0"], { aliases })).toEqual(["conv"]);
    expect(() => paths(["subquery"], { aliases })).toThrow(LoraTargetError);
  });

  test("exclusions come first, in both forms", () => {
    expect(paths(["q_proj"], { excludeModules: "layers\\.[02]\\..*" })).toEqual(["layers.1.self_attn.q_proj"]);
    expect(paths(".*proj", { excludeModules: ["proj"] })).toEqual(each("q_proj", "k_proj", "v_proj"));
    expect(() => paths(["q_proj"], { excludeModules: ["q_proj"] })).toThrow(LoraTargetError);
  });

  test("saved modules and what is below them get no adapters", () => {
    expect(paths(["q_proj"], { modulesToSave: ["layers.0"] })).toEqual(each("q_proj").slice(1));
    expect(paths("all-linear", { modulesToSave: ["self_attn.q", "v_proj"] })).toEqual(each("q_proj", "k_proj", "proj"));
  });

  test("layer filters keep the wanted indices, but never drop an exact path", () => {
    expect(paths(["q_proj"], { layersToTransform: [0, 2], layersPattern: "layers" })).toEqual([
      "layers.0.self_attn.q_proj",
      "layers.2.self_attn.q_proj",
    ]);
    expect(paths(["q_proj"], { layersToTransform: 1, layersPattern: ["blocks", "layers"] })).toEqual([
      "layers.1.self_attn.q_proj",
    ]);
    expect(paths(["layers.0.self_attn.q_proj"], { layersToTransform: 1, layersPattern: "layers" })).toEqual([
      "layers.0.self_attn.q_proj",
    ]);
    // PEFT's default pattern wants a component before the list's name, which these paths lack.
    expect(() => paths(["q_proj"], { layersToTransform: 1 })).toThrow(LoraTargetError);
    expect(() => paths(["q_proj"], { layersPattern: "layers" })).toThrow(/layersToTransform/);
    expect(() => paths(".*q_proj", { layersToTransform: 1 })).toThrow(/list of targets/);
  });

  test("rank and alpha follow the first pattern that ends the path", () => {
    const { targets } = resolveTargets(model, {
      targetModules: ["q_proj", "v_proj"],
      r: 4,
      loraAlpha: 8,
      rankPattern: { "layers.0.self_attn.q_proj": 6, q_proj: 5, proj: 99, "layers\\.1\\..*v_proj": 3 },
      alphaPattern: { v_proj: 1 },
    });
    expect(targets.map(({ path, rank, alpha }) => `${path.slice(7, 8)}${path.at(-6)} ${rank} ${alpha}`)).toEqual([
      "0q 6 8",
      "0v 4 1",
      "1q 5 8",
      "1v 3 1",
      "2q 5 8",
      "2v 4 1",
    ]);
  });

  test("an entry that matches nothing is an error that names near paths", () => {
    expect(() => paths(["q_proj", "out_proj"])).toThrow(LoraTargetError);
    try {
      paths(["self_attn.q_project"]);
      expect.fail("should throw");
    } catch (error) {
      expect(error).toMatchObject({ code: "lora/target", target: "self_attn.q_project" });
      expect((error as LoraTargetError).nearest).toContain("layers.0.self_attn.q_proj");
    }
  });

  test("kinds that cannot be adapted fail, or are recorded when skipping", () => {
    expect(() => paths(["upscale"])).toThrow(/ConvTranspose2d cannot be adapted/);
    expect(() => paths(["self_attn"])).toThrow(/only Linear, Conv2d and Embedding/);
    expect(() => paths(["tied_head"])).toThrow(/shared/);
    const result = resolveTargets(model, { targetModules: ["q_proj", "upscale", "norm"], onUnsupported: "skip" });
    expect(result.targets.length).toBe(3);
    expect(result.skipped.map(({ path }) => path)).toEqual([
      "upscale",
      "layers.0.norm",
      "layers.1.norm",
      "layers.2.norm",
    ]);
    expect(() => paths(["upscale"], { onUnsupported: "skip" })).toThrow(/nothing adaptable/);
  });

  test("never looks into adapters", () => {
    const adapted = new ToyModel();
    injectLora(adapted, { targetModules: ["conv"] }, { seed: 0 });
    expect(() => resolveTargets(adapted, { targetModules: ["lora_A"] })).toThrow(LoraTargetError);
  });
});
