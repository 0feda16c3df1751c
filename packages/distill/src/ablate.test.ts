import { describe, expect, test } from "vitest";
import { type AblationRun, ablationCsv, summarizeAblation } from "./ablate.js";
import { ablationPlot } from "./ablation-plot.js";

const run = (arm: AblationRun["arm"], seed: number, mAP50: number, gradRatio: number | null = null): AblationRun => ({
  ...{ arm, seed, steps: 390, metrics: { mAP50 }, gradRatio },
});

describe("summarizeAblation", () => {
  const runs = [
    run("gt", 1, 0.5),
    run("gt", 2, 0.54),
    run("gt", 3, 0.52),
    run("hard", 1, 0.81),
    run("hard", 2, 0.83),
    run("hard", 3, 0.82),
    run("cls", 1, 0.55),
    run("cls", 2, 0.5),
    run("cls", 3, 0.52),
    run("mask", 1, 0.4),
    run("mask", 2, 0.44),
    run("mask", 3, 0.42),
  ];
  const report = summarizeAblation({ runs, metric: "mAP50", skipped: [{ arm: "feat", reason: "no features" }] });

  test("means and deviations, differences on equal seeds", () => {
    const [gt, hard] = report.arms;
    expect(gt).toMatchObject({ arm: "gt", runs: 3, difference: null });
    expect(gt!.mean).toBeCloseTo(0.52, 12);
    expect(gt!.deviation).toBeCloseTo(0.02, 12);
    expect(hard!.difference).toBeCloseTo(0.3, 12);
    expect(hard!.differenceDeviation).toBeCloseTo(0.01, 12);
  });
  test("the verdict names what the seeds do not explain, in both directions, and what was left out", () => {
    expect(report.verdict).toEqual([
      "gt (labels only): mAP50 0.520 (deviation 0.020, 3 seeds).",
      "hard (+ labels of the teacher): mAP50 0.820 (deviation 0.010, 3 seeds), +0.300 against gt: better than the labels alone.",
      "cls (+ class scores): mAP50 0.523 (deviation 0.025, 3 seeds), +0.003 against gt: no difference that the seeds do not explain.",
      "mask (+ masks): mAP50 0.420 (deviation 0.020, 3 seeds), -0.100 against gt: worse than the labels alone.",
      "feat was left out: no features.",
    ]);
  });
  test("without labels the arms are compared with the teacher's labels", () => {
    const { verdict } = summarizeAblation({
      runs: [run("hard", 1, 0.5), run("hard", 2, 0.5), run("mask", 1, 0.6), run("mask", 2, 0.6)],
      metric: "mAP50",
    });
    expect(verdict[1]).toContain("+0.100 against hard: better than hard.");
  });
  test("one seed proves nothing, two show a tendency", () => {
    const one = summarizeAblation({ runs: runs.filter(({ seed }) => seed === 1), metric: "mAP50" });
    expect(one.verdict[1]).toContain("one seed cannot tell this from chance");
    const two = summarizeAblation({ runs: runs.filter(({ seed }) => seed !== 3), metric: "mAP50" });
    // +.31 and +.29: mean .3, standard error .01, and 12.7 of them are chance.
    expect(two.verdict[1]).toContain("+0.300 against gt: better than the labels alone");
    expect(two.verdict[2]).toContain("no difference that the seeds do not explain");
    expect(one.verdict.at(-1)).toBe("One seed shows a tendency; a claim needs at least 3.");
    expect(summarizeAblation({ runs: [], metric: "mAP50" }).arms).toEqual([]);
  });
  test("the plot carries the bars and the words", () => {
    const { text } = ablationPlot(report);
    expect(text).toContain("0.820");
    expect(text).toContain("worse than the labels alone");
  });
});

describe("ablationCsv", () => {
  test("one row per run, empty cells for what was not measured", () => {
    const rows = [
      run("gt", 1, 0.5),
      { ...run("mask", 1, Number.NaN, 0.25), metrics: { mAP50: Number.NaN, other: 1 / 3 } },
    ];
    expect(ablationCsv(rows)).toBe(
      "arm,seed,steps,mAP50,other,kd/grad_ratio\ngt,1,390,0.5,,\nmask,1,390,,0.333333,0.25\n",
    );
  });
});
