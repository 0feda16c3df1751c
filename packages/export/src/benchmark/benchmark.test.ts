import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeModel } from "@seg/onnx";
import { afterAll, describe, expect, test } from "vitest";
import { yoloGraph } from "../../test/yolo-graph.js";
import { benchmark } from "./benchmark.js";
import { formatBenchmarkMarkdown } from "./format.js";
import { measurePeakRss } from "./peak-rss.js";
import { quantile, ratioEstimate } from "./statistics.js";

const directory = mkdtempSync(join(tmpdir(), "seg-benchmark-"));
afterAll(() => rmSync(directory, { recursive: true }));

describe("quantile", () => {
  test("interpolates between order statistics", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([7], 0.95)).toBe(7);
  });
});

describe("ratioEstimate", () => {
  test("is exact for constant times and repeats itself for equal seeds", () => {
    const constant = { baseline: [4, 4, 4], artefact: [2, 2, 2] };
    expect(ratioEstimate(constant)).toEqual({ median: 2, low: 2, high: 2 });
    const noisy = { baseline: [4, 5, 6, 7, 8], artefact: [4, 4, 4, 8, 3] };
    expect(ratioEstimate({ ...noisy, seed: 1 })).toEqual(ratioEstimate({ ...noisy, seed: 1 }));
    expect(ratioEstimate(noisy).low).toBeLessThan(1.25);
    expect(ratioEstimate(noisy).high).toBeGreaterThan(1.25);
  });
});

describe("measurePeakRss", () => {
  test("counts the model's own process, not the one that started it", async () => {
    const path = join(directory, "tiny.onnx");
    writeFileSync(path, encodeModel(yoloGraph({ imgsz: 64, width: 0.0625 })));
    const held = new Uint8Array(600e6).fill(1);
    const bytes = await measurePeakRss({ path, inputName: "images", dims: [1, 3, 64, 64], threads: 1 });
    expect(held[7]).toBe(1);
    expect(bytes).toBeGreaterThan(30e6);
    expect(bytes).toBeLessThan(400e6);
  });
});

describe("benchmark", () => {
  test("never calls a slower or an equal artefact optimised", async () => {
    const small = join(directory, "small.onnx");
    const large = join(directory, "large.onnx");
    writeFileSync(small, encodeModel(yoloGraph({ imgsz: 64, width: 0.0625 })));
    writeFileSync(large, encodeModel(yoloGraph({ imgsz: 64, width: 0.25 })));
    const report = await benchmark(
      [
        { name: "small", path: small, precision: "fp32" },
        { name: "large", path: large, precision: "fp32" },
      ],
      { imgsz: 64 },
    );
    expect(report.rows.map(({ verdict }) => verdict)).toEqual(["baseline", "not-optimised"]);
    expect(report.rows[1]!.speedup).toBeLessThan(1);
    const reversed = await benchmark(
      [
        { name: "large", path: large, precision: "fp32" },
        { name: "small", path: small, precision: "fp32" },
      ],
      { imgsz: 64, measureMemory: false, warmup: 2 },
    );
    expect(reversed.rows[1]!.verdict).toBe("optimised");
    // Node alone has tens of MB; the model of 13 MB must be in there.
    expect(report.rows[1]!.peakRssBytes!).toBeGreaterThan(30e6);
    expect(reversed.rows[1]!.peakRssBytes).toBeNull();
    const text = formatBenchmarkMarkdown(report);
    expect(text).toMatch(/\| large \| fp32 \| .* \| not-optimised \|/);
    expect(text).toContain("## Not measured\n\n- Power draw");
  });

  test("fewer than 20 rounds and an unknown baseline are refused", async () => {
    await expect(benchmark([], { imgsz: 64 })).rejects.toThrow(RangeError);
    const artefacts = [{ name: "a", path: "a.onnx", precision: "fp32" as const }];
    await expect(benchmark(artefacts, { imgsz: 64, rounds: 5 })).rejects.toThrow(/fewer than 20/);
    await expect(benchmark(artefacts, { imgsz: 64, baseline: "b" })).rejects.toThrow(/not among a/);
  });
});
