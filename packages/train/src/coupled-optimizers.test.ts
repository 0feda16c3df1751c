import { describe, expect, test } from "vitest";
import { adam, dampedSgd, rmsprop } from "./coupled-optimizers.js";
import { adamw, type Optimizer, sgd } from "./optimizer.js";
import type { ParameterGroup } from "./param-groups.js";

const groups: ParameterGroup[] = [{ name: "weight", decay: true, parameters: new Map([["p", undefined as never]]) }];

/** Values of one parameter after updates with the given gradients. */
function run(optimizer: Optimizer, gradients: readonly number[], lr = 0.1): number[] {
  let value = Float32Array.of(1);
  const state = optimizer.init(new Map([["p", { data: value }]]));
  return gradients.map((gradient) => {
    const params = new Map([["p", { data: value }]]);
    const grads = new Map([["p", Float32Array.of(gradient)]]);
    value = optimizer.update({ params, grads, state, groups, lr: () => lr }).get("p")! as Float32Array<ArrayBuffer>;
    return value[0]!;
  });
}

describe("coupled optimisers", () => {
  test("adam without decay is adamw without decay; coupled decay differs", () => {
    const gradients = [0.5, -0.25, 0.1];
    expect(run(adam(), gradients)).toEqual(run(adamw({ weightDecay: 0 }), gradients));
    expect(run(adam({ weightDecay: 0.1 }), gradients)).not.toEqual(run(adamw({ weightDecay: 0.1 }), gradients));
    const decoupled = run(adam({ weightDecay: 0.1, decay: "decoupled" }), gradients);
    run(adamw({ weightDecay: 0.1 }), gradients).forEach((value, i) => {
      expect(decoupled[i]!).toBeCloseTo(value, 6);
    });
  });

  test("AMSGrad never lets a step grow when gradients shrink", () => {
    const plain = run(adam({ betas: [0, 0.5] }), [1, 0.1, 0.1, 0.1]);
    const capped = run(adam({ betas: [0, 0.5], amsgrad: true }), [1, 0.1, 0.1, 0.1]);
    expect(Math.abs(capped[3]! - capped[2]!)).toBeLessThan(Math.abs(plain[3]! - plain[2]!));
  });

  test("damping of 0 is sgd; otherwise the first gradient counts in full", () => {
    expect(run(dampedSgd({ momentum: 0.9, dampening: 0 }), [1, 1])).toEqual(run(sgd({ momentum: 0.9 }), [1, 1]));
    // buf 1, then .9 + .5
    const [first, second] = run(dampedSgd({ momentum: 0.9, dampening: 0.5 }), [1, 1]);
    expect([first, second]).toEqual([Math.fround(0.9), Math.fround(Math.fround(0.9) - 0.1 * Math.fround(1.4))]);
  });

  test("rmsprop divides by the running root mean square", () => {
    // v = .01 g^2, so the first step is lr / sqrt(.01) whatever g
    expect(run(rmsprop(), [5])[0]).toBeCloseTo(1 - 0.1 / 0.1, 5);
    expect(run(rmsprop(), [0.01])[0]).toBeCloseTo(1 - 0.1 / 0.1, 4);
  });
});
