import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeModel } from "@seg/onnx";
import { afterAll, describe, expect, test } from "vitest";
import { yoloGraph } from "../../test/yolo-graph.js";
import { benchmark } from "./benchmark.js";
import { openEnergyMeter } from "./energy.js";
import { formatBenchmarkMarkdown } from "./format.js";
import { measurePeakRss } from "./peak-rss.js";
import { quantile, ratioEstimate } from "./statistics.js";
import { writeBenchmark } from "./write-benchmark.js";

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

describe("openEnergyMeter", () => {
  test("adds up the packages and is null where there are none", () => {
    const root = join(directory, "powercap");
    expect(openEnergyMeter(root)).toBeNull();
    for (const [name, energy] of Object.entries({ "intel-rapl:0": 3e6, "intel-rapl:1": 4e6, "intel-rapl:0:0": 9e6 })) {
      mkdirSync(join(root, name), { recursive: true });
      writeFileSync(join(root, name, "energy_uj"), `${energy}\n`);
      writeFileSync(join(root, name, "max_energy_range_uj"), "50000000\n");
    }
    const meter = openEnergyMeter(root)!;
    expect([meter.read(), meter.wrapsAt]).toEqual([7, 100]);
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
      { imgsz: 64, energyMeter: null },
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
    expect(text).toContain("## Not measured\n\n- Processor power (RAPL)");
    expect(report.rows[0]!.loadMs).toBeGreaterThan(0);
  });

  test("a fast artefact that loses too much accuracy is rejected; the teacher stands beside; the plot shows all", async () => {
    const [small, large] = ["small.onnx", "large.onnx"].map((name) => join(directory, name));
    writeFileSync(small!, encodeModel(yoloGraph({ imgsz: 64, width: 0.0625 })));
    writeFileSync(large!, encodeModel(yoloGraph({ imgsz: 64, width: 0.25 })));
    let reading = 0;
    const report = await benchmark(
      [
        { name: "large", path: large!, precision: "fp32", accuracy: { map50: 0.9, map: 0.6 } },
        { name: "small", path: small!, precision: "int8", accuracy: { map50: 0.8, map: 0.56 } },
        { name: "absent", path: join(directory, "absent.onnx"), precision: "int8" },
      ],
      {
        imgsz: 64,
        measureMemory: false,
        warmup: 1,
        energyMeter: { wrapsAt: 100, read: () => [95, 0, 5, 10][reading++]! },
        references: [{ name: "teacher", bytes: 3e6, medianMs: 30, accuracy: { map50: 0.87, map: 0.5 } }],
      },
    );
    expect(report.rows.map(({ verdict }) => verdict)).toEqual(["baseline", "rejected"]);
    expect(report.rows[1]!.accuracyDrop).toBeCloseTo(0.04, 10);
    // 5 J in 20 runs; the second reading has passed the wrap.
    expect(report.rows.map(({ joulesPerRun }) => joulesPerRun)).toEqual([0.25, 0.25]);
    expect(report.unavailable.map(({ artefact }) => artefact)).toEqual(["absent"]);
    const paths = writeBenchmark(directory, report);
    expect(Object.keys(paths).sort()).toEqual(["benchmark.json", "benchmark.md", "benchmark.svg"]);
    const text = readFileSync(paths["benchmark.md"]!, "utf8");
    expect(text).toMatch(/\| teacher \| .* \| 0\.870 \/ 0\.500 \| - \| reference \|/);
    const plot = readFileSync(paths["benchmark.svg"]!, "utf8");
    expect(plot.match(/<circle/g)?.length).toBe(3);
    expect(plot).toContain("small (rejected)");
  });

  test("fewer than 20 rounds and an unknown baseline are refused", async () => {
    await expect(benchmark([], { imgsz: 64 })).rejects.toThrow(RangeError);
    const artefacts = [{ name: "a", path: "a.onnx", precision: "fp32" as const }];
    await expect(benchmark(artefacts, { imgsz: 64, rounds: 5 })).rejects.toThrow(/fewer than 20/);
    await expect(benchmark(artefacts, { imgsz: 64, baseline: "b" })).rejects.toThrow(/not among a/);
  });
});
