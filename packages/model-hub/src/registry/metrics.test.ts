import { describe, expect, test } from "vitest";
import { checkMetrics, f1Score } from "./metrics.js";

describe("checkMetrics", () => {
  test("unknown is null and F1 follows from precision and recall", () => {
    expect(checkMetrics({})).toEqual({
      accuracy: null,
      precision: null,
      recall: null,
      f1_score: null,
      loss: null,
      map50: null,
      map50_95: null,
      mask_iou: null,
      training_samples: null,
      training_time: null,
    });
    expect(checkMetrics({ precision: 0.5, recall: 1 }).f1_score).toBeCloseTo(2 / 3, 15);
    expect(checkMetrics({ precision: 0.5, recall: 1, f1_score: 0.6 }).f1_score).toBe(0.6);
  });
  test("keeps what a trainer measures beside the known ones", () => {
    expect(checkMetrics({ latency_ms: 12.5, size_bytes: 7, extra: { dice: 0.9, gap: null } })).toMatchObject({
      latency_ms: 12.5,
      size_bytes: 7,
      extra: { dice: 0.9, gap: null },
    });
  });
  test.each([
    ["loss", { loss: Number.NaN }],
    ["loss", { loss: Number.POSITIVE_INFINITY }],
    ["accuracy", { accuracy: 1.01 }],
    ["map50_95", { map50_95: -0.1 }],
    ["training_samples", { training_samples: 1.5 }],
    ["training_time", { training_time: -1 }],
    ["extra.dice", { extra: { dice: Number.NEGATIVE_INFINITY } }],
    ["mAP", { mAP: 0.5 }],
    ["precision", { precision: "0.5" }],
  ])("refuses %s of %o", (metric, metrics) => {
    expect(() => checkMetrics(metrics as never)).toThrow(
      expect.objectContaining({ code: "INVALID_METRIC", details: expect.objectContaining({ metric }) }),
    );
  });
});

describe("f1Score", () => {
  test("is 0 when precision and recall are", () => {
    expect(f1Score(0, 0)).toBe(0);
  });
});
