import { existsSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { gridSample } from "../functional/grid-sample.js";
import { interpolate } from "../functional/interpolate.js";
import type { Module, Parameter } from "../module.js";
import { readSafetensors } from "../safetensors/read.js";
import { Conv2d, ConvTranspose2d } from "./conv2d.js";
import { GroupNorm } from "./group-norm.js";
import { Linear } from "./linear.js";
import { BatchNorm2d, LayerNorm } from "./norm.js";

beforeAll(() => tf.setBackend("cpu"));

const init = { seed: 0, path: "layer" };
type Layer = Module & { forward(x: tf.Tensor): tf.Tensor };

/** |a - b| <= atol + rtol |b| for all elements. */
function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol, rtol }: { atol: number; rtol: number },
): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const [a, b] = [actual[i]!, expected[i]!];
    if (!(Math.abs(a - b) <= atol + rtol * Math.abs(b))) expect.fail(`element ${i}: ${a}, expected ${b}`);
  }
}

describe("gradients equal central differences", () => {
  test.each<[string, () => Layer, number[]]>([
    ["Linear", () => new Linear({ inFeatures: 3, outFeatures: 2, init }) as Layer, [2, 2, 3]],
    [
      "Conv2d",
      () =>
        new Conv2d({ inChannels: 2, outChannels: 3, kernelSize: 3, stride: 2, padding: 1, init }) as unknown as Layer,
      [1, 4, 5, 2],
    ],
    [
      "ConvTranspose2d",
      () => new ConvTranspose2d({ inChannels: 2, outChannels: 3, kernelSize: 2, stride: 2, init }) as unknown as Layer,
      [1, 2, 3, 2],
    ],
    ["GroupNorm", () => new GroupNorm({ groups: 2, features: 4 }) as unknown as Layer, [2, 2, 1, 4]],
    ["LayerNorm", () => new LayerNorm({ features: 4 }) as unknown as Layer, [2, 2, 4]],
    ["BatchNorm2d", () => new BatchNorm2d({ features: 2 }).train() as unknown as Layer, [2, 2, 2, 2]],
    ["BatchNorm2d in evaluation mode", () => new BatchNorm2d({ features: 2 }) as unknown as Layer, [2, 2, 2, 2]],
  ])("%s", (_, make, shape) => {
    const layer = make();
    const size = shape.reduce((a, b) => a * b, 1);
    const start = Float32Array.from({ length: size }, (_, i) => Math.sin(3 * i + 1));
    const loss = (x: tf.Tensor): tf.Scalar => {
      const y = layer.forward(x);
      const weights = tf.tensor(
        Float32Array.from({ length: y.size }, (_, i) => Math.cos(2 * i)),
        y.shape,
      );
      return tf.sum(tf.mul(y, weights)).asScalar();
    };
    const value = (data: Float32Array) => tf.tidy(() => loss(tf.tensor(data, shape)).dataSync()[0]!);
    // float32 sums of order 1 and a step of 1e-2: rounding 1e-5, truncation of order 1e-4.
    const tolerance = { atol: 2e-3, rtol: 5e-3 };
    const step = 1e-2;
    const numeric = (data: Float32Array, evaluate: (data: Float32Array) => number) =>
      data.map((_, i) => {
        const shifted = (delta: number) => evaluate(data.map((v, j) => (i === j ? v + delta : v)));
        return (shifted(step) - shifted(-step)) / (2 * step);
      });

    const gradientOfX = tf.tidy(() => tf.grad(loss)(tf.tensor(start, shape)).dataSync() as Float32Array);
    expectClose(gradientOfX, numeric(start, value), tolerance);
    const parameters = [...layer.namedParameters()];
    const { grads, value: total } = tf.variableGrads(
      () => loss(tf.tensor(start, shape)),
      parameters.map(([, p]) => p.variable),
    );
    for (const [, parameter] of parameters) {
      const original = Float32Array.from(parameter.data());
      const analytic = grads[parameter.variable.name]!.dataSync();
      const differences = numeric(original, (data) => {
        parameter.assign(data);
        return value(start);
      });
      parameter.assign(original);
      expectClose(analytic, differences, tolerance);
    }
    tf.dispose([grads, total]);
  });
});

const fixtures = join(
  process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../shared"),
  "fixtures/losses-optim/layers",
);

describe.skipIf(!existsSync(fixtures))("layers equal PyTorch (fixtures losses-optim/layers)", () => {
  const open = (name: string) => {
    const file = readSafetensors(join(fixtures, `${name}.safetensors`));
    return {
      data: (key: string) => file.tensor(key).data as Float32Array,
      tensor: (key: string) => tf.tensor(file.tensor(key).data as Float32Array, [...file.info(key).shape]),
      shape: (key: string) => file.info(key).shape,
    };
  };
  // Tolerances of the fixtures' README.
  const forwardTolerance = { atol: 1e-6, rtol: 1e-5 };
  const gradientTolerance = { atol: 1e-5, rtol: 1e-4 };
  const toNhwc = (x: tf.Tensor) => tf.transpose(x, [0, 2, 3, 1]);
  const toNchw = (x: tf.Tensor) => tf.transpose(x, [0, 3, 1, 2]);

  const conv =
    (kernelSize: number, stride = 1, padding = 0) =>
    (out: number, inChannels: number) =>
      new Conv2d({ inChannels, outChannels: out, kernelSize, stride, padding, init }) as unknown as Layer;

  const convOf = (outChannels: number, inChannels: number, options: object) =>
    new Conv2d({ inChannels, outChannels, kernelSize: 3, init, ...options }) as unknown as Layer;
  const convTOf = (inChannels: number, outChannels: number, options: object) =>
    new ConvTranspose2d({ inChannels, outChannels, kernelSize: 3, stride: 2, init, ...options }) as unknown as Layer;

  test.each<[string, boolean, (rows: number, columns: number) => Layer]>([
    ["conv_1x1", true, conv(1)],
    ["conv_3x3_s1_p1", true, conv(3, 1, 1)],
    ["conv_3x3_s2_p1", true, conv(3, 2, 1)],
    ["conv_6x6_s2_p2", true, conv(6, 2, 2)],
    ["conv_dw_3x3", true, (channels) => convOf(channels, channels, { padding: 1, groups: channels, bias: false })],
    ["conv_groups2", true, (out, inGroup) => convOf(out, 2 * inGroup, { padding: 1, groups: 2 })],
    ["conv_dilated", true, (out, inChannels) => convOf(out, inChannels, { padding: 2, dilation: 2 })],
    [
      "conv_rect",
      true,
      (out, inChannels) => convOf(out, inChannels, { kernelSize: [1, 5], padding: [0, 2], stride: [2, 1] }),
    ],
    [
      "convT_3x3_s2_p1_op1",
      true,
      (inChannels, outChannels) => convTOf(inChannels, outChannels, { kernelSize: 3, padding: 1, outputPadding: 1 }),
    ],
    [
      "convT_groups2",
      true,
      (inChannels, outGroup) =>
        convTOf(inChannels, 2 * outGroup, { kernelSize: 4, padding: 1, groups: 2, bias: false }),
    ],
    ["conv_patch4", true, conv(4, 4)],
    [
      "convT_2x2_s2",
      true,
      (inChannels, outChannels) =>
        new ConvTranspose2d({ inChannels, outChannels, kernelSize: 2, stride: 2, init }) as unknown as Layer,
    ],
    ["linear", false, (outFeatures, inFeatures) => new Linear({ inFeatures, outFeatures, init }) as Layer],
    ["group_norm_3", true, (features) => new GroupNorm({ groups: 3, features }) as unknown as Layer],
    ["layer_norm", false, (features) => new LayerNorm({ features, eps: 1e-6 }) as unknown as Layer],
    ["layer_norm_12", false, (features) => new LayerNorm({ features, eps: 1e-12 }) as unknown as Layer],
  ])("%s", (name, isMap, make) => {
    const fixture = open(name);
    const [rows = 0, columns = 0] = fixture.shape("param.weight");
    const layer = make(rows, columns) as Layer & { weight: Parameter; bias?: Parameter };
    layer.weight.assign(fixture.data("param.weight"));
    layer.bias?.assign(fixture.data("param.bias"));
    const forward = (x: tf.Tensor) => (isMap ? toNchw(layer.forward(toNhwc(x))) : layer.forward(x));
    tf.tidy(() => {
      const x = fixture.tensor("in.x");
      const cotangent = fixture.tensor("grad_out");
      expectClose(forward(x).dataSync(), fixture.data("out.0"), forwardTolerance);
      const { grads } = tf.variableGrads(
        () => tf.sum(tf.mul(forward(x), cotangent)).asScalar(),
        [layer.weight, layer.bias].flatMap((parameter) => (parameter ? [parameter.variable] : [])),
      );
      expectClose(grads[layer.weight.variable.name]!.dataSync(), fixture.data("grad.param.weight"), gradientTolerance);
      if (layer.bias) {
        expectClose(grads[layer.bias.variable.name]!.dataSync(), fixture.data("grad.param.bias"), gradientTolerance);
      }
      // layer_norm_12 has rows of scale 1e-3, so gradients up to 4500 that cancel: allow one float32 rounding of that scale.
      const expected = fixture.data("grad.x");
      const scale = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const tolerance = { atol: Math.max(1e-5, 1.2e-7 * scale), rtol: 1e-4 };
      expectClose(tf.grad(forward)(x, cotangent).dataSync(), expected, tolerance);
    });
  });

  test.each<[string, Parameters<typeof interpolate>[1]]>([
    ["upsample_nearest_x2", { size: [22, 18], mode: "nearest" }],
    ["resize_nearest_7x13", { size: [7, 13], mode: "nearest" }],
    ["resize_bilinear_23x17", { size: [23, 17] }],
    ["resize_bilinear_5x4", { size: [5, 4] }],
    ["resize_bilinear_corners_20x20", { size: [20, 20], alignCorners: true }],
    ["resize_bicubic_20x20", { size: [20, 20], mode: "bicubic" }],
  ])("%s", (name, options) => {
    const fixture = open(name);
    const forward = (x: tf.Tensor) => toNchw(interpolate(toNhwc(x) as tf.Tensor4D, options));
    tf.tidy(() => {
      const x = fixture.tensor("in.x");
      // PyTorch computes the sampling points in float32.
      expectClose(forward(x).dataSync(), fixture.data("out.0"), { atol: 5e-6, rtol: 1e-5 });
      expectClose(
        tf.grad(forward)(x, fixture.tensor("grad_out")).dataSync(),
        fixture.data("grad.x"),
        gradientTolerance,
      );
    });
  });

  test("grid_sample_zeros", () => {
    const fixture = open("grid_sample_zeros");
    const forward = (x: tf.Tensor, grid: tf.Tensor) =>
      toNchw(gridSample(toNhwc(x) as tf.Tensor4D, grid as tf.Tensor4D));
    tf.tidy(() => {
      const inputs = [fixture.tensor("in.x"), fixture.tensor("in.grid")];
      expectClose(forward(inputs[0]!, inputs[1]!).dataSync(), fixture.data("out.0"), forwardTolerance);
      const [ofX, ofGrid] = tf.grads(forward)(inputs, fixture.tensor("grad_out"));
      expectClose(ofX!.dataSync(), fixture.data("grad.x"), gradientTolerance);
      expectClose(ofGrid!.dataSync(), fixture.data("grad.grid"), gradientTolerance);
    });
  });

  test("batch_norm: three training passes with running statistics, then evaluation", () => {
    const fixture = open("batch_norm");
    const norm = new BatchNorm2d({ features: 6, eps: 1e-3, momentum: 0.03 });
    norm.weight.assign(fixture.data("param.weight"));
    norm.bias.assign(fixture.data("param.bias"));
    const forward = (x: tf.Tensor) => toNchw(norm.forward(toNhwc(x) as tf.Tensor4D));
    const variables = [norm.weight.variable, norm.bias.variable];
    for (const pass of ["train0", "train1", "train2", "eval"]) {
      norm.train(pass !== "eval");
      tf.tidy(() => {
        const x = fixture.tensor(`${pass}.in`);
        const cotangent = fixture.tensor(`${pass}.grad_out`);
        let y: tf.Tensor | undefined;
        // One forward pass only: each one moves the running statistics.
        const { grads } = tf.variableGrads(() => {
          y = tf.keep(forward(x));
          return tf.sum(tf.mul(y, cotangent)).asScalar();
        }, variables);
        expectClose(y!.dataSync(), fixture.data(`${pass}.out`), forwardTolerance);
        y!.dispose();
        expectClose(
          grads[norm.weight.variable.name]!.dataSync(),
          fixture.data(`${pass}.grad_weight`),
          gradientTolerance,
        );
        expectClose(grads[norm.bias.variable.name]!.dataSync(), fixture.data(`${pass}.grad_bias`), gradientTolerance);
        if (pass !== "eval") {
          expectClose(norm.running_mean.data(), fixture.data(`${pass}.running_mean`), forwardTolerance);
          expectClose(norm.running_var.data(), fixture.data(`${pass}.running_var`), forwardTolerance);
        }
      });
    }
    expect(norm.num_batches_tracked.value).toBe(3);
    for (const pass of ["train2", "eval"]) {
      norm.train(pass !== "eval");
      tf.tidy(() => {
        const gradient = tf.grad(forward)(fixture.tensor(`${pass}.in`), fixture.tensor(`${pass}.grad_out`));
        // The second training pass over the same batch has moved the statistics that evaluation uses; restore them first.
        expectClose(gradient.dataSync(), fixture.data(`${pass}.grad_in`), gradientTolerance);
      });
      norm.running_mean.assign(fixture.data("train2.running_mean"));
      norm.running_var.assign(fixture.data("train2.running_var"));
    }
  });
});
