import { Buffer, Module, Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { Ema } from "./ema.js";
import { paramGroups } from "./param-groups.js";

class Tiny extends Module {
  weight = new Parameter({ data: Float32Array.of(1, 2), shape: [1, 2] });
  bias = new Parameter({ data: Float32Array.of(0), shape: [1] });
  scale = new Parameter({ data: Float32Array.of(1), shape: [1] });
  frozen = new Parameter({ data: Float32Array.of(5), shape: [1, 1] });
  running_mean = new Buffer({ data: Float32Array.of(0), shape: [1] });
  constructor() {
    super();
    this.frozen.requiresGrad = false;
  }
}

beforeAll(async () => {
  await tf.setBackend("cpu");
});

describe("Ema", () => {
  test.each([
    [1, 0.00049983],
    [300, 0.139278],
    [1000, 0.39343],
    [3000, 0.776792],
  ])("decay after %d updates is %d", (updates, decay) => {
    // The golden values are printed with six significant digits.
    expect(Math.abs(Ema.decayAt(updates) / decay - 1)).toBeLessThan(1e-5);
  });

  test("averages parameters and buffers, and copies what is frozen", () => {
    const model = new Tiny();
    const ema = new Ema(model);
    model.weight.assign(Float32Array.of(3, 4));
    model.running_mean.assign(Float32Array.of(2));
    model.frozen.assign(Float32Array.of(6));
    ema.update();
    const state = ema.state();
    const d = Ema.decayAt(1);
    expect(state.get("weight")!.data[0]).toBeCloseTo(d * 1 + (1 - d) * 3, 5);
    expect(state.get("running_mean")!.data[0]).toBeCloseTo((1 - d) * 2, 6);
    expect(state.get("frozen")!.data[0]).toBe(6);
    expect(ema.updates).toBe(1);
  });

  test("a constant model is a fixed point, bit for bit", () => {
    const model = new Tiny();
    model.weight.assign(Float32Array.of(0.1, 1 / 3));
    const ema = new Ema(model);
    for (let i = 0; i < 50; i++) ema.update();
    expect(ema.state().get("weight")!.data).toEqual(Float32Array.of(0.1, 1 / 3));
  });

  test("goes on from a saved average", () => {
    const model = new Tiny();
    const first = new Ema(model);
    model.weight.assign(Float32Array.of(9, 9));
    first.update();
    const second = new Ema(model);
    second.load({ state: first.state(), updates: first.updates });
    first.update();
    second.update();
    expect(second.state()).toEqual(first.state());
    expect(() => second.load({ state: new Map(), updates: 0 })).toThrow(/"weight"/);
  });
});

describe("paramGroups", () => {
  test("sorts by name and rank and leaves out what is frozen", () => {
    const [bias, weight, norm] = paramGroups(new Tiny());
    expect([...bias.parameters.keys()]).toEqual(["bias"]);
    expect([...weight.parameters.keys()]).toEqual(["weight"]);
    expect([...norm.parameters.keys()]).toEqual(["scale"]);
    expect([bias.decay, weight.decay, norm.decay]).toEqual([false, true, false]);
  });

  test("adds further modules under a prefix", () => {
    const [, weight] = paramGroups(new Tiny(), { extra: { projector: new Tiny() } });
    expect([...weight.parameters.keys()]).toEqual(["weight", "projector.weight"]);
  });
});
