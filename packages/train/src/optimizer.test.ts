import { describe, expect, test } from "vitest";
import { adamw, type Optimizer, sgd } from "./optimizer.js";
import { optimizerAuto } from "./optimizer-auto.js";
import type { ParameterGroup } from "./param-groups.js";

/** The optimisers only read the names of a group. */
function group(names: readonly string[], decay: boolean): ParameterGroup {
  return {
    name: decay ? "weight" : "bias",
    decay,
    parameters: new Map(names.map((name) => [name, undefined as never])),
  };
}

function trace(optimizer: Optimizer, { lr, grads }: { lr: number; grads: readonly number[] }): number[] {
  let params: Map<string, { data: Float32Array }> = new Map([["p", { data: Float32Array.of(1) }]]);
  const state = optimizer.init(params);
  return grads.map((g) => {
    const next = optimizer.update({
      params,
      grads: new Map([["p", Float32Array.of(g)]]),
      state,
      groups: [group(["p"], true)],
      lr: () => lr,
    });
    params = new Map([["p", { data: next.get("p")! }]]);
    return next.get("p")![0]!;
  });
}

// Values are stored as fp32: half a unit in the last place near 1 is 6e-8.
const FP32 = 7;

describe("sgd", () => {
  test("follows the golden trace with momentum and decay", () => {
    const [first, second] = trace(sgd({ momentum: 0.937, weightDecay: 5e-4 }), { lr: 0.01, grads: [0.5, -0.25] });
    expect(first).toBeCloseTo(0.994995, FP32 - 1);
    expect(second).toBeCloseTo(0.992800340025, FP32 - 1);
  });

  test("follows the golden trace of Nesterov", () => {
    const optimizer = sgd({ momentum: 0.937, weightDecay: 5e-4, nesterov: true });
    const [first, second] = trace(optimizer, { lr: 0.01, grads: [0.5, -0.25] });
    expect(first).toBeCloseTo(0.990305315, FP32 - 1);
    expect(second).toBeCloseTo(0.990743989048, FP32 - 1);
  });

  test("refuses Nesterov without momentum", () => {
    expect(() => sgd({ nesterov: true })).toThrow(RangeError);
  });

  test("keeps no slots without momentum", () => {
    expect(sgd().init(new Map([["p", { data: new Float32Array(2) }]])).size).toBe(0);
  });
});

describe("adamw", () => {
  test("follows the golden trace", () => {
    const [first, second] = trace(adamw({ weightDecay: 0.01 }), { lr: 1e-3, grads: [0.5, -0.25] });
    expect(first).toBeCloseTo(0.99899000002, FP32 - 1);
    expect(second).toBeCloseTo(0.998713673087, FP32 - 1);
  });

  test("leaves value and slots of a parameter without gradient alone", () => {
    const params = new Map([
      ["a", { data: Float32Array.of(1) }],
      ["b", { data: Float32Array.of(2) }],
    ]);
    const optimizer = adamw();
    const state = optimizer.init(params);
    const next = optimizer.update({
      params,
      grads: new Map([["a", Float32Array.of(1)]]),
      state,
      groups: [group(["a", "b"], true)],
      lr: () => 0.1,
    });
    expect([...next.keys()]).toEqual(["a"]);
    expect(state.get("step/a")).toEqual(Float32Array.of(1));
    expect(state.get("step/b")).toEqual(Float32Array.of(0));
  });

  test("applies no decay to a group without decay, and writes into the given target", () => {
    const params = new Map([["b", { data: Float32Array.of(2) }]]);
    const optimizer = adamw({ weightDecay: 0.5 });
    const target = new Float32Array(1);
    const next = optimizer.update({
      params,
      grads: new Map([["b", Float32Array.of(0)]]),
      state: optimizer.init(params),
      groups: [group(["b"], false)],
      lr: () => 0.1,
      target: () => target,
    });
    expect(next.get("b")).toBe(target);
    expect(target[0]).toBe(2);
    expect(params.get("b")!.data[0]).toBe(2);
  });

  test("refuses to write into the array it reads", () => {
    const params = new Map([["b", { data: Float32Array.of(2) }]]);
    const optimizer = adamw();
    expect(() =>
      optimizer.update({
        params,
        grads: new Map([["b", Float32Array.of(0)]]),
        state: optimizer.init(params),
        groups: [group(["b"], false)],
        lr: () => 0.1,
        target: () => params.get("b")!.data,
      }),
    ).toThrow(/being read/);
  });
});

describe("optimizerAuto", () => {
  test.each([
    [1, 0.002],
    [3, 0.001429],
    [80, 0.000119],
  ])("gives %d classes AdamW with learning rate %d", (classes, lr) => {
    expect(optimizerAuto({ images: 200, batch: 16, epochs: 30, classes })).toMatchObject({
      optimizer: "adamw",
      lr,
      iterations: 120,
    });
  });

  test("turns to SGD above 10,000 iterations", () => {
    expect(optimizerAuto({ images: 64_000, batch: 16, epochs: 10, classes: 3 }).optimizer).toBe("adamw");
    expect(optimizerAuto({ images: 64_001, batch: 16, epochs: 10, classes: 3 })).toMatchObject({
      optimizer: "sgd",
      lr: 0.01,
      momentum: 0.9,
      nesterov: true,
      iterations: 10_010,
    });
  });
});
