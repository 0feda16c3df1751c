import { CounterRandom } from "@seg/augment";
import { describe, expect, test } from "vitest";
import { nms, orderByScore } from "./nms.js";

/** Definition: sort, then keep what no better kept box of the class covers by more than the threshold. */
function reference(boxes: Float32Array, scores: Float32Array, classes: Int32Array, iou: number, max: number): number[] {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const kept: number[] = [];
  for (const i of order) {
    const overlaps = kept.some((k) => {
      if (classes[k] !== classes[i]) return false;
      const at = (n: number, c: number): number => boxes[n * 4 + c]!;
      const w = Math.max(0, Math.min(at(i, 2), at(k, 2)) - Math.max(at(i, 0), at(k, 0)));
      const h = Math.max(0, Math.min(at(i, 3), at(k, 3)) - Math.max(at(i, 1), at(k, 1)));
      const area = (n: number): number => (at(n, 2) - at(n, 0)) * (at(n, 3) - at(n, 1));
      return (w * h) / (area(i) + area(k) - w * h) > iou;
    });
    if (!overlaps) kept.push(i);
  }
  return kept.slice(0, max);
}

describe("orderByScore", () => {
  test("orders by score, equal scores by index", () => {
    expect([...orderByScore(Float32Array.of(0.25, 1, 0.5, 1, 0))]).toEqual([1, 3, 2, 0, 4]);
    expect([...orderByScore(new Float32Array(0))]).toEqual([]);
  });

  test("tells neighbouring float32 values apart", () => {
    const next = Math.fround(0.5 + 2 ** -24);
    expect(next).toBeGreaterThan(0.5);
    expect([...orderByScore(Float32Array.of(0.5, next))]).toEqual([1, 0]);
  });
});

describe("nms", () => {
  test("of two equal boxes and scores the lower index stays", () => {
    const boxes = Float32Array.of(0, 0, 2, 2, 0, 0, 2, 2);
    expect([...nms({ boxes, scores: Float32Array.of(0.5, 0.5) })]).toEqual([0]);
  });

  test("an IoU equal to the threshold suppresses nothing", () => {
    // Two 2 x 1 boxes sharing half: IoU = 1 / 3, here 1 / 2 with a 1 x 1 in a 2 x 1.
    const boxes = Float32Array.of(0, 0, 2, 1, 0, 0, 1, 1);
    const scores = Float32Array.of(0.9, 0.8);
    expect([...nms({ boxes, scores, iou: 0.5 })]).toEqual([0, 1]);
    expect([...nms({ boxes, scores, iou: 0.49 })]).toEqual([0]);
  });

  test("classes do not suppress each other", () => {
    const boxes = Float32Array.of(0, 0, 2, 2, 0, 0, 2, 2);
    expect([...nms({ boxes, scores: Float32Array.of(0.5, 0.6), classes: Int32Array.of(0, 1) })]).toEqual([1, 0]);
  });

  test.each([0.3, 0.7])("agrees with the definition at IoU %d", (iou) => {
    const random = new CounterRandom({ seed: 3, path: "nms" });
    const count = 400;
    const boxes = new Float32Array(count * 4);
    const scores = new Float32Array(count);
    const classes = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const [x, y] = [random.uniform(0, 100), random.uniform(0, 100)];
      boxes.set([x, y, x + random.uniform(5, 60), y + random.uniform(5, 60)], i * 4);
      scores[i] = random.integer(0, 20) / 20;
      classes[i] = random.integer(0, 2);
    }
    expect([...nms({ boxes, scores, classes, iou, maxDetections: 50 })]).toEqual(
      reference(boxes, scores, classes, iou, 50),
    );
  });
});
