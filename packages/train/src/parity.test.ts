import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Module, Parameter, readSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { adam, dampedSgd, rmsprop } from "./coupled-optimizers.js";
import { Ema } from "./ema.js";
import { clipGradNorm } from "./grad-norm.js";
import { adamw, type Optimizer, sgd } from "./optimizer.js";
import type { ParameterGroup } from "./param-groups.js";
import { schedule, warmup } from "./schedule.js";

// Recorded with torch 2.13.0+cpu and transformers 4.57.6 (README of the fixture).
const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../shared");
const fixtures = join(shared, "fixtures/losses-optim/optim");

function expectClose(actual: Float32Array, expected: Float32Array, { rtol, atol }: { rtol: number; atol: number }) {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!), `element ${i}`).toBeLessThanOrEqual(
      atol + rtol * Math.abs(expected[i]!),
    );
  }
}

beforeAll(async () => {
  await tf.setBackend("cpu");
});

describe.skipIf(!existsSync(fixtures))(`optimiser parity with ${fixtures}`, () => {
  const optimizers: [name: string, optimizer: Optimizer, lr: number][] = [
    ["adamw_default", adamw(), 0.01],
    ["adamw_wd0", adamw({ weightDecay: 0 }), 0.001],
    ["adamw_wd0.05", adamw({ weightDecay: 0.05, betas: [0.8, 0.95], eps: 1e-6 }), 0.05],
    ["sgd", sgd(), 0.1],
    ["sgd_momentum", sgd({ momentum: 0.9, weightDecay: 5e-4 }), 0.01],
    ["sgd_nesterov", sgd({ momentum: 0.937, nesterov: true, weightDecay: 5e-4 }), 0.01],
    ["adamw_amsgrad", adam({ weightDecay: 0.01, amsgrad: true, decay: "decoupled" }), 0.01],
    ["adam_l2", adam({ weightDecay: 0.1 }), 0.01],
    ["sgd_dampening", dampedSgd({ momentum: 0.9, dampening: 0.3 }), 0.01],
    ["rmsprop", rmsprop({ alpha: 0.95, momentum: 0.5 }), 0.01],
  ];

  test.each(optimizers)("%s follows ten steps of the reference", (name, optimizer, lr) => {
    const file = readSafetensors(join(fixtures, "traces.safetensors"));
    const read = (key: string) => file.tensor(key).data as Float32Array;
    const groups: ParameterGroup[] = [
      { name: "bias", decay: false, parameters: new Map([["b", undefined as never]]) },
      { name: "weight", decay: true, parameters: new Map([["p", undefined as never]]) },
    ];
    let params = new Map([
      ["p", { data: read("p0") }],
      ["b", { data: read("b0") }],
    ]);
    const state = optimizer.init(params);
    for (let step = 0; step < 10; step++) {
      const grads = new Map([
        ["p", read(`grad${step}.p`)],
        ["b", read(`grad${step}.b`)],
      ]);
      const next = optimizer.update({ params, grads, state, groups, lr: () => lr });
      params = new Map([...next].map(([key, data]) => [key, { data }]));
      for (const key of ["p", "b"]) {
        expectClose(next.get(key)!, read(`${name}.step${step}.${key}`), { rtol: 1e-5, atol: 1e-7 });
      }
    }
  });

  test("clipping scales as clip_grad_norm_ does", () => {
    const cases = JSON.parse(readFileSync(join(fixtures, "clip.json"), "utf8")) as {
      max_norm: number;
      norm_type: number | "inf";
      total_norm: number;
    }[];
    const file = readSafetensors(join(fixtures, "clip.safetensors"));
    expect(cases.length).toBe(5);
    for (const [i, { max_norm, norm_type, total_norm }] of cases.entries()) {
      const grads = new Map([0, 1].map((k) => [`grad${k}`, file.tensor(`case${i}.grad${k}`).data as Float32Array]));
      const norm = clipGradNorm(grads, { maxNorm: max_norm, normType: norm_type === "inf" ? Infinity : norm_type });
      expect(Math.abs(norm / total_norm - 1)).toBeLessThan(1e-6);
      for (const k of [0, 1]) {
        expectClose(grads.get(`grad${k}`)!, file.tensor(`case${i}.clipped${k}`).data as Float32Array, {
          rtol: 1e-5,
          atol: 1e-6,
        });
      }
    }
  });

  test("the average follows ten updates", () => {
    const file = readSafetensors(join(fixtures, "ema.safetensors"));
    const read = (key: string) => file.tensor(key).data as Float32Array;
    class Net extends Module {
      p = new Parameter({ data: read("step1.model"), shape: [5, 3] });
    }
    const net = new Net();
    const ema = new Ema(net);
    // The fixture does not hold the model before training, which the first average starts from.
    ema.load({ state: new Map([["p", file.tensor("step1.ema")]]), updates: 1 });
    for (let step = 2; step <= 10; step++) {
      net.p.assign(read(`step${step}.model`));
      ema.update();
      const average = ema.state().get("p")!.data as Float32Array;
      expectClose(average, read(`step${step}.ema`), { rtol: 1e-5, atol: 1e-6 });
    }
  });

  const schedules = existsSync(fixtures)
    ? (JSON.parse(readFileSync(join(fixtures, "schedules.json"), "utf8")) as Record<string, { lr_at_step: number[] }>)
    : {};
  const compare = (name: string, steps: number, lr: (step: number) => number) => {
    const expected = schedules[name]!.lr_at_step;
    for (let step = 0; step < steps; step++) expect(Math.abs(lr(step) - expected[step]!)).toBeLessThan(1e-12);
  };

  test("cosine annealing, per epoch", () => {
    const factor = schedule({ epochs: 30, stepsPerEpoch: 1, baseLr: 0.1, minLr: 0.001 });
    compare("torch_cosine", 31, (step) => 0.1 * factor(step));
  });

  test("linear descent to lrf", () => {
    const factor = schedule({ kind: "linear", epochs: 20, stepsPerEpoch: 1, baseLr: 0.1, lrf: 0.01 });
    compare("lambda_linear_to_lrf", 22, (step) => 0.1 * factor(step));
  });

  test("cosine after a linear warm-up from 0, per step", () => {
    const base = { epochs: 40, stepsPerEpoch: 1, baseLr: 0.1 };
    const factor = schedule({ ...base, minLr: 0, warmupEpochs: 5, per: "step" });
    const warm = warmup({ ...base, warmupSteps: 5, warmupRatio: 0, byEpoch: false });
    // Beyond its last step the reference rises again; ours stays at the minimum.
    compare("hf_cosine_warmup", 41, (step) => 0.1 * factor(step) * warm(step));
  });

  test("polynomial descent after a warm-up; linear is its first power", () => {
    const base = { epochs: 40, stepsPerEpoch: 1, baseLr: 0.1 };
    const warm = warmup({ ...base, warmupSteps: 5, warmupRatio: 0, byEpoch: false });
    const descent = { ...base, kind: "polynomial", warmupEpochs: 5, per: "step" } as const;
    const poly = schedule({ ...descent, minLr: 1e-4, power: 0.9 });
    const linear = schedule({ ...descent, minLr: 0 });
    compare("hf_poly_warmup", 45, (step) => 0.1 * poly(step) * warm(step));
    compare("hf_linear_warmup", 45, (step) => 0.1 * linear(step) * warm(step));
  });

  test("steps at milestones", () => {
    const factor = schedule({ kind: "multistep", epochs: 14, stepsPerEpoch: 1, baseLr: 0.1, milestones: [4, 9] });
    compare("torch_multistep", 14, (step) => 0.1 * factor(step));
  });

  test("linear warm-up from a tenth", () => {
    const warm = warmup({ epochs: 40, stepsPerEpoch: 1, warmupSteps: 8, warmupRatio: 0.1, byEpoch: false });
    compare("torch_linear", 12, (step) => 0.1 * warm(step));
  });
});
