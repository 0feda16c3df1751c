import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { compile, configure, type EngineError, ops } from "./index.js";
import { ALL_PASSES, type Passes } from "./passes.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
});
afterEach(() => {
  configure({ passes: ALL_PASSES });
  tf.disposeVariables();
});

const wave = (shape: number[], k: number) =>
  tf.tensor(
    Float32Array.from({ length: tf.util.sizeFromShape(shape) }, (_, i) => Math.sin(i * k + k)),
    shape,
  );

/** Loss and gradients of a network with what the passes rewrite: strided and small convolutions, normalisation, attention, a loss. */
function step(): { nodes: number; values: number[][] } {
  const shapes = [[3, 3, 3, 8], [3, 3, 8, 8], [8], [8], [8, 6], [6, 4]];
  const weights = shapes.map((shape, i) => tf.variable(wave(shape, 0.3 + 0.21 * i)));
  const [w0, w1, scale, offset, w2, w3] = weights as unknown as [
    tf.Tensor4D,
    tf.Tensor4D,
    tf.Tensor1D,
    tf.Tensor1D,
    tf.Tensor2D,
    tf.Tensor2D,
  ];
  const run = compile((images: tf.Tensor, labels: tf.Tensor) => {
    const { value, grads } = tf.variableGrads(() => {
      const block = (x: tf.Tensor4D, w: tf.Tensor4D, stride: number) =>
        ops.silu(ops.batchNormTrain({ x: tf.conv2d(x, w, stride, "same"), scale, offset, eps: 1e-3 }).y) as tf.Tensor4D;
      const first = block(images as tf.Tensor4D, w0, 2);
      const second = tf.add(first, block(first, w1, 1));
      const pooled = tf.maxPool(second as tf.Tensor4D, 2, 2, "same");
      const tokens = tf.reshape(pooled, [-1, 8]) as tf.Tensor2D;
      const mixed = tf.matMul(ops.gelu(tf.matMul(tokens, w2)), tf.matMul(tokens, w2), true, false);
      const logits = tf.matMul(ops.layerNorm({ x: mixed, scale: tf.ones([6]), offset: tf.zeros([6]), eps: 1e-5 }), w3);
      const entropy = ops.softmaxCrossEntropy({ logits, targets: labels });
      return tf.add(tf.mean(entropy), tf.mean(ops.sigmoidCrossEntropy({ logits, targets: labels }))) as tf.Scalar;
    }, weights);
    return [value, ...weights.map((w) => grads[w.name]!)];
  });
  const results = run(wave([3, 8, 8, 3], 0.17), tf.softmax(wave([6, 4], 0.9)));
  return { nodes: run.toOnnx().graph.nodes.length, values: results.map((t) => [...t.dataSync()]) };
}

describe("passes", () => {
  test.each(Object.keys(ALL_PASSES) as (keyof Passes)[])("without %s the results stay within 1e-5", (name) => {
    const all = step();
    configure({ passes: { [name]: false } });
    const without = step();
    without.values.forEach((values, i) => {
      const largest = Math.max(...all.values[i]!.map(Math.abs));
      const furthest = Math.max(...values.map((v, j) => Math.abs(v - all.values[i]![j]!)));
      expect(largest).toBeGreaterThan(0);
      expect(furthest / largest).toBeLessThan(1e-5);
    });
    // These replace large nodes by small ones, feed a constant, or join bindings; without the others there are more nodes.
    if (!["constants", "filterGradient", "channelScale", "packedState"].includes(name))
      expect(without.nodes).toBeGreaterThan(all.nodes);
  });

  test("a switch that does not exist is an error and changes nothing", () => {
    for (const passes of [{ layouts: true }, { layout: 1 }, "all"]) {
      let code: string | null = null;
      try {
        configure({ passes: passes as never });
      } catch (error) {
        code = (error as EngineError).code;
      }
      expect(code).toBe("ENGINE_CONFIG");
    }
  });

  test("a chain of convolution, normalisation and SiLU has no transpose of a map, forward and backward", () => {
    const w = tf.variable(wave([3, 3, 4, 4], 0.3));
    const [scale, offset] = [tf.ones([4]), tf.zeros([4])] as [tf.Tensor1D, tf.Tensor1D];
    const run = compile((x: tf.Tensor) => {
      const { value, grads } = tf.variableGrads(() => {
        let y = x as tf.Tensor4D;
        for (let i = 0; i < 3; i++) {
          const convolved = tf.conv2d(y, w as unknown as tf.Tensor4D, 1, "same");
          y = ops.silu(ops.batchNormTrain({ x: convolved, scale, offset, eps: 1e-3 }).y) as tf.Tensor4D;
        }
        return tf.sum(y) as tf.Scalar;
      }, [w]);
      return [value, grads[w.name]!];
    });
    run(wave([1, 16, 16, 4], 0.1));
    const between = [
      [0, 2, 3, 1],
      [0, 3, 1, 2],
    ].map(String);
    const permutations = run
      .toOnnx()
      .graph.nodes.filter((n) => n.opType === "Transpose")
      .map((n) => String(n.attributes.find((a) => a.name === "perm")?.value));
    // At the two ends: the image, and the gradient of the sum. What else is transposed are filters, and columns for want of FusedMatMul.
    expect(permutations.filter((perm) => between.includes(perm)).length).toBe(2);
  });
});
