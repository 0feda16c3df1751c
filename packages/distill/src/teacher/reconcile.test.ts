import type { Box } from "@seg/coco-dataset";
import { describe, expect, test } from "vitest";
import { selectDetections } from "./detections.js";
import { detectionsOf, reconcile } from "./reconcile.js";

const box = (x: number): Box => [x, 0, x + 10, 10];
const logit = (p: number) => Math.log(p / (1 - p));
/** Rows of [box, class, score] as detections of two classes. */
const found = (...rows: [Box, number, number][]) =>
  detectionsOf(
    rows.map(([b]) => b),
    Float32Array.from(rows.flatMap(([, c, p]) => [0, 1].map((k) => (k === c ? logit(p) : -8)))),
    2,
  );
const truths = [{ classId: 0, box: box(0) }];
const summary = (options: Parameters<typeof reconcile>[0]) => {
  const { matched, pseudo, ignored } = reconcile(options);
  const starts = (list: typeof pseudo) => list.map((d) => d.box[0]);
  return { matched: [...matched].map(([t, d]) => [t, d.box[0]]), pseudo: starts(pseudo), ignored: starts(ignored) };
};

describe("selectDetections", () => {
  test("keeps boxes above the floor, inside the image, the better of two of a class", () => {
    const { boxes, logits } = selectDetections({
      boxes: [box(0), box(1), box(1), box(50), [-5, -5, 3, 3], box(200)],
      logits: Float32Array.of(1, -9, 2, -9, -9, 0, -3, -9, 0, -9, 3, -9),
      classes: 2,
      width: 100,
      height: 100,
    });
    expect(boxes).toEqual([box(1), box(1), [0, 0, 3, 3]]);
    expect([...logits]).toEqual([2, -9, -9, 0, 0, -9]);
  });
  test("nothing found is an empty record", () => {
    const empty = { boxes: [], logits: new Float32Array(0), classes: 2, width: 9, height: 9 };
    expect(selectDetections(empty)).toMatchObject({ kind: "detections", boxes: [], classes: 2 });
  });
});

describe("reconcile", () => {
  const detections = found(
    [box(1), 0, 0.9],
    [box(2), 1, 0.8],
    [box(30), 1, 0.7],
    [box(60), 0, 0.3],
    [box(80), 0, 0.06],
  );

  test("complete annotations: only what they confirm", () => {
    expect(summary({ detections, truths, isOpen: false })).toEqual({ matched: [[0, 1]], pseudo: [], ignored: [] });
  });
  test("open images: confident boxes elsewhere become labels, doubtful ones are ignored, faint ones forgotten", () => {
    expect(summary({ detections, truths, isOpen: true })).toEqual({ matched: [[0, 1]], pseudo: [30], ignored: [60] });
  });
  test("the annotation wins where the class differs, also over a second box", () => {
    const other = found([box(0), 1, 0.95], [box(1), 0, 0.9], [box(2), 0, 0.85]);
    expect(summary({ detections: other, truths, isOpen: true })).toEqual({
      matched: [[0, 1]],
      pseudo: [],
      ignored: [],
    });
  });
  test("of two names for one place the better one stays, and hides the doubtful one", () => {
    const twice = found([box(30), 0, 0.9], [box(31), 1, 0.8], [box(29), 1, 0.4]);
    expect(summary({ detections: twice, truths: [], isOpen: true })).toEqual({
      matched: [],
      pseudo: [30],
      ignored: [],
    });
  });
  test("thresholds may differ by class", () => {
    const pseudoScore = [0.25, 0.75];
    expect(summary({ detections, truths, isOpen: true, pseudoScore })).toEqual({
      matched: [[0, 1]],
      pseudo: [60],
      ignored: [30],
    });
  });
});
