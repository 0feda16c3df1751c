import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { compile, EngineError, engineInfo, ops, profile } from "./index.js";

beforeAll(() => tf.setBackend("onnxruntime"));

const profileFiles = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`seg-profile-${process.pid}-`));

describe("profile", () => {
  const filter = tf.variable(tf.ones([3, 3, 2, 4]) as tf.Tensor4D, true, "profile.filter");
  const x = tf.ones([2, 8, 8, 2]) as tf.Tensor4D;
  const forward = () => ops.silu(tf.conv2d(x, filter, 1, "same"));
  const step = () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => tf.mean(forward()) as tf.Scalar, [filter]);
      filter.assign(tf.sub(filter, tf.mul(grads[filter.name]!, 0.01)));
      return value.dataSync()[0]!;
    });

  test("says which operators, kernels and lines a training step spends its time in", async () => {
    const before = engineInfo().runs;
    const taken = await profile(step, { warmUp: 1, calls: 2 });
    expect(engineInfo().runs - before).toBe(taken.runs + taken.runs / 2);
    expect(taken.ops.map((row) => row.name)).toContain("Conv");
    const kernels = taken.kernels.map((row) => row.name);
    expect(kernels).toContain("Conv2D");
    expect(kernels).toContain("Sub");
    // Line 14 is forward(), line 17 asks for its gradient.
    const line = (name: string) => Number(/profile\.test\.ts:(\d+)$/.exec(name)?.[1]);
    const lines = taken.lines.map((row) => line(row.name)).filter((n) => n > 0);
    expect(lines).toContain(14);
    expect(lines).toContain(17);
    expect(taken.lines.some((row) => row.name.includes("node_modules/@tensorflow"))).toBe(false);
    const total = taken.ops.reduce((sum, row) => sum + row.percent, 0);
    expect(total).toBeCloseTo(100, 6);
    expect(taken.providers.map((row) => row.name)).toEqual(["cpu"]);
    expect(taken.table).toMatch(/^op +count +ms +%\n/);
    expect(taken.table).toContain("Conv");
  });

  test("measures compiled functions, by the lines that were recorded", async () => {
    const compiled = compile((images: tf.Tensor) => tf.relu(tf.mul(images, tf.scalar(3))));
    const call = () => tf.tidy(() => compiled(x).dataSync()[0]);
    expect(call()).toBe(3);
    const taken = await profile(call, { calls: 2 });
    expect(taken.runs).toBe(2);
    expect(taken.kernels.map((row) => row.name)).toEqual(expect.arrayContaining(["Multiply", "Relu"]));
    expect(taken.lines.map((row) => row.name)).toEqual([expect.stringMatching(/profile\.test\.ts:\d+$/)]);
    // The session is dropped afterwards; the function compiles another.
    expect(call()).toBe(3);
    compiled.dispose();
  });

  test("gives a Chrome trace: one row per provider, nodes inside their graph", async () => {
    const { trace, runs } = await profile(step);
    const { traceEvents } = JSON.parse(JSON.stringify(trace)) as typeof trace;
    const rows = traceEvents.filter((e) => e.ph === "M").map((e) => e.args["name"]);
    expect(rows).toEqual(["graph", "cpu"]);
    const graphs = traceEvents.filter((e) => e.ph === "X" && e.tid === 0);
    expect(graphs).toHaveLength(runs);
    const conv = traceEvents.find((e) => e.name === "Conv")!;
    expect(conv.args).toMatchObject({ op: "Conv", kernel: "Conv2D" });
    expect(conv.args["shapes"]).toEqual([[2, 4, 8, 8]]);
    expect(conv.args["source"]).toMatch(/profile\.test\.ts:14:\d+$/);
    const inside = graphs.some((g) => conv.ts! >= g.ts! && conv.ts! + conv.dur! <= g.ts! + g.dur! + 1);
    expect(inside).toBe(true);
  });

  test("leaves no file and no measured session behind, also when the function throws", async () => {
    await profile(step);
    const failing = profile(() => {
      step();
      throw new Error("stop");
    });
    await expect(failing).rejects.toThrow("stop");
    expect(profileFiles()).toEqual([]);
    expect(engineInfo().sessions).toBe(0);
    expect(Number.isFinite(step())).toBe(true);
    expect(profileFiles()).toEqual([]);
  });

  test("takes async functions, one at a time, on this backend only", async () => {
    const outer = profile(async () => {
      await tf.add(x, 1).data();
      await expect(profile(step)).rejects.toMatchObject({ code: "ENGINE_CONFIG" });
    });
    expect((await outer).runs).toBeGreaterThan(0);
    await tf.setBackend("cpu");
    const elsewhere = await profile(step).catch((error: unknown) => error);
    await tf.setBackend("onnxruntime");
    expect(elsewhere).toBeInstanceOf(EngineError);
  });
});
