import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { interpolate } from "./interpolate.js";

beforeAll(() => tf.setBackend("cpu"));

describe("interpolate", () => {
  // torch 2.15: F.interpolate(arange(12).sin().reshape(1, 1, 3, 4), size, mode=...)
  test.each<[string, Parameters<typeof interpolate>[1], number[]]>([
    [
      "nearest",
      { size: [5, 3], mode: "nearest" },
      [
        0, 0.841471, 0.909297, 0, 0.841471, 0.909297, -0.756802, -0.958924, -0.279415, -0.756802, -0.958924, -0.279415,
        0.989358, 0.412118, -0.544021,
      ],
    ],
    ["area", { size: [2, 3], mode: "area" }, [-0.218564, 0.128107, 0.356997, -0.078563, -0.342561, -0.29161]],
    ["bilinear, smaller", { size: [2, 2] }, [0.101086, 0.441103, 0.311088, -0.531808]],
    [
      "bilinear, corners",
      { size: [2, 6], alignCorners: true },
      [
        0, 0.504883, 0.855036, 0.895732, 0.602026, 0.14112, 0.989358, 0.643014, 0.220891, -0.352793, -0.726409,
        -0.99999,
      ],
    ],
    [
      "bicubic",
      { size: [5, 3], mode: "bicubic" },
      [
        0.20764, 1.1945, 0.225488, -0.360175, 0.299738, 0.468861, -0.797608, -0.725907, 0.534392, 0.189436, -0.45513,
        -0.354467, 1.088303, -0.015056, -1.093762,
      ],
    ],
  ])("%s", (_, options, expected) => {
    const x = tf.tensor4d(
      Float32Array.from({ length: 12 }, (_, i) => Math.sin(i)),
      [1, 3, 4, 1],
    );
    const y = interpolate(x, options).dataSync();
    for (const [i, value] of expected.entries()) expect(Math.abs(y[i]! - value), `element ${i}`).toBeLessThan(2e-6);
  });

  test("the own size gives a copy", () => {
    const x = tf.ones([1, 2, 2, 1]) as tf.Tensor4D;
    const y = interpolate(x, { size: [2, 2] });
    x.dispose();
    expect([...y.dataSync()]).toEqual([1, 1, 1, 1]);
  });
});
