import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import type { StateTensor } from "../module.js";
import { loadStateDict, stateDict } from "../state-dict.js";
import { layerWidths, setLayerWidths } from "./layer-widths.js";
import { createYolov8 } from "./model.js";

beforeAll(() => tf.setBackend("cpu"));

const options = { scale: "p", classes: 2, segment: false, seed: 0 } as const;

/** The micro network without the last 3 of the 8 channels between layers 0 and 1. */
function narrowed(): Map<string, StateTensor> {
  const model = createYolov8(options);
  const dict = stateDict(model);
  model.dispose();
  for (const [key, value] of dict) {
    if (value.dtype !== "F32") continue;
    const data = value.data as Float32Array;
    if (/^model\.0\.(conv\.weight|bn\.)/.test(key)) {
      dict.set(key, {
        ...value,
        shape: [5, ...value.shape.slice(1)],
        data: data.slice(0, (5 * data.length) / 8),
      });
    } else if (key === "model.1.conv.weight") {
      const [out = 0] = value.shape;
      const kept = Float32Array.from({ length: out * 45 }, (_, i) => data[Math.floor(i / 45) * 72 + (i % 45)]!);
      dict.set(key, { ...value, shape: [out, 5, 3, 3], data: kept });
    }
  }
  return dict;
}

describe("setLayerWidths", () => {
  test("gives a network the widths of its weights, which then load strictly and run", () => {
    const weights = narrowed();
    const full = createYolov8(options);
    const widths = layerWidths(full, weights);
    expect(widths).toEqual({ "model.0.conv": [3, 5], "model.0.bn": [5], "model.1.conv": [5, 16] });
    expect(() => loadStateDict(full, weights)).toThrow();
    full.dispose();
    const before = tf.memory().numTensors;
    const model = createYolov8({ ...options, widths });
    expect(loadStateDict(model, weights).mismatched).toEqual([]);
    const output = tf.tidy(() => model.forward(tf.zeros([1, 32, 32, 3])).levels[0]!.cls.shape);
    expect(output).toEqual([1, 4, 4, 2]);
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test("names a path that has no width", () => {
    const model = createYolov8(options);
    expect(() => setLayerWidths(model, { "model.10": [1, 2] })).toThrow(/model\.10/);
    expect(() => setLayerWidths(model, { "model.0.cnv": [1, 2] })).toThrow(/model\.0\.cnv/);
    model.dispose();
  });
});
