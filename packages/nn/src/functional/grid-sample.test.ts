import "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { gridSample } from "./grid-sample.js";

// torch 2.15: x = arange(36).reshape(2, 2, 3, 3).sin(), F.grid_sample(x, grid[2, 4, 1, 2], ...), flattened NCHW.
const GRID = [-1, -1, 0, 0, 0.3, -0.7, 1, 1, 1.4, 0.1, -0.2, 0.9, -1.3, -1.2, 0.5, 0.5];
const CASES = [
  [
    "bilinear",
    "zeros",
    false,
    [
      0, -0.756802, 0.828393, 0.24734, 0.10303, 0.420167, -0.711747, -0.240349, 0, -0.236808, -0.00751, 0.244904, 0,
      0.435715, 0.009564, -0.06351,
    ],
  ],
  [
    "bilinear",
    "zeros",
    true,
    [
      0, -0.756802, 0.358041, 0.989358, 0.412118, 0.420167, -0.299179, -0.961397, -0.411205, -0.242272, -0.420553,
      -0.056216, 0.272079, 0.50884, 0.535571, 0.062072,
    ],
  ],
  [
    "bilinear",
    "border",
    false,
    [
      0, -0.756802, 0.871993, 0.989358, 0.412118, 0.420167, -0.749207, -0.961397, -0.604903, -0.36432, -0.750987,
      0.244904, 0.404485, 0.670331, 0.956376, -0.06351,
    ],
  ],
  [
    "nearest",
    "zeros",
    false,
    [
      0, -0.756802, 0.841471, 0.989358, 0.412118, 0.420167, -0.544021, -0.961397, 0, -0.132352, 0, 0.762558, 0,
      0.529083, 0, -0.428183,
    ],
  ],
  [
    "nearest",
    "border",
    true,
    [
      0, -0.756802, 0.841471, 0.989358, 0.412118, 0.420167, -0.544021, -0.961397, -0.84622, -0.132352, -0.750987,
      0.762558, 0.551427, 0.529083, 0.956376, -0.428183,
    ],
  ],
] as const;

describe.each(["cpu", "onnxruntime"])("gridSample on %s", (backend) => {
  test.each(CASES)("%s, %s, alignCorners %s", async (mode, paddingMode, alignCorners, expected) => {
    await tf.setBackend(backend);
    const actual = tf.tidy(() => {
      const values = Float32Array.from({ length: 36 }, (_, i) => Math.sin(i));
      const x = tf.transpose(tf.tensor4d(values, [2, 2, 3, 3]), [0, 2, 3, 1]);
      const y = gridSample(x, tf.tensor4d(GRID, [2, 4, 1, 2]), { mode, paddingMode, alignCorners });
      return tf.transpose(y, [0, 3, 1, 2]);
    });
    const data = await actual.data();
    actual.dispose();
    for (const [i, value] of expected.entries()) expect(Math.abs(data[i]! - value), `element ${i}`).toBeLessThan(2e-6);
  });

  test("points far outside are 0, whatever their size", async () => {
    await tf.setBackend(backend);
    const y = tf.tidy(() => gridSample(tf.ones([1, 2, 2, 1]), tf.tensor4d([1e30, 0, 0, -1e30], [1, 1, 2, 2])));
    expect([...(await y.data())]).toEqual([0, 0]);
    y.dispose();
  });
});
