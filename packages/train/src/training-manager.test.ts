import { Buffer, Module, Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Ema } from "./ema.js";
import { freezeBatchNorm } from "./freeze-batch-norm.js";
import { LossScaler } from "./loss-scaler.js";
import { adamw, sgd } from "./optimizer.js";
import { paramGroups } from "./param-groups.js";
import { type LossFunction, TrainingManager, type TrainingManagerOptions } from "./training-manager.js";
import { withState } from "./with-state.js";

/** y = relu(x w0) w1 + b, with a running mean of the hidden layer as batch normalisation would keep it. */
class Net extends Module {
  w0 = new Parameter({ data: Float32Array.of(0.5, -0.25, 0.75, 0.1, 0.3, -0.6), shape: [2, 3] });
  w1 = new Parameter({ data: Float32Array.of(0.2, -0.4, 0.9), shape: [3, 1] });
  bias = new Parameter({ data: Float32Array.of(0.1), shape: [1] });
  running_mean = new Buffer({ data: new Float32Array(3), shape: [3] });

  forward(x: tf.Tensor2D): tf.Tensor2D {
    const hidden = tf.relu(tf.matMul(x, this.w0.value() as tf.Tensor2D));
    if (this.training) {
      const next = tf.tidy(() => tf.add(tf.mul(this.running_mean.value(), 0.9), tf.mul(tf.mean(hidden, 0), 0.1)));
      this.running_mean.variable.assign(next);
      next.dispose();
    }
    return tf.add(tf.matMul(hidden, this.w1.value() as tf.Tensor2D), this.bias.value());
  }
}

const rows = [
  [1, 2],
  [-1, 0.5],
  [0.3, -0.7],
  [2, 1],
];

/** Sum over the images of the squared error against x0 - x1. */
function lossOn(net: Net, batch: readonly number[][]): LossFunction {
  return () => {
    const x = tf.tensor2d(batch as number[][]);
    const target = tf.tensor2d(batch.map(([a, b]) => [a! - b!]));
    const error = tf.sum(tf.square(tf.sub(net.forward(x), target))) as tf.Scalar;
    return { total: error, parts: { error, half: tf.mul(error, 0.5) as tf.Scalar } };
  };
}

function setup(options: Partial<TrainingManagerOptions> = {}) {
  const net = new Net().train() as Net;
  const manager = new TrainingManager({
    model: net,
    optimizer: sgd({ momentum: 0.9 }),
    groups: paramGroups(net),
    lr: 0.01,
    ...options,
  });
  return { net, manager };
}

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** {@link lossOn} of tensors that are handed over, as a compiled step takes them. */
const lossOfInputs =
  (net: Net): LossFunction =>
  ({ x, target, factor }) => {
    const error = tf.sum(tf.square(tf.sub(net.forward(x as tf.Tensor2D), target!)));
    return { total: tf.mul(error, factor!) as tf.Scalar, parts: { error: error as tf.Scalar } };
  };

const inputsOf = (batch: readonly (readonly number[])[]) => ({
  x: tf.tensor2d(batch as number[][]),
  target: tf.tensor2d(batch.map(([a, b]) => [a! - b!])),
  factor: tf.scalar(1.5),
});

describe("shards", () => {
  beforeAll(async () => {
    await tf.setBackend("onnxruntime");
  });
  afterAll(async () => {
    await tf.setBackend("cpu");
  });

  test.each(["sum", "mean"] as const)("train like the batches of a window: %s", async (accumulateReduction) => {
    const sharded = setup({ shards: 2, accumulateReduction });
    const windowed = setup({ accumulate: 2, accumulateReduction });
    const [loss, other] = [lossOfInputs(sharded.net), lossOfInputs(windowed.net)];
    for (let step = 0; step < 3; step++) {
      const mean = sharded.net.running_mean.data().slice();
      const together = await sharded.manager.step(loss, inputsOf(rows));
      const first = await windowed.manager.step(other, inputsOf(rows.slice(0, 2)));
      const second = await windowed.manager.step(other, inputsOf(rows.slice(2)));
      expect(together.gradNorm).toBeCloseTo(second.gradNorm!, 5);
      expect(together.loss).toBeCloseTo((first.loss + second.loss) / (accumulateReduction === "mean" ? 2 : 1), 5);
      expect(together.parts["error"]).toBeCloseTo((first.parts["error"]! + second.parts["error"]!) / 2, 5);
      expect(sharded.net.w0.data()).toEqual(windowed.net.w0.data());
      expect(sharded.net.w1.data()).toEqual(windowed.net.w1.data());
      // Both shards started from the same running mean.
      expect(sharded.net.running_mean.data()).not.toEqual(mean);
    }
    expect(sharded.manager.describe()).toMatchObject({ shards: 2 });
  });

  test("running statistics are the mean of what the shards found", async () => {
    const { net, manager } = setup({ shards: 2 });
    const hidden = tf.tidy(() =>
      tf
        .relu(tf.matMul(tf.tensor2d(rows), net.w0.value() as tf.Tensor2D))
        .mean(0)
        .mul(0.1),
    );
    await manager.step(lossOfInputs(net), inputsOf(rows));
    const expected = hidden.dataSync();
    for (const [i, value] of net.running_mean.data().entries()) expect(value).toBeCloseTo(expected[i]!, 6);
  });

  test("go together with accumulation and leave no tensors behind", async () => {
    const { net, manager } = setup({ shards: 2, accumulate: 2 });
    const inputs = inputsOf(rows);
    const loss = lossOfInputs(net);
    await manager.step(loss, inputs);
    const before = tf.memory().numTensors;
    expect((await manager.step(loss, inputs)).updated).toBe(true);
    expect((await manager.step(loss, inputs)).updated).toBe(false);
    expect(manager.flush()?.updated).toBe(true);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("refuse a batch that they do not divide, and a number below 1", async () => {
    const { net, manager } = setup({ shards: 2 });
    await expect(manager.step(lossOfInputs(net), inputsOf(rows.slice(1)))).rejects.toThrow(/cannot be divided into 2/);
    const inputs = { ...inputsOf(rows), target: tf.zeros([2, 1]) };
    await expect(manager.step(lossOfInputs(net), inputs)).rejects.toThrow(/"target" \[2,1\]/);
    expect(() => setup({ shards: 0 })).toThrow(RangeError);
  });
});

describe("TrainingManager.step", () => {
  test("lowers the loss and reports terms, norm and rates", async () => {
    const { net, manager } = setup({ warmup: (_step, group) => (group === "bias" ? 0.5 : 1) });
    const first = await manager.step(lossOn(net, rows));
    expect(first.parts["half"]).toBeCloseTo(first.loss / 2, 6);
    expect(first.gradNorm).toBeGreaterThan(0);
    expect(first.lr).toEqual({ bias: 0.005, weight: 0.01, norm: 0.01 });
    let last = first;
    for (let i = 0; i < 30; i++) last = await manager.step(lossOn(net, rows));
    expect(last.loss).toBeLessThan(first.loss / 5);
    expect(manager.updates).toBe(31);
    expect(net.running_mean.data()[0]).toBeGreaterThan(0);
  });

  test("leaves as many tensors as it found", async () => {
    const { net, manager } = setup({ optimizer: adamw(), clip: { maxNorm: 1 }, scaler: new LossScaler({ init: 8 }) });
    const before = tf.memory().numTensors;
    await manager.step(lossOn(net, rows));
    await manager.step(lossOn(net, rows));
    expect(tf.memory().numTensors).toBe(before);
  });

  test("never writes into the array of a live tensor", async () => {
    const { net, manager } = setup();
    const original = manager.optimizer.update;
    const optimizer = manager.optimizer as { update: typeof original };
    let checked = 0;
    optimizer.update = (input) => {
      const live = new Map([...input.params].map(([name, { data }]) => [name, Float32Array.from(data)]));
      const result = original(input);
      for (const [name, copy] of live) {
        expect(input.params.get(name)!.data).toEqual(copy);
        checked += 1;
      }
      return result;
    };
    for (let i = 0; i < 4; i++) await manager.step(lossOn(net, rows));
    expect(checked).toBe(12);
  });

  test("clips by the global norm of all groups", async () => {
    const { net, manager } = setup({ optimizer: sgd(), lr: 1, clip: { maxNorm: 0.1 } });
    const before = [net.w0, net.w1, net.bias].map((p) => Float32Array.from(p.data()));
    const { gradNorm } = await manager.step(lossOn(net, rows));
    expect(gradNorm).toBeGreaterThan(0.1);
    let moved = 0;
    for (const [i, p] of [net.w0, net.w1, net.bias].entries()) {
      p.data().forEach((value, k) => {
        moved += (value - before[i]![k]!) ** 2;
      });
    }
    expect(Math.sqrt(moved)).toBeCloseTo(0.1, 5);
  });

  test("accumulating two batches equals one batch of both", async () => {
    const whole = setup();
    await whole.manager.step(lossOn(whole.net, rows));
    const halves = setup({ accumulate: 2 });
    const first = await halves.manager.step(lossOn(halves.net, rows.slice(0, 2)));
    expect(first).toMatchObject({ updated: false, gradNorm: null });
    const second = await halves.manager.step(lossOn(halves.net, rows.slice(2)));
    expect(second.updated).toBe(true);
    // fp32 sums in another order
    halves.net.w0.data().forEach((value, i) => {
      expect(value).toBeCloseTo(whole.net.w0.data()[i]!, 6);
    });
  });

  test("a mean window of two copies equals one batch, also when flushed early", async () => {
    const one = setup();
    await one.manager.step(lossOn(one.net, rows));
    for (const accumulate of [2, 3]) {
      const { net, manager } = setup({ accumulate, accumulateReduction: "mean" });
      await manager.step(lossOn(net, rows));
      await manager.step(lossOn(net, rows));
      if (accumulate === 3) {
        expect(() => manager.scalars()).toThrow(/flush/);
        expect(manager.flush()?.updated).toBe(true);
      }
      expect(manager.flush()).toBeNull();
      net.w0.data().forEach((value, i) => {
        expect(value).toBeCloseTo(one.net.w0.data()[i]!, 6);
      });
    }
  });

  test("a loss that is not finite throws with its terms and changes nothing", async () => {
    const { net, manager } = setup();
    await manager.step(lossOn(net, rows));
    const before = Float32Array.from(net.w0.data());
    const tensors = tf.memory().numTensors;
    const bad: LossFunction = () => {
      const { total } = lossOn(net, rows)({});
      return { total: tf.mul(total, Number.NaN) as tf.Scalar, parts: { box: total, dfl: tf.scalar(Number.NaN) } };
    };
    await expect(manager.step(bad)).rejects.toMatchObject({
      code: "train/non-finite-loss",
      step: 1,
      parts: { dfl: Number.NaN },
    });
    expect(net.w0.data()).toEqual(before);
    expect(tf.memory().numTensors).toBe(tensors);
    expect(manager.batches).toBe(1);
  });

  test("a gradient that is not finite throws and names the parameter", async () => {
    const { net, manager } = setup();
    const before = Float32Array.from(net.w0.data());
    // d sqrt(x) / dx is infinite at 0.
    const bad: LossFunction = () => ({ total: tf.sum(tf.sqrt(tf.mul(net.w1.value(), 0))) as tf.Scalar, parts: {} });
    await expect(manager.step(bad)).rejects.toMatchObject({ code: "train/non-finite-gradient", parameter: "w1" });
    expect(net.w0.data()).toEqual(before);
  });

  test("trains a frozen-layer model without touching the frozen parameter", async () => {
    const net = new Net().train() as Net;
    net.w0.requiresGrad = false;
    const manager = new TrainingManager({ model: net, optimizer: sgd(), groups: paramGroups(net), lr: 0.1 });
    const before = Float32Array.from(net.w0.data());
    await manager.step(lossOn(net, rows));
    expect(net.w0.data()).toEqual(before);
    expect(net.w1.data()).not.toEqual(Float32Array.of(0.2, -0.4, 0.9));
  });
});

describe("TrainingManager with a loss scaler", () => {
  const overflowing =
    (net: Net): LossFunction =>
    () => ({ total: tf.sum(tf.mul(net.w1.value(), 3e37)) as tf.Scalar, parts: {} });

  test("an overflow at the first step skips it, halves the scale and keeps the average", async () => {
    const net = new Net().train() as Net;
    const ema = new Ema(net);
    const scaler = new LossScaler();
    const manager = new TrainingManager({ model: net, optimizer: sgd(), groups: paramGroups(net), lr: 1, ema, scaler });
    const result = await manager.step(overflowing(net));
    expect(result.updated).toBe(false);
    expect(scaler.state()).toEqual({ scale: 32768, growthTracker: 0, skippedSteps: 1 });
    expect([ema.updates, manager.updates, net.w1.data()[0]]).toEqual([0, 0, Float32Array.of(0.2)[0]]);
  });

  test("raises when the scale would fall below 1", async () => {
    const { net, manager } = setup({ scaler: new LossScaler({ init: 1 }) });
    const infinite: LossFunction = () => ({
      total: tf.sum(tf.sqrt(tf.mul(net.w1.value(), 0))) as tf.Scalar,
      parts: {},
    });
    await expect(manager.step(infinite)).rejects.toMatchObject({ code: "train/non-finite-gradient" });
  });

  test("unscaled gradients equal those without a scaler", async () => {
    const plain = setup();
    const scaled = setup({ scaler: new LossScaler({ init: 1024 }) });
    const a = await plain.manager.step(lossOn(plain.net, rows));
    const b = await scaled.manager.step(lossOn(scaled.net, rows));
    expect(b.loss).toBe(a.loss);
    expect(b.gradNorm).toBeCloseTo(a.gradNorm!, 6);
    expect(scaled.net.w0.data()).toEqual(plain.net.w0.data());
  });

  test("grows after the interval", () => {
    const scaler = new LossScaler({ init: 4, growthInterval: 2 });
    scaler.update({ overflow: false });
    scaler.update({ overflow: false });
    expect(scaler.scale).toBe(8);
  });
});

describe("withState", () => {
  test("swaps weights in, and back when the function throws", async () => {
    const { net, manager } = setup();
    const ema = new Ema(net);
    await manager.step(lossOn(net, rows));
    const trained = Float32Array.from(net.w0.data());
    const seen = await withState(net, ema.state(), () => Float32Array.from(net.w0.data()));
    expect(seen).not.toEqual(trained);
    await expect(withState(net, ema.state(), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(net.w0.data()).toEqual(trained);
  });
});

describe("freezeBatchNorm", () => {
  test("survives a later switch to training mode", () => {
    const net = new Net();
    expect(freezeBatchNorm(net)).toEqual([""]);
    net.train(true);
    expect(net.training).toBe(false);
    expect([...net.namedParameters().values()].some((p) => p.requiresGrad)).toBe(false);
  });
});
