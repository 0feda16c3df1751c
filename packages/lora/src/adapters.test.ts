import { Embedding, Linear, Module, Parameter, stateDict } from "@seg/nn";
import { compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeEach, describe, expect, test } from "vitest";
import { ToyModel } from "../test/toy-model.js";
import { activeAdapter, adapterNames, setAdapter } from "./adapters.js";
import { baseHash } from "./base-weights.js";
import { MergeError, UnknownAdapterError } from "./errors.js";
import { verifyFreezing } from "./freezing.js";
import { injectLora, type LoraHandle } from "./inject.js";
import type { LoraEmbedding } from "./layers/lora-embedding.js";
import type { LoraLinear } from "./layers/lora-linear.js";
import { mergeAdapter, mergeAndUnload, setAdaptersEnabled, unmergeAdapter, withAdaptersDisabled } from "./merge.js";

beforeEach(() => tf.setBackend("cpu"));

/** Values that make nothing a no-op. */
function randomise(handle: LoraHandle, start = 0): void {
  let n = start;
  for (const [, parameter] of handle.trainableParameters()) {
    const before = parameter.data();
    parameter.assign(Float32Array.from(before, (value) => 0.6 * value + 0.4 * Math.sin(++n * 78.233)));
  }
}

const maxDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0);

class Golden extends Module {
  layer: Linear;
  constructor() {
    super();
    this.layer = new Linear({ inFeatures: 2, outFeatures: 2, bias: false, init: { seed: 0, path: "" } });
    this.layer.weight.assign(Float32Array.of(1, 2, 3, 4));
  }
}

class Words extends Module {
  words: Embedding;
  constructor() {
    super();
    this.words = new Embedding({ count: 5, features: 3, lookup: true, init: { seed: 0, path: "words" } });
  }
  run(): Float32Array {
    return tf.tidy(() => this.words.forward(tf.tensor2d([0, 4, 2, 2], [2, 2], "int32")).dataSync() as Float32Array);
  }
}

describe("DoRA", () => {
  test("golden values of the specification", () => {
    const model = new Golden();
    const handle = injectLora(model, { r: 2, loraAlpha: 4, targetModules: ["layer"], useDora: true }, { seed: 0 });
    const layer = handle.layers.get("layer") as LoraLinear;
    expect([...layer.activeParts!.magnitude!.data()]).toEqual([Math.fround(Math.sqrt(5)), 5]);
    layer.lora_A.weight.assign(Float32Array.of(0.5, -0.5, 0.25, 1));
    layer.lora_B.weight.assign(Float32Array.of(1, 0, -1, 2));
    const forward = () => tf.tidy(() => layer.forward(tf.tensor2d([[1, -1]])).dataSync());
    for (const [i, value] of [1, -3.1622777].entries()) expect(forward()[i]).toBeCloseTo(value, 5);
    mergeAdapter(model);
    for (const [i, value] of [2, 1, 1.5811389, 4.7434165].entries())
      expect(layer.base_layer.weight.data()[i]).toBeCloseTo(value, 5);
    for (const [i, value] of [1, -3.1622777].entries()) expect(forward()[i]).toBeCloseTo(value, 5);
  });

  test.each(["cpu", "onnxruntime"])("a fresh adapter leaves the bits on %s; a trained one merges", async (backend) => {
    await tf.setBackend(backend);
    const model = new ToyModel();
    const before = model.run();
    const handle = injectLora(model, { targetModules: [".*_proj", "conv"], r: 2, useDora: true }, { seed: 1 });
    expect(model.run()).toEqual(before);
    randomise(handle);
    const active = model.run();
    expect(maxDifference(active, before)).toBeGreaterThan(0.01);
    mergeAdapter(model);
    expect(maxDifference(model.run(), active)).toBeLessThan(5e-6);
    unmergeAdapter(model);
    expect(model.run()).toEqual(active);
  });

  test("no gradient flows through the norm", () => {
    const handle = injectLora(new Golden(), { r: 1, targetModules: ["layer"], useDora: true }, { seed: 0 });
    const layer = handle.layers.get("layer") as LoraLinear;
    randomise(handle);
    const loss = (n: number[] | null) => {
      // y = base + (m/n - 1) W x + (m/n) s B A x, with n as a constant where one is given.
      const [a, b, m] = [
        layer.lora_A.weight.value(),
        layer.lora_B.weight.value(),
        layer.activeParts!.magnitude!.value(),
      ];
      const x = tf.tensor2d([[1, -2]]);
      if (n === null) return tf.sum(tf.square(layer.forward(x))).asScalar();
      const base = tf.matMul(x, layer.base_layer.matrix(), false, true);
      const low = tf.mul(
        tf.matMul(tf.matMul(x, a as tf.Tensor2D, false, true), b as tf.Tensor2D, false, true),
        layer.scaling,
      );
      const ratio = tf.div(m, tf.tensor1d(n));
      return tf.sum(tf.square(tf.add(base, tf.add(tf.mul(base, tf.sub(ratio, 1)), tf.mul(low, ratio))))).asScalar();
    };
    const variables = [...handle.trainableParameters().values()].map(({ variable }) => variable);
    const [w, a, b] = [layer.base_layer.matrix(), layer.lora_A.weight.value(), layer.lora_B.weight.value()].map(
      (tensor) => tensor.arraySync() as number[][],
    );
    const n = [0, 1].map((row) =>
      Math.hypot(...[0, 1].map((k) => w![row]![k]! + layer.scaling * b![row]![0]! * a![0]![k]!)),
    );
    const [ours, expected] = [null, n].map((norm) => tf.variableGrads(() => loss(norm), variables).grads);
    for (const { name } of variables) {
      const [x, y] = [ours![name]!.dataSync(), expected![name]!.dataSync()];
      for (let i = 0; i < x.length; i++) expect(x[i]).toBeCloseTo(y[i]!, 4);
    }
  });
});

describe("Embedding", () => {
  test.each([false, true])("merges, unmerges and unloads, DoRA %s", (useDora) => {
    const model = new Words();
    const before = model.run();
    const handle = injectLora(model, { targetModules: ["words"], r: 2, useDora }, { seed: 0 });
    expect(handle.targets[0]!.kind).toBe("embedding");
    expect([...handle.trainableParameters()].map(([name, { shape }]) => [name, shape])).toEqual([
      ["words.lora_embedding_A", [2, 5]],
      ["words.lora_embedding_B", [3, 2]],
      ...(useDora ? [["words.lora_magnitude_vector", [3]]] : []),
    ]);
    expect(model.run()).toEqual(before);
    randomise(handle);
    const active = model.run();
    expect(maxDifference(active, before)).toBeGreaterThan(0.01);
    mergeAdapter(model);
    expect(maxDifference(model.run(), active)).toBeLessThan(1e-6);
    unmergeAdapter(model);
    expect((handle.layers.get("words") as LoraEmbedding).base_layer.weight.data()).toEqual(
      new Words().words.weight.data(),
    );
    mergeAndUnload(model);
    expect(maxDifference(model.run(), active)).toBeLessThan(1e-6);
  });

  test("a table that is read directly is refused", () => {
    const model = new Words();
    Object.defineProperty(model.words, "lookup", { value: false });
    expect(() => injectLora(model, { targetModules: ["words"] }, { seed: 0 })).toThrow(/no effect until merged/);
  });
});

describe("modulesToSave", () => {
  const settings = { targetModules: ["q_proj"], r: 2, modulesToSave: ["v_proj", "bn"] };

  test("trains in place, is put aside when switched off, and stays after unloading", () => {
    const model = new ToyModel();
    const before = model.run();
    const handle = injectLora(model, settings, { seed: 0 });
    expect(handle.allow).toEqual(["bn", ...[0, 1, 2].map((i) => `layers.${i}.self_attn.v_proj`)]);
    expect(verifyFreezing(model, { maxRatio: 1, allow: handle.allow }).trainable).toBe(3 * (16 + 20) + 8);
    expect(model.run()).toEqual(before);
    randomise(handle);
    const active = model.run();
    expect(withAdaptersDisabled(model, () => model.run())).toEqual(before);
    expect(model.run()).toEqual(active);
    handle.train();
    expect(model.bn.training).toBe(true);
    expect(model.layers.at(0).self_attn.q_proj.training).toBe(true);
    expect((model.getModule("layers.0.self_attn.q_proj.base_layer") as Linear).training).toBe(false);
    handle.train(false);
    setAdaptersEnabled(model, false);
    mergeAndUnload(model);
    expect(maxDifference(model.run(), active)).toBeLessThan(2e-6);
  });
});

describe("several adapters", () => {
  const make = () => {
    const model = new ToyModel();
    const base = model.run();
    const first = injectLora(model, { targetModules: ["q_proj", "conv"], r: 2 }, { seed: 0, adapterName: "first" });
    randomise(first);
    const one = model.run();
    const second = injectLora(
      model,
      { targetModules: ["q_proj", "k_proj"], r: 3, modulesToSave: ["v_proj"] },
      { seed: 1, adapterName: "second" },
    );
    randomise(second, 100);
    return { model, base, first, second, one, two: model.run() };
  };

  test("are switched without a trace of each other", () => {
    const { model, base, first, one, two } = make();
    expect(adapterNames(model)).toEqual(["first", "second"]);
    expect(activeAdapter(model)).toBe("second");
    expect(maxDifference(one, two)).toBeGreaterThan(0.01);
    setAdapter(model, "first");
    expect(model.run()).toEqual(one);
    expect([...first.trainableParameters().keys()].every((name) => name.includes("lora_"))).toBe(true);
    expect([...first.trainableParameters()].length).toBe(8);
    expect(withAdaptersDisabled(model, () => model.run())).toEqual(base);
    setAdapter(model, "second");
    expect(model.run()).toEqual(two);
    expect(() => setAdapter(model, "third")).toThrow(UnknownAdapterError);
  });

  test("merge one, or several in order; never while merged", () => {
    const { model, two } = make();
    mergeAdapter(model);
    expect(maxDifference(model.run(), two)).toBeLessThan(2e-6);
    expect(() => setAdapter(model, "first")).toThrow(MergeError);
    expect(() => injectLora(model, { targetModules: ["conv"] }, { seed: 0, adapterName: "x" })).toThrow(MergeError);
    unmergeAdapter(model);
    expect(model.run()).toEqual(two);
    mergeAdapter(model, { adapters: ["first", "second"] });
    const layer = model.getModule("layers.1.self_attn.q_proj") as unknown as LoraLinear;
    const [a, b] = ["first", "second"].map((name) => layer.partsOf(name)!);
    const product = (parts: typeof a) =>
      tf.tidy(() =>
        tf.mul(tf.matMul(parts!.b.value() as tf.Tensor2D, parts!.a.value() as tf.Tensor2D), parts!.scaling).dataSync(),
      );
    const expected = new ToyModel().layers
      .at(1)
      .self_attn.q_proj.weight.data()
      .map((w, i) => w + product(a)[i]! + product(b)[i]!);
    expect(maxDifference(layer.base_layer.weight.data(), expected)).toBeLessThan(1e-6);
    expect(() => mergeAdapter(model, { adapters: ["first"] })).toThrow(/merged already/);
    unmergeAdapter(model);
    expect(() => mergeAdapter(model, { adapters: ["none"] })).toThrow(UnknownAdapterError);
    mergeAndUnload(model);
    expect([...stateDict(model).keys()]).toEqual([...stateDict(new ToyModel()).keys()]);
    expect(maxDifference(model.run(), two)).toBeLessThan(2e-6);
  });

  test("the hash of the base stays, whatever is on top", () => {
    const { model } = make();
    const expected = baseHash(new ToyModel());
    expect(baseHash(model)).toBe(expected);
    mergeAdapter(model);
    expect(baseHash(model)).toBe(expected);
  });

  test("everything is freed", () => {
    const before = tf.memory().numTensors;
    const { model } = make();
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe("dropout", () => {
  const settings = { targetModules: ["q_proj", "conv"], r: 2, loraDropout: 0.5 };

  test("only in training, by seed and step, and never in the base", () => {
    const model = new ToyModel();
    const handle = injectLora(model, settings, { seed: 4 });
    randomise(handle);
    const still = model.run();
    expect(model.run()).toEqual(still);
    handle.train();
    handle.random.setStep(3);
    const third = model.run();
    expect(model.run()).toEqual(third);
    expect(third).not.toEqual(still);
    handle.random.setStep(4);
    expect(model.run()).not.toEqual(third);
    handle.random.setStep(3);
    expect(model.run()).toEqual(third);
    handle.train(false);
    expect(model.run()).toEqual(still);
  });

  test("inside a compiled step each step draws anew", async () => {
    await tf.setBackend("onnxruntime");
    const model = new ToyModel();
    const handle = injectLora(model, settings, { seed: 4 });
    randomise(handle);
    handle.train();
    const run = compile((x: tf.Tensor) => model.forward(x as tf.Tensor4D));
    const x = tf.ones([1, 8, 8, 3]);
    const outputs = [0, 1, 0].map((step) => {
      handle.random.setStep(step);
      const y = run(x);
      const values = Array.from(y.dataSync());
      y.dispose();
      return values;
    });
    expect(outputs[0]).toEqual(outputs[2]);
    expect(outputs[0]).not.toEqual(outputs[1]);
    model.dispose();
  });
});

test("initLoraWeights false changes the output from the start", () => {
  const model = new ToyModel();
  const before = model.run();
  injectLora(model, { targetModules: ["q_proj"], initLoraWeights: false }, { seed: 0 });
  expect(model.run()).not.toEqual(before);
  expect([...model.namedParameters().values()].every((p) => p instanceof Parameter)).toBe(true);
});
