import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ProgressMeter } from "./progress-meter.js";

describe("ProgressMeter", () => {
  test("estimates from the second ended epoch on, by EMA(0.3) of epoch times", () => {
    let now = 0;
    const meter = new ProgressMeter({ epochs: 5, now: () => now });
    const epoch = (number: number, seconds: number) => {
      meter.next({ phase: "training", epoch: number, step: 0, steps: 2 });
      now += seconds * 1000;
      return meter.next({ phase: "training", epoch: number });
    };
    meter.next({ phase: "preparing" });
    expect(epoch(1, 10)).toMatchObject({ percent: 19, eta_s: null, epoch: 1, epochs: 5 });
    // 0.3 * 20 + 0.7 * 10 = 13 seconds an epoch, three to go.
    expect(epoch(2, 20)).toMatchObject({ percent: 38, eta_s: 39 });
    expect(meter.next({ phase: "training", epoch: 3, step: 1, steps: 2 }).eta_s).toBeCloseTo(13 * 2.5, 9);
    expect(epoch(5, 1).eta_s).toBe(0);
    expect(meter.next({ phase: "evaluating" })).toMatchObject({ percent: 96, eta_s: null });
    expect(meter.next({ phase: "saving" }).percent).toBe(98);
  });
  test("keeps the last metrics", () => {
    const meter = new ProgressMeter({ epochs: 2, now: () => 0 });
    meter.next({ phase: "training", epoch: 1, metrics: { loss: 1 } });
    expect(meter.next({ phase: "training", epoch: 2, step: 1, steps: 4 }).metrics).toEqual({ loss: 1 });
  });
  test("percent never goes back and stays within 0-100, whatever is reported", () => {
    const report = fc.record({
      phase: fc.constantFrom("preparing", "training", "evaluating", "saving"),
      epoch: fc.integer({ min: 1, max: 12 }),
      step: fc.integer({ min: 0, max: 9 }),
      steps: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(report), (reports) => {
        const meter = new ProgressMeter({ epochs: 10, now: () => 0 });
        const shown = reports.map((each) => meter.next(each).percent);
        expect(shown.every((percent, i) => percent >= (shown[i - 1] ?? 0) && percent <= 100)).toBe(true);
      }),
    );
  });
});
