import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Comparable, compareVersions, decide } from "./compare.js";
import { checkMetrics } from "./metrics.js";
import type { VersionMetrics } from "./types.js";

function version(
  name: string,
  metrics: Partial<VersionMetrics>,
  { definition = "coco", split = "s1", bytes = 0 }: { definition?: string | null; split?: string; bytes?: number } = {},
): Comparable {
  return {
    model: "default",
    version: name,
    size_bytes: bytes,
    manifest: {
      metrics: checkMetrics(metrics),
      metric_definition_id: definition,
      dataset: { id: null, fingerprint: null, split_hash: split },
      files: bytes === 0 ? [] : [{ path: "m", sha256: "", md5: "", bytes }],
    } as never,
  };
}

describe("compareVersions", () => {
  test("says per metric what changed and who is better", () => {
    const a = version("a", { map50_95: 0.4, loss: 0.5, training_time: 10, recall: 0.7 });
    const b = version("b", { map50_95: 0.45, loss: 0.6, training_time: 8, recall: 0.7 + 1e-10, precision: 0.2 });
    const comparison = compareVersions({ a, b });
    expect(comparison).toMatchObject({ comparable: true, reasons: [], primary: "map50_95", overall: "b" });
    expect(comparison.metrics["map50_95"]!.delta).toBeCloseTo(0.05, 12);
    expect(comparison.metrics["loss"]).toMatchObject({ better: "a" });
    expect(comparison.metrics["training_time"]).toMatchObject({ delta: -2, better: "b" });
    expect(comparison.metrics["recall"]).toMatchObject({ better: "tie" });
    expect(comparison.metrics["precision"]).toEqual({ a: null, b: 0.2, delta: null, better: "unknown" });
  });
  test("falls back from mAP to F1 to accuracy", () => {
    const overall = (metrics: Partial<VersionMetrics>, better: Partial<VersionMetrics>) =>
      compareVersions({ a: version("a", metrics), b: version("b", better) });
    expect(overall({ f1_score: 0.5 }, { f1_score: 0.4, map50_95: 0.9 })).toMatchObject({
      primary: "f1_score",
      overall: "a",
    });
    expect(overall({ accuracy: 0.5 }, { accuracy: 0.5 })).toMatchObject({ primary: "accuracy", overall: "tie" });
    expect(overall({}, {})).toMatchObject({ primary: "map50_95", overall: "unknown" });
  });
  test("names what makes numbers incomparable", () => {
    const comparison = compareVersions({
      a: version("a", { map50_95: 0.4 }),
      b: version("b", { map50_95: 0.5 }, { definition: null, split: "s2" }),
    });
    expect(comparison.comparable).toBe(false);
    expect(comparison.reasons).toEqual([
      "metric definition differs: coco and unknown",
      "split hash differs: s1 and s2",
    ]);
  });
  test("turning the two round turns the answer round", () => {
    const rate = fc.option(fc.double({ min: 0, max: 1, noNaN: true }));
    fc.assert(
      fc.property(
        fc.record({ map50_95: rate, recall: rate }),
        fc.record({ map50_95: rate, recall: rate }),
        (left, right) => {
          const forward = compareVersions({ a: version("a", left), b: version("b", right) });
          const back = compareVersions({ a: version("b", right), b: version("a", left) });
          const turned = { a: "b", b: "a", tie: "tie", unknown: "unknown" } as const;
          expect(back.overall).toBe(turned[forward.overall]);
          for (const [name, { better }] of Object.entries(forward.metrics)) {
            expect(back.metrics[name]!.better).toBe(turned[better]);
          }
        },
      ),
    );
  });
});

describe("decide", () => {
  const active = version("a", { map50_95: 0.4, recall: 0.8, latency_ms: 10 }, { bytes: 100 });
  test("suggests what is better by more than the least gain", () => {
    const candidate = version("b", { map50_95: 0.45, recall: 0.8 });
    expect(decide({ candidate, active, policy: {} })).toMatchObject({ suggest_activation: true, against: "a" });
    expect(decide({ candidate, active, policy: { minDelta: 0.05 } }).suggest_activation).toBe(false);
    expect(decide({ candidate: version("b", { map50_95: 0.4 }), active, policy: {} }).suggest_activation).toBe(false);
  });
  test("keeps to the limits on latency, size and other rates", () => {
    const candidate = version("b", { map50_95: 0.5, recall: 0.7, latency_ms: 20 }, { bytes: 200 });
    expect(decide({ candidate, active, policy: {} }).suggest_activation).toBe(true);
    expect(decide({ candidate, active, policy: { maxLatencyMs: 15 } }).reasons).toContain(
      "latency_ms 20 exceeds the limit 15",
    );
    expect(decide({ candidate, active, policy: { maxBytes: 150 } }).suggest_activation).toBe(false);
    expect(decide({ candidate, active, policy: { maxDrop: 0.05 } }).suggest_activation).toBe(false);
    expect(decide({ candidate, active, policy: { maxDrop: 0.2 } }).suggest_activation).toBe(true);
  });
  test("a lower primary can be the better one", () => {
    const policy = { primary: "latency_ms" };
    expect(decide({ candidate: version("b", { latency_ms: 5 }), active, policy }).suggest_activation).toBe(true);
    expect(decide({ candidate: version("b", { latency_ms: 15 }), active, policy }).suggest_activation).toBe(false);
  });
  test("does not suggest on numbers that cannot be compared, nor without any", () => {
    expect(
      decide({ candidate: version("b", { map50_95: 0.9 }, { split: "s2" }), active, policy: {} }).suggest_activation,
    ).toBe(false);
    expect(decide({ candidate: version("b", {}), active, policy: {} }).suggest_activation).toBe(false);
  });
  test("without an active version the limits decide", () => {
    expect(decide({ candidate: version("b", {}), active: null, policy: {} })).toMatchObject({
      suggest_activation: true,
      against: null,
    });
    expect(decide({ candidate: version("b", {}), active: null, policy: { maxLatencyMs: 1 } }).suggest_activation).toBe(
      false,
    );
  });
});
