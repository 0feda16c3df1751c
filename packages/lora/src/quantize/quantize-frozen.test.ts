import { Conv2d, Linear, Module, type Parameter } from "@seg/nn";
import { compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { baseHash } from "../base-weights.js";
import { MergeError } from "../errors.js";
import { injectLora } from "../inject.js";
import { mergeAdapter } from "../merge.js";
import { dequantizeInt8, dequantizeNf4, NF4_BLOCK, quantizeInt8, quantizeNf4 } from "./codes.js";
import { quantizeFrozen } from "./quantize-frozen.js";
import { QuantizedConv2d } from "./quantized-conv2d.js";
import { QuantizedWeight } from "./quantized-weight.js";

const values = (size: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 7)));

describe("codes", () => {
  test("int8: half to even, 127 at the largest, zeros have scale 1", () => {
    const { codes, scales } = quantizeInt8(Float32Array.of(127, 2.5, 3.5, -2.5, 0, 0, 0, 0), 2);
    expect([...scales]).toEqual([1, 1]);
    expect([...codes]).toEqual([127, 2, 4, 256 - 2, 0, 0, 0, 0]);
  });

  test("nf4: first element in the high nibble, nearest level, own scale per block", () => {
    const { codes, scales } = quantizeNf4(Float32Array.of(1, -1, 0.86, 0));
    expect([...scales]).toEqual([1]);
    expect([...codes]).toEqual([0xf0, 0xe7]);
    const two = Float32Array.from({ length: NF4_BLOCK + 1 }, (_, i) => (i === NF4_BLOCK ? 5 : 0));
    expect([...quantizeNf4(two).scales]).toEqual([0, 5]);
    expect([...dequantizeNf4(quantizeNf4(two), two.length)]).toEqual([...two]);
  });

  test("property: a value is off by at most half a step", () => {
    const float = fc.float({ min: -100, max: 100, noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(float, { minLength: 1, maxLength: 150 }), (list) => {
        const input = Float32Array.from(list);
        const most = input.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
        const eight = dequantizeInt8(quantizeInt8(input, 1));
        for (let i = 0; i < input.length; i++)
          expect(Math.abs(eight[i]! - input[i]!)).toBeLessThanOrEqual((most / 254) * 1.0001 + 1e-30);
        const four = dequantizeNf4(quantizeNf4(input), input.length);
        // The widest gap of the levels is .3038.
        for (let i = 0; i < input.length; i++)
          expect(Math.abs(four[i]! - input[i]!)).toBeLessThanOrEqual(0.152 * most + 1e-6);
      }),
    );
  });
});

describe.each(["cpu", "onnxruntime"])("QuantizedWeight on %s", (backend) => {
  test.each([[[8, 9]], [[5, 13]], [[64, 64]], [[3, 1]]])(
    "dequantises %j in the graph exactly as on the host",
    async (shape) => {
      await tf.setBackend(backend);
      const [rows = 1, columns = 1] = shape;
      const input = values(rows * columns);
      const hosts = {
        8: dequantizeInt8(quantizeInt8(input, rows)),
        4: dequantizeNf4(quantizeNf4(input), input.length),
      };
      for (const bits of [8, 4] as const) {
        const weight = new QuantizedWeight({ values: input, shape, bits });
        for (const pass of ["forward", "backward"] as const) {
          const y = weight.value(pass);
          expect(y.shape).toEqual(shape);
          expect([...y.dataSync()]).toEqual([...hosts[bits]]);
          y.dispose();
        }
        weight.dispose();
      }
    },
  );
});

class Mlp extends Module {
  first: Linear;
  second: Linear;
  iou_prediction_head: Linear;
  constructor() {
    super();
    const linear = (path: string, inFeatures: number, outFeatures: number) =>
      new Linear({ inFeatures, outFeatures, init: { seed: 0, path } });
    this.first = linear("first", 32, 128);
    this.second = linear("second", 128, 40);
    this.iou_prediction_head = linear("iou", 40, 128);
  }
  forward(x: tf.Tensor): tf.Tensor {
    return this.iou_prediction_head.forward(tf.relu(this.second.forward(tf.relu(this.first.forward(x)))));
  }
}

describe.each(["cpu", "onnxruntime"])("quantizeFrozen on %s", (backend) => {
  test.each([8, 4] as const)("%i bits: close to the base, trains only the adapter, refuses to merge", async (bits) => {
    await tf.setBackend(backend);
    const model = new Mlp();
    const x = tf.tensor(values(64), [2, 32]);
    const run = () => tf.tidy(() => model.forward(x).dataSync() as Float32Array);
    const [before, hash] = [run(), baseHash(model)];
    const handle = injectLora(model, { targetModules: ["first", "second"], r: 2 }, { seed: 0 });
    const report = quantizeFrozen(model, { bits });
    // The head is excluded; 32 x 128 is just large enough.
    expect(report.paths).toEqual(["first", "second"]);
    expect(report.elements).toBe(32 * 128 + 128 * 40);
    expect(report.bytesAfter).toBe(report.elements * (bits / 8) + 4 * (bits === 8 ? 168 : report.elements / 64));
    expect(report.summary).toMatch(
      bits === 8 ? /^2 layers, 9,216 weights: 0.0 MB -> 0.0 MB \(8\.58 bits/ : /4\.50 bits/,
    );
    const scale = before.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const error = run().reduce((max, v, i) => Math.max(max, Math.abs(v - before[i]!)), 0) / scale;
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(bits === 8 ? 0.02 : 0.2);
    expect(baseHash(model)).toBe(hash);
    expect(() => mergeAdapter(model)).toThrow(MergeError);
    const parameters = [...handle.trainableParameters()];
    for (const [, parameter] of parameters) parameter.assign(values(parameter.size));
    const { grads } = tf.variableGrads(
      () => tf.sum(tf.square(model.forward(x))).asScalar(),
      parameters.map(([, p]) => p.variable),
    );
    expect(parameters.length).toBe(4);
    for (const [name, { variable }] of parameters) {
      expect(
        grads[variable.name]!.dataSync().some((v) => v !== 0),
        name,
      ).toBe(true);
    }
    tf.dispose([grads, x]);
    model.dispose();
  });
});

test("input gradients equal those of the dequantised layer, in a compiled step too", async () => {
  await tf.setBackend("onnxruntime");
  for (const bits of [8, 4] as const) {
    const model = new Mlp();
    const input = tf.tensor(values(64), [2, 32]);
    const reference = new Mlp();
    const dequantise = (p: Parameter) =>
      p.assign(
        bits === 8 ? dequantizeInt8(quantizeInt8(p.data(), p.shape[0]!)) : dequantizeNf4(quantizeNf4(p.data()), p.size),
      );
    dequantise(reference.first.weight);
    dequantise(reference.second.weight);
    quantizeFrozen(model, { bits });
    const gradient = (of: Mlp) => tf.grad((x: tf.Tensor) => tf.sum(tf.square(of.forward(x))));
    const expected = tf.tidy(() => gradient(reference)(input).dataSync());
    const compiled = compile((x: tf.Tensor) => gradient(model)(x));
    const y = compiled(input);
    const actual = y.dataSync();
    for (let i = 0; i < actual.length; i++) expect(actual[i]).toBeCloseTo(expected[i]!, 4);
    y.dispose();
    compiled.dispose();
  }
});

class ConvNet extends Module {
  first: Conv2d;
  grouped: Conv2d;
  last: Conv2d;
  constructor() {
    super();
    const conv = (path: string, inChannels: number, outChannels: number, groups = 1) =>
      new Conv2d({ inChannels, outChannels, kernelSize: 3, padding: 1, groups, init: { seed: 1, path } });
    this.first = conv("first", 8, 64);
    this.grouped = conv("grouped", 64, 64, 2);
    this.last = conv("last", 64, 2);
  }
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return this.last.forward(this.grouped.forward(this.first.forward(x)));
  }
}

describe.each(["cpu", "onnxruntime"])("QuantizedConv2d on %s", (backend) => {
  test.each([
    { kernelSize: 3, stride: 1, padding: 1 },
    { kernelSize: 3, stride: 2, padding: 1 },
    { kernelSize: 4, stride: 4, padding: 0 },
    { kernelSize: [1, 3], stride: [1, 2], padding: [0, 1] },
  ] as const)("computes and differentiates %j like a convolution with the rounded filter", async (geometry) => {
    await tf.setBackend(backend);
    const make = () => new Conv2d({ ...geometry, inChannels: 5, outChannels: 6, init: { seed: 3, path: "conv" } });
    const x = tf.tensor(values(2 * 8 * 9 * 5), [2, 8, 9, 5]) as tf.Tensor4D;
    for (const bits of [8, 4] as const) {
      const [reference, base] = [make(), make()];
      const { weight } = reference;
      const rounded =
        bits === 8
          ? dequantizeInt8(quantizeInt8(weight.data(), 6))
          : dequantizeNf4(quantizeNf4(weight.data()), weight.size);
      weight.assign(rounded);
      const quantized = new QuantizedConv2d(base, bits);
      base.weight.dispose();
      const [expected, actual] = [reference, quantized].map((layer) => {
        const { value, grad } = tf.valueAndGrad((input) => tf.square(layer.forward(input as tf.Tensor4D)).sum())(x);
        return [layer.forward(x), value, grad];
      });
      expect(quantized.matrix().shape).toEqual([6, weight.size / 6]);
      actual!.forEach((y, i) => {
        expect(y.shape).toEqual(expected![i]!.shape);
        const [a, b] = [y.dataSync(), expected![i]!.dataSync()];
        // Relative to the value where that is large: sums of squares over the map.
        for (let k = 0; k < a.length; k++)
          expect(Math.abs(a[k]! - b[k]!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(b[k]!)));
      });
      quantized.dispose();
      reference.dispose();
    }
    x.dispose();
  });

  test("carries adapters, DoRA included, and refuses to merge", async () => {
    await tf.setBackend(backend);
    for (const useDora of [false, true]) {
      const model = new ConvNet();
      const handle = injectLora(model, { targetModules: ["first"], r: 2, useDora }, { seed: 0 });
      // Grouped and small ones stay.
      expect(quantizeFrozen(model, { bits: 8 }).paths).toEqual(["first"]);
      const parameters = [...handle.trainableParameters()];
      const x = tf.tensor(values(2 * 4 * 4 * 8), [2, 4, 4, 8]) as tf.Tensor4D;
      for (const [, parameter] of parameters) parameter.assign(values(parameter.size));
      const { grads } = tf.variableGrads(
        () => tf.sum(tf.square(model.forward(x))).asScalar(),
        parameters.map(([, { variable }]) => variable),
      );
      for (const [name, { variable }] of parameters)
        expect(
          grads[variable.name]!.dataSync().some((value) => value !== 0),
          name,
        ).toBe(true);
      expect(() => mergeAdapter(model)).toThrow(MergeError);
      tf.dispose([grads, x]);
      model.dispose();
    }
  });
});
