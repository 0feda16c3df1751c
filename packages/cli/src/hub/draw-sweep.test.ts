import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { drawSweep, sweepChart } from "./draw-sweep.js";

const directory = mkdtempSync(join(tmpdir(), "seg-sweep-"));
afterAll(() => rmSync(directory, { recursive: true }));

const ranking = [
  { index: 1, params: { seed: 0, lr0: 0.01 }, state: "succeeded", metric: 0.8 },
  { index: 0, params: { seed: 0, lr0: 0.1 }, state: "pruned", metric: 0.3 },
  { index: 2, params: { seed: 0, lr0: 0.2 }, state: "failed", metric: null },
] as const;

test("a bar per trial with what was varied where it is one thing, trials that were ended early marked", () => {
  const { text } = sweepChart({ metric: "map50_95", ranking });
  expect(text).toContain("trial 1: lr0 0.01, ran to its end: 0.8");
  expect(text).toContain("trial 0: lr0 0.1, ended early: 0.3");
  expect(text).toContain("trial 2, failed");
  expect(text).not.toContain("seed 0");
  const mixed = ranking.map((trial) => ({ ...trial, params: { ...trial.params, seed: trial.index } }));
  expect(sweepChart({ metric: "map50_95", ranking: mixed }).text).toContain("trial 1, ran to its end: 0.8");
});

test("lies beside the table as SVG and PNG; of nothing measured there is none", async () => {
  const svg = await drawSweep({ metric: "map50_95", ranking, directory });
  expect(readFileSync(join(directory, "results.svg"), "utf8")).toBe(`${svg}\n`);
  expect(existsSync(join(directory, "results.png"))).toBe(true);
  expect(await drawSweep({ metric: "map50_95", ranking: ranking.slice(2), directory })).toBeNull();
});
