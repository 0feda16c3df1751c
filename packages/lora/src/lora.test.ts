import { Linear, Module, Parameter, stateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { ToyModel } from "../test/toy-model.js";
import { FreezingError, LoraTargetError, MergeError, UnsupportedAdapterError } from "./errors.js";
import { trainableSummary, verifyFreezing } from "./freezing.js";
import { injectLora, type LoraHandle } from "./inject.js";
import type { LoraConv2d } from "./layers/lora-conv2d.js";
import type { LoraLinear } from "./layers/lora-linear.js";
import { mergeAdapter, mergeAndUnload, setAdaptersEnabled, unmergeAdapter, withAdaptersDisabled } from "./merge.js";

beforeAll(() => tf.setBackend("cpu"));

const layerOf = (handle: LoraHandle, path: string) => handle.layers.get(path) as LoraLinear | LoraConv2d;

/** Non-zero values for every adapter tensor, so that nothing is a no-op. */
function randomise(handle: LoraHandle): void {
  let n = 0;
  for (const [, parameter] of handle.trainableParameters()) {
    parameter.assign(Float32Array.from({ length: parameter.size }, () => Math.sin(++n * 78.233)));
  }
}

const bytes = (data: Float32Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

function weights(model: Module): Map<string, string> {
  return new Map(
    [...stateDict(model)].filter(([, t]) => t.dtype === "F32").map(([k, t]) => [k, bytes(t.data as Float32Array)]),
  );
}

function maxDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0);
}

class Golden extends Module {
  layer: Linear;
  constructor() {
    super();
    this.layer = new Linear({ inFeatures: 2, outFeatures: 2, bias: false, init: { seed: 0, path: "" } });
    this.layer.weight.assign(Float32Array.of(1, 2, 3, 4));
  }
}

describe("adapter mathematics", () => {
  test.each([
    ["LoRA", false, 2, [1, -6], [2, 1, 3, 9]],
    ["rslora", true, 2.8284271, [1.8284271, -8.0710678], [2.4142137, 0.5857865, 3, 11.0710678]],
  ])("%s golden values", (_, useRslora, scaling, y, merged) => {
    const model = new Golden();
    const handle = injectLora(model, { r: 2, loraAlpha: 4, targetModules: ["layer"], useRslora }, { seed: 0 });
    const layer = layerOf(handle, "layer");
    layer.lora_A.weight.assign(Float32Array.of(0.5, -0.5, 0.25, 1));
    layer.lora_B.weight.assign(Float32Array.of(1, 0, -1, 2));
    expect(layer.scaling).toBeCloseTo(scaling, 6);
    const forward = () =>
      tf.tidy(() => [...(layer.forward(tf.tensor4d([1, -1], [1, 1, 1, 2])).dataSync() as Float32Array)]);
    for (const [i, value] of forward().entries()) expect(value).toBeCloseTo(y[i]!, 5);
    mergeAdapter(model);
    for (const [i, value] of layer.base_layer.weight.data().entries()) expect(value).toBeCloseTo(merged[i]!, 5);
    for (const [i, value] of forward().entries()) expect(value).toBeCloseTo(y[i]!, 5);
  });

  test("a patterned rank does not rescale alpha", () => {
    const settings = { r: 2, loraAlpha: 4, rankPattern: { layer: 8 } };
    const handle = injectLora(new Golden(), { ...settings, targetModules: ["layer"] }, { seed: 0 });
    expect(handle.layers.get("layer")).toMatchObject({ rank: 8, scaling: 0.5 });
  });
});

describe("injectLora", () => {
  test("leaves the outputs bit-identical", () => {
    const model = new ToyModel();
    const before = bytes(model.run());
    for (const initLoraWeights of [true, "gaussian"] as const) {
      const fresh = new ToyModel();
      injectLora(fresh, { targetModules: [".*_proj", "conv"], r: 2, initLoraWeights }, { seed: 1 });
      expect(bytes(fresh.run())).toBe(before);
    }
  });

  test("names parameters as PEFT does and draws lora_A uniform within 1/sqrt(fan_in)", () => {
    const model = new ToyModel();
    const handle = injectLora(model, { targetModules: ["q_proj", "conv"], r: 3 }, { seed: 1 });
    expect([...handle.trainableParameters()].slice(0, 3).map(([name, p]) => [name, p.shape])).toEqual([
      ["conv.lora_A.weight", [3, 3, 3, 3]],
      ["conv.lora_B.weight", [4, 3, 1, 1]],
      ["layers.0.self_attn.q_proj.lora_A.weight", [3, 4]],
    ]);
    expect(stateDict(model).has("layers.0.self_attn.q_proj.base_layer.weight")).toBe(true);
    const a = layerOf(handle, "layers.0.self_attn.q_proj").lora_A.weight.data();
    expect(a.every((value) => Math.abs(value) <= 0.5)).toBe(true);
    expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.3);
    const other = layerOf(handle, "layers.1.self_attn.q_proj").lora_A.weight.data();
    expect(bytes(a)).not.toBe(bytes(other));
  });

  test("draws the same from the same seed, whatever else is adapted", () => {
    const first = (targetModules: string[], seed: number) =>
      bytes(
        layerOf(
          injectLora(new ToyModel(), { targetModules }, { seed }),
          "layers.2.self_attn.v_proj",
        ).lora_A.weight.data(),
      );
    expect(first(["v_proj"], 5)).toBe(first(["q_proj", "v_proj"], 5));
    expect(first(["v_proj"], 5)).not.toBe(first(["v_proj"], 6));
  });

  test("gradients reach exactly the adapter", () => {
    const model = new ToyModel();
    const handle = injectLora(model, { targetModules: ["q_proj", "v_proj", "conv"], r: 2 }, { seed: 1 });
    randomise(handle);
    const variables = [...handle.trainableParameters().values()].map((p) => p.variable);
    const { value, grads } = tf.variableGrads(() => {
      const x = tf.ones([1, 8, 8, 3]) as tf.Tensor4D;
      return tf.sum(tf.square(model.forward(x))).asScalar();
    }, variables);
    expect(variables.length).toBe(14);
    // An analytic derivative against a central difference, per adapter tensor.
    const loss = () => tf.tidy(() => tf.sum(tf.square(model.forward(tf.ones([1, 8, 8, 3])))).dataSync()[0]!);
    for (const parameter of [
      layerOf(handle, "conv").lora_A.weight,
      layerOf(handle, "layers.1.self_attn.v_proj").lora_B.weight,
    ]) {
      const analytic = grads[parameter.variable.name]!.dataSync()[1]!;
      const start = Float32Array.from(parameter.data());
      const shifted = (delta: number) => {
        parameter.assign(start.map((v, i) => (i === 1 ? v + delta : v)));
        return loss();
      };
      const numeric = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
      parameter.assign(start);
      expect(Math.abs(analytic - numeric)).toBeLessThan(2e-2 * Math.max(1, Math.abs(numeric)));
    }
    tf.dispose([value, grads]);
  });

  test("trains the biases of adapted layers, or all, on request", () => {
    const names = (bias: "lora_only" | "all") =>
      injectLora(new ToyModel(), { targetModules: ["q_proj"], bias }, { seed: 0 }).allow;
    expect(names("lora_only")).toEqual([0, 1, 2].map((i) => `layers.${i}.self_attn.q_proj.base_layer.bias`));
    expect(names("all")).toContain("conv.bias");
  });

  test("refuses what it cannot do and leaves the model alone", () => {
    const model = new ToyModel();
    const keys = [...stateDict(model).keys()];
    const inject = (settings: object) => () =>
      injectLora(model, { targetModules: ["q_proj"], ...settings }, { seed: 0 });
    expect(inject({ useDora: true, loraBias: true })).toThrow(UnsupportedAdapterError);
    expect(inject({ modulesToSave: ["nothing"] })).toThrow(/modulesToSave names no module/);
    expect(inject({ targetModules: ["k_proj"], loraBias: true })).toThrow(LoraTargetError);
    expect(inject({ rank: 4 })).toThrow(/rank/);
    expect(inject({ r: 0, loraDropout: 1 })).toThrow(
      expect.objectContaining({
        code: "lora/config",
        issues: [expect.objectContaining({ field: "r" }), expect.objectContaining({ field: "loraDropout" })],
      }),
    );
    expect([...stateDict(model).keys()]).toEqual(keys);
    inject({})();
    expect(inject({})).toThrow(/already carries an adapter/);
  });
});

describe("verifyFreezing, trainableSummary", () => {
  const adapted = () => {
    const model = new ToyModel();
    return { model, handle: injectLora(model, { targetModules: ["q_proj"], r: 1 }, { seed: 0 }) };
  };

  test("count scalars, frozen buffers excluded", () => {
    const { model } = adapted();
    // conv 112, bn 8, 3 x (76 attention + 8 norm), upscale 34, head 10, tied bias 2
    expect(verifyFreezing(model, { maxRatio: 0.5 })).toEqual({ trainable: 24, frozen: 418, all: 442 });
    expect(trainableSummary(model)).toBe("trainable params: 24 || all params: 442 || trainable%: 5.4299");
  });

  test("the ratio is strict", () => {
    const { model } = adapted();
    expect(() => verifyFreezing(model)).toThrow(FreezingError);
    expect(() => verifyFreezing(model, { maxRatio: 24 / 418 })).toThrow(/less than/);
  });

  test("base parameters may train only when allowed", () => {
    const { model } = adapted();
    model.head.weight.requiresGrad = true;
    const names = ["head.weight"];
    expect(() => verifyFreezing(model, { maxRatio: 1 })).toThrow(
      expect.objectContaining({ code: "lora/freezing", names }),
    );
    expect(verifyFreezing(model, { maxRatio: 1, allow: ["head"] }).trainable).toBe(32);
  });

  test("nothing trainable is an error", () => {
    const model = new ToyModel();
    for (const parameter of model.namedParameters().values()) parameter.requiresGrad = false;
    expect(() => verifyFreezing(model)).toThrow(/injectLora/);
  });

  test("the optimiser must hold exactly the trainable set", () => {
    const { model, handle } = adapted();
    const all = [...handle.trainableParameters().values()];
    expect(verifyFreezing(model, { maxRatio: 1, optimised: all }).trainable).toBe(24);
    expect(() => verifyFreezing(model, { maxRatio: 1, optimised: all.slice(1) })).toThrow(/lacks/);
    expect(() => verifyFreezing(model, { maxRatio: 1, optimised: [...all, model.head.weight] })).toThrow(/holds 1/);
  });
});

describe("merging", () => {
  const settings = { targetModules: [".*_proj", "conv"], r: 2, loraAlpha: 2 };
  const make = (extra: object = {}) => {
    const model = new ToyModel();
    const base = { run: model.run(), weights: weights(model) };
    const handle = injectLora(model, { ...settings, ...extra }, { seed: 0 });
    randomise(handle);
    return { model, handle, base, active: model.run() };
  };

  test.each([[{}], [{ targetModules: ["q_proj", "v_proj", "conv"], loraBias: true }]])(
    "computes what the adapter computes %o",
    (extra) => {
      const { model, base, active } = make(extra);
      expect(maxDifference(active, base.run)).toBeGreaterThan(0.01);
      mergeAdapter(model);
      expect(maxDifference(model.run(), active)).toBeLessThan(2e-6);
    },
  );

  test("unmerging restores the bytes, again and again", () => {
    const { model, base, active } = make();
    const adapted = weights(model);
    for (let i = 0; i < 3; i++) {
      mergeAdapter(model);
      expect(weights(model)).not.toEqual(adapted);
      unmergeAdapter(model);
    }
    expect(weights(model)).toEqual(adapted);
    expect(weights(model).get("conv.base_layer.weight")).toBe(base.weights.get("conv.weight"));
    expect(bytes(model.run())).toBe(bytes(active));
  });

  test("disabled adapters leave the pristine base, merged or not", async () => {
    const { model, base, active } = make();
    const run = () => bytes(model.run());
    expect(withAdaptersDisabled(model, run)).toBe(bytes(base.run));
    expect(run()).toBe(bytes(active));
    mergeAdapter(model);
    const merged = run();
    expect(await withAdaptersDisabled(model, async () => run())).toBe(bytes(base.run));
    expect(run()).toBe(merged);
    expect(() =>
      withAdaptersDisabled(model, () => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(run()).toBe(merged);
    setAdaptersEnabled(model, false);
    expect(withAdaptersDisabled(model, run)).toBe(bytes(base.run));
    expect(run()).toBe(bytes(base.run));
    unmergeAdapter(model);
    setAdaptersEnabled(model, true);
    expect(run()).toBe(bytes(active));
  });

  test("mergeAndUnload returns the original tree", () => {
    const { model, base, active } = make();
    const tensors = tf.memory().numTensors;
    mergeAndUnload(model);
    expect([...stateDict(model).keys()]).toEqual([...stateDict(new ToyModel()).keys()]);
    expect(model.conv.constructor.name).toBe("Conv2d");
    expect(maxDifference(model.run(), active)).toBeLessThan(2e-6);
    expect(weights(model).get("head.weight")).toBe(base.weights.get("head.weight"));
    expect(tf.memory().numTensors).toBeLessThan(tensors + [...stateDict(model).keys()].length);
    expect(() => mergeAdapter(model)).toThrow(MergeError);
  });

  test("mergeAndUnload of disabled adapters merges all the same", () => {
    const { model, active } = make();
    setAdaptersEnabled(model, false);
    mergeAndUnload(model);
    expect(maxDifference(model.run(), active)).toBeLessThan(2e-6);
  });

  test("refuses a second merge, an unmerge of nothing, and results that are not finite", () => {
    const { model, handle } = make();
    expect(() => unmergeAdapter(model)).toThrow(MergeError);
    const layer = layerOf(handle, "layers.1.self_attn.k_proj");
    const good = Float32Array.from(layer.lora_A.weight.data());
    layer.lora_A.weight.assign(good.map((v, i) => (i === 3 ? Number.POSITIVE_INFINITY : v)));
    const before = weights(model);
    expect(() => mergeAdapter(model)).toThrow(
      expect.objectContaining({ code: "lora/merge", paths: ["layers.1.self_attn.k_proj"] }),
    );
    expect(weights(model)).toEqual(before);
    layer.lora_A.weight.assign(good);
    mergeAdapter(model);
    expect(() => mergeAdapter(model)).toThrow(/merged already/);
  });

  test("dispose frees every tensor, also of merged models", () => {
    const before = tf.memory().numTensors;
    const { model } = make();
    mergeAdapter(model);
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

test("Parameter is the leaf type that trainableParameters yields", () => {
  const handle = injectLora(new ToyModel(), { targetModules: "all-linear", onUnsupported: "skip" }, { seed: 0 });
  for (const parameter of handle.trainableParameters().values()) expect(parameter).toBeInstanceOf(Parameter);
});
