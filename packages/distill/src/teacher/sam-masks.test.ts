import { defaultZoom, pretrainedSamDirectory, Sam } from "@seg/teachers";
import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import { samMasks } from "./sam-masks.js";

test.each([true, false])(
  "one mask per box, in the picture's place on the grid; small objects in windows: %s",
  async (inWindows) => {
    await tf.setBackend("onnxruntime");
    const sam = Sam.fromPretrained(pretrainedSamDirectory());
    const [width, height] = [160, 80];
    const data = new Uint8Array(width * height * 3).fill(90);
    for (let y = 20; y < 60; y++) data.fill(220, (y * width + 40) * 3, (y * width + 120) * 3);
    const masks = samMasks({ sam, zoom: inWindows ? defaultZoom(sam) : null, id: "sam", hash: "0" });
    const answer = await masks.predict({ width, height, data }, [
      [40, 20, 120, 60],
      [0, 0, 30, 30],
    ]);
    expect([answer.logits.length, answer.iou.length]).toEqual([2, 2]);
    expect(answer.logits[0]!.length).toBe(answer.side ** 2);
    // The long side of the picture fills the grid, from the top left corner.
    const [a, b, c, d, e, f] = answer.toModel;
    expect([b, d, c, f]).toEqual([0, 0, 0, 0]);
    expect(a * width).toBeCloseTo(answer.side, 9);
    expect(e * height).toBeCloseTo(answer.side / 2, 9);
    const at = (x: number, y: number) =>
      answer.logits[0]![Math.floor(e * y + f) * answer.side + Math.floor(a * x + c)]!;
    expect(at(80, 40)).toBeGreaterThan(0);
    expect(at(10, 70)).toBeLessThan(0);
    sam.dispose();
  },
);
