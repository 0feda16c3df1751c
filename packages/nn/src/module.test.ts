import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { StateDictError } from "./errors.js";
import { at } from "./init.js";
import { Conv2d } from "./layers/conv2d.js";
import { Embedding } from "./layers/embedding.js";
import { Linear } from "./layers/linear.js";
import { BatchNorm2d, LayerNorm } from "./layers/norm.js";
import { Module, ModuleList, type StateTensor } from "./module.js";
import { loadStateDict, stateDict } from "./state-dict.js";

beforeAll(() => tf.setBackend("cpu"));

/** Two heads share one weight; a list holds a linear layer and a norm. */
class Toy extends Module {
  first: Linear;
  second: Linear;
  list: ModuleList<Linear | BatchNorm2d>;
  notAChild = [1, 2];

  constructor(seed = 0) {
    super();
    const linear = (name: string) => new Linear({ inFeatures: 2, outFeatures: 2, init: at({ seed, path: "" }, name) });
    this.first = linear("first");
    this.second = linear("second");
    this.second.weight.dispose();
    this.second.weight = this.first.weight;
    this.list = new ModuleList([linear("list.0"), new BatchNorm2d({ features: 2 })]);
  }
}

const f32 = (shape: number[], ...values: number[]): StateTensor => ({
  dtype: "F32",
  shape,
  data: Float32Array.from(values),
});
const snapshot = (module: Module) =>
  JSON.stringify([...stateDict(module)].map(([key, { data }]) => [key, [...data].map(String)]));

describe("Module", () => {
  test("paths of leaves are property paths in construction order", () => {
    expect([...new Toy().namedLeaves()].map(([path]) => path)).toEqual([
      "first.weight",
      "first.bias",
      "second.weight",
      "second.bias",
      "list.0.weight",
      "list.0.bias",
      "list.1.weight",
      "list.1.bias",
      "list.1.running_mean",
      "list.1.running_var",
      "list.1.num_batches_tracked",
    ]);
  });

  test("a tied parameter appears once, under its first path", () => {
    const toy = new Toy();
    const names = [...toy.namedParameters().keys()];
    expect(names).toContain("first.weight");
    expect(names).not.toContain("second.weight");
    expect([...stateDict(toy).keys()]).not.toContain("second.weight");
    expect(names).not.toContain("list.1.running_mean");
  });

  test("getModule and setModule reach through lists", () => {
    const toy = new Toy();
    expect(toy.getModule("")).toBe(toy);
    expect(toy.getModule("list.1")).toBe(toy.list.at(1));
    for (const path of ["list.2", "list.x", "first.weight", "none", "list.0.none", "constructor"])
      expect(toy.getModule(path)).toBeNull();
    const other = new Linear({ inFeatures: 2, outFeatures: 3, init: { seed: 1, path: "" } });
    toy.setModule("list.0", other);
    expect(toy.list.at(0)).toBe(other);
    expect([...toy.list]).toEqual([other, toy.list.at(1)]);
    expect(stateDict(toy).get("list.0.weight")?.shape).toEqual([3, 2]);
    toy.setModule("first", other);
    expect(toy.first).toBe(other);
    expect(() => toy.setModule("list.5", other)).toThrow(RangeError);
    expect(() => toy.setModule("none.x", other)).toThrow(RangeError);
    expect(() => toy.list.at(2)).toThrow(RangeError);
  });

  test("train switches everything below", () => {
    const toy = new Toy().train();
    expect([...toy.namedModules()].map(([path, module]) => [path, module.training])).toEqual(
      ["", "first", "second", "list", "list.0", "list.1"].map((path) => [path, true]),
    );
    expect(toy.train(false).list.at(1).training).toBe(false);
  });

  test("dispose leaves no tensors", () => {
    const before = tf.memory().numTensors;
    const toy = new Toy();
    expect(tf.memory().numTensors).toBe(before + 9);
    toy.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe("initial values", () => {
  test("are uniform within 1/sqrt(fan_in), normal for embeddings, and follow seed and path", () => {
    const conv = new Conv2d({ inChannels: 4, outChannels: 50, kernelSize: 3, init: { seed: 3, path: "a" } });
    const bound = 1 / 6;
    for (const parameter of [conv.weight, conv.bias!]) {
      expect(parameter.data().every((v) => Math.abs(v) <= bound)).toBe(true);
      expect(Math.max(...parameter.data())).toBeGreaterThan(0.9 * bound);
    }
    const { weight } = new Embedding({ count: 100, features: 20, init: { seed: 3, path: "e" } });
    const mean = weight.data().reduce((a, b) => a + b) / 2000;
    const variance = weight.data().reduce((a, b) => a + (b - mean) ** 2, 0) / 2000;
    // Standard errors of 2000 draws: 0.022 and 0.032.
    expect(Math.abs(mean)).toBeLessThan(0.1);
    expect(Math.abs(variance - 1)).toBeLessThan(0.15);
    expect(snapshot(new Toy(1))).toBe(snapshot(new Toy(1)));
    expect(snapshot(new Toy(1))).not.toBe(snapshot(new Toy(2)));
  });
});

describe("loadStateDict", () => {
  test("inverts stateDict", () => {
    const [source, target] = [new Toy(1), new Toy(2)];
    (source.list.at(1) as BatchNorm2d).num_batches_tracked.value = 7;
    const report = loadStateDict(target, stateDict(source));
    expect([report.matched.length, report.missing, report.unexpected, report.mismatched]).toEqual([10, [], [], []]);
    expect(snapshot(target)).toBe(snapshot(source));
    expect((target.list.at(1) as BatchNorm2d).num_batches_tracked.value).toBe(7);
  });

  test("accepts a tied tensor under any path, and under several when equal", () => {
    const dict = stateDict(new Toy(1));
    const weight = dict.get("first.weight")!;
    dict.delete("first.weight");
    dict.set("second.weight", weight);
    const target = new Toy(2);
    expect(loadStateDict(target, dict).matched).toContain("second.weight");
    expect(target.first.weight.data()).toEqual(weight.data);
    dict.set("first.weight", { ...weight, data: Float32Array.from(weight.data as Float32Array) });
    loadStateDict(target, dict);
    dict.set("first.weight", f32([2, 2], 1, 2, 3, 4));
    expect(() => loadStateDict(target, dict, { strict: false })).toThrow(/second.weight differs from first.weight/);
  });

  test("a missing counter is no error, other missing keys are", () => {
    const dict = stateDict(new Toy(1));
    dict.delete("list.1.num_batches_tracked");
    expect(loadStateDict(new Toy(2), dict).missing).toEqual([]);
    dict.delete("list.1.running_var");
    expect(() => loadStateDict(new Toy(2), dict)).toThrow(expect.objectContaining({ missing: ["list.1.running_var"] }));
  });

  test.each<[string, (dict: Map<string, StateTensor>) => void]>([
    ["a missing key", (dict) => dict.delete("list.1.bias")],
    ["an unexpected key", (dict) => dict.set("x", f32([]))],
    ["another shape", (dict) => dict.set("list.1.bias", f32([3], 1, 2, 3))],
    ["too few values", (dict) => dict.set("list.1.bias", f32([2], 1))],
    [
      "integers for a parameter",
      (dict) => dict.set("list.1.bias", { dtype: "I64", shape: [2], data: BigInt64Array.of(1n, 2n) }),
    ],
    ["a vector for a counter", (dict) => dict.set("list.1.num_batches_tracked", f32([2], 1, 2))],
  ])("changes nothing on %s", (_, change) => {
    const dict = stateDict(new Toy(1));
    change(dict);
    const target = new Toy(2);
    const before = snapshot(target);
    expect(() => loadStateDict(target, dict)).toThrow(StateDictError);
    expect(snapshot(target)).toBe(before);
    const report = loadStateDict(target, dict, { strict: false });
    expect(report.missing.length + report.unexpected.length + report.mismatched.length).toBe(1);
    expect(target.first.weight.data()).toEqual(dict.get("first.weight")!.data);
  });

  test("converts integers for buffers and keeps no reference to the dict", () => {
    const dict = stateDict(new Toy(1));
    dict.set("list.1.running_mean", { dtype: "I64", shape: [2], data: BigInt64Array.of(3n, -4n) });
    const target = new Toy(2);
    loadStateDict(target, dict);
    (dict.get("first.bias")!.data as Float32Array).fill(99);
    expect([...(target.list.at(1) as BatchNorm2d).running_mean.data()]).toEqual([3, -4]);
    expect(target.first.bias!.data()[0]).not.toBe(99);
  });
});

test("LayerNorm of maps normalises channels", () => {
  const norm = new LayerNorm({ features: 2, eps: 0 });
  expect([...tf.tidy(() => norm.forward(tf.tensor4d([1, 3, 10, 20], [1, 1, 2, 2])).dataSync())]).toEqual([
    -1, 1, -1, 1,
  ]);
});
