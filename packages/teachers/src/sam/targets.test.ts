import { CounterRandom } from "@seg/augment";
import type { Box } from "@seg/coco-dataset";
import { describe, expect, test } from "vitest";
import { bitmapIou, trivialMask } from "./baselines.js";
import { samPixels } from "./predict.js";
import { jitterBox, maskTarget, mirrorBox, validCells } from "./targets.js";

const geometryOf = (width: number, height: number, size: number) =>
  samPixels({ width, height, data: new Uint8Array(3 * width * height) }, size).geometry;

describe("maskTarget", () => {
  test("is the covered share of each cell", () => {
    const pixels = Uint8Array.of(1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    const geometry = geometryOf(4, 4, 4);
    expect([...maskTarget({ pixels, geometry, side: 2 })]).toEqual([0.75, 0, 0, 0.25]);
    expect([...maskTarget({ pixels, geometry, side: 2, mirrored: true })]).toEqual([0, 0.75, 0.25, 0]);
  });

  test("keeps the area of a full mask and leaves the padding empty", () => {
    const geometry = geometryOf(30, 20, 16); // content 16 x 11 (10.67 rounded), padding below
    const target = maskTarget({ pixels: new Uint8Array(600).fill(1), geometry, side: 8 });
    for (let x = 0; x < 8; x++) {
      expect(target[x]).toBeCloseTo(1, 6);
      expect(target[5 * 8 + x]).toBeCloseTo(0.5, 6); // row 5 covers 10..12, the content ends at 11
      expect(target[6 * 8 + x]).toBe(0);
    }
  });
});

test("validCells marks cells whose centre lies in the content", () => {
  const valid = validCells(geometryOf(30, 20, 16), 8);
  expect([...valid.subarray(4 * 8, 5 * 8)]).toEqual(new Array(8).fill(1));
  expect([...valid.subarray(6 * 8, 7 * 8)]).toEqual(new Array(8).fill(0));
});

test("mirrorBox twice is the box", () => {
  expect(mirrorBox([2, 3, 10, 7], 12)).toEqual([2, 3, 10, 7]);
  expect(mirrorBox([0, 3, 4, 7], 12)).toEqual([8, 3, 12, 7]);
});

describe("jitterBox", () => {
  const size = { width: 128, height: 96 };
  test("moves symmetrically, within the limit and inside the image", () => {
    const box: Box = [40, 30, 80, 60];
    let sum = 0;
    for (let index = 0; index < 2000; index++) {
      const random = new CounterRandom({ seed: 0, path: "test", index });
      const [x1, y1, x2, y2] = jitterBox(box, random, size, { relative: 0.1, limit: 0.25, limitPixels: 8 });
      expect(Math.max(Math.abs(x1 - 40), Math.abs(x2 - 80))).toBeLessThanOrEqual(8);
      expect(Math.max(Math.abs(y1 - 30), Math.abs(y2 - 60))).toBeLessThanOrEqual(7.5);
      sum += x1 - 40;
    }
    expect(Math.abs(sum / 2000)).toBeLessThan(0.3);
  });

  test("keeps boxes at the border at least 2 pixels wide", () => {
    for (let index = 0; index < 500; index++) {
      const random = new CounterRandom({ seed: 1, path: "test", index });
      const [x1, y1, x2, y2] = jitterBox([126.5, 0, 128, 1], random, size, { relative: 2, limit: 4 });
      expect(x1).toBeGreaterThanOrEqual(0);
      expect(x2).toBeLessThanOrEqual(128);
      expect(y2).toBeLessThanOrEqual(96);
      expect(Math.min(x2 - x1, y2 - y1)).toBeGreaterThanOrEqual(2 - 1e-9);
    }
  });
});

describe("trivial baselines", () => {
  test("box and inscribed ellipse by pixel centres", () => {
    const size = { box: [1, 1, 5, 5] as Box, width: 6, height: 6 };
    expect(trivialMask({ kind: "filledBox", ...size }).reduce((a, b) => a + b, 0)).toBe(16);
    expect(trivialMask({ kind: "ellipse", ...size }).reduce((a, b) => a + b, 0)).toBe(12);
  });

  test("the ellipse against its box approaches pi / 4", () => {
    const size = { box: [0, 0, 200, 100] as Box, width: 200, height: 100 };
    const iou = bitmapIou(trivialMask({ kind: "ellipse", ...size }), trivialMask({ kind: "filledBox", ...size }));
    expect(iou).toBeCloseTo(Math.PI / 4, 2);
  });

  test("two empty masks have IoU 0", () => expect(bitmapIou([0, 0], [0, 0])).toBe(0));
});
