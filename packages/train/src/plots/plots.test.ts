import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CocoDataset, CocoResult } from "@seg/coco-dataset";
import { afterAll, describe, expect, test } from "vitest";
import { svgFile } from "../charts/index.js";
import { RunDirectory } from "../run-directory.js";
import { confusionPlots, curvePlots } from "./curve-plots.js";
import { labelsPlot } from "./labels-plot.js";
import { resultsPlot } from "./results-plot.js";
import { writeReport } from "./write-report.js";

const root = mkdtempSync(join(tmpdir(), "seg-plots-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Two images, two classes; every object is found, one detection is too much. */
const dataset: CocoDataset = {
  images: [1, 2].map((id) => ({ id, width: 64, height: 64, file_name: `${id}.png` })),
  categories: [
    { id: 4, name: "nut & bolt" },
    { id: 9, name: "<washer>" },
  ],
  annotations: [1, 2].map((id) => ({
    id,
    image_id: id,
    category_id: id === 1 ? 4 : 9,
    bbox: [8, 8, 24, 24],
    area: 576,
    iscrowd: 0,
    segmentation: [[8, 8, 32, 8, 32, 32, 8, 32]],
  })),
};
const detections: CocoResult[] = [
  { image_id: 1, category_id: 4, bbox: [8, 8, 24, 24], score: 0.9 },
  { image_id: 1, category_id: 4, bbox: [40, 40, 20, 20], score: 0.4 },
  { image_id: 2, category_id: 9, bbox: [8, 8, 24, 24], score: 0.8 },
];

const results = (run: RunDirectory, masks: boolean) => {
  const terms = { losses: masks ? ["box", "seg", "cls", "dfl"] : ["box", "cls", "dfl"], boxes: true, masks };
  run.openResults(terms);
  for (const epoch of [1, 2, 3]) {
    run.append({
      epoch,
      step: epoch,
      time: epoch,
      train: { box: 3 / epoch, seg: 4 / epoch, cls: 2 / epoch, dfl: 1 },
      metrics: epoch === 2 ? null : { precision: 0.5, recall: 0.4, mAP50: epoch / 4, "mAP50-95": 0.2, mask_mAP50: 0.1 },
      lr: [0, 0.1, 0.1],
      gradNorm: 1,
    });
  }
};

describe("resultsPlot", () => {
  test.each([
    [false, 5],
    [true, 8],
  ])("has two rows: masks %s, %i panels each", (masks, width) => {
    const run = new RunDirectory(join(root, `panels-${masks}`));
    results(run, masks);
    const { text } = resultsPlot(run);
    const size = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(text)!;
    expect(Number(size[1]) / width).toBeGreaterThan(390);
    expect(Number(size[1]) / width).toBeLessThan(420);
    for (const column of ["train/box_loss", "metrics/mAP50(B)", "metrics/mAP50-95(B)"]) expect(text).toContain(column);
    expect(text.includes("metrics/mAP50(M)")).toBe(masks);
    // An epoch that was not evaluated is no value: two dots, not three.
    const panel = text.slice(text.indexOf(`font-weight="600">metrics/mAP50(B)<`));
    expect(panel.slice(0, panel.indexOf("</svg>")).match(/<circle/g)).toHaveLength(2);
  });
});

describe("curvePlots", () => {
  test("draws the mean and each class, with the values of the detections", () => {
    const curve = (name: string, categoryId: number, scores: number[], hits: number[]) => {
      const true_ = hits.map((_, i) => hits.slice(0, i + 1).reduce((a, b) => a + b, 0));
      const precision = Float64Array.from(true_, (n, i) => n / (i + 1));
      const recall = Float64Array.from(true_, (n) => n / 1);
      const f1 = precision.map((p, i) => (2 * p * recall[i]!) / (p + recall[i]!));
      const none = { confidence: 0, precision: 0, recall: 0, f1: 0 };
      const scored = { scores: Float64Array.from(scores), hits: Uint8Array.from(hits) };
      return { categoryId, name, instances: 1, ...scored, precision, recall, f1, atConfidence: none, best: none };
    };
    const mean = { confidence: 0.25, precision: 0, recall: 0, f1: 0 };
    const plots = curvePlots({
      iouThreshold: 0.5,
      classes: [curve("a", 1, [0.9, 0.4], [1, 0]), curve("b", 2, [0.8], [1])],
      mean,
      calibrationError: 0,
    });
    expect(Object.keys(plots)).toEqual(["PR_curve", "F1_curve", "P_curve", "R_curve"]);
    // Confidence 0: class a has one hit in two detections, b one in one; from .9 on nothing of b is left.
    expect(plots["P_curve"]!.text).toContain("mean of the classes: from 0.750 to 1.00");
    expect(plots["R_curve"]!.text).toContain("mean of the classes: from 1.00 to 0");
    expect(plots["PR_curve"]!.text).toContain("a: from 1.00 to 1.00");
  });

  test("of nothing draws nothing", () => {
    const mean = { confidence: 0.25, precision: -1, recall: -1, f1: -1 };
    const plots = curvePlots({ iouThreshold: 0.5, classes: [], mean, calibrationError: -1 });
    expect(plots["PR_curve"]!.text).toContain("not measured");
  });
});

describe("confusionPlots", () => {
  test("print counts, and shares of each annotated class", () => {
    const plots = confusionPlots({
      names: ["a", "b", "background"],
      counts: [
        [3, 1, 2],
        [0, 1, 0],
        [1, 0, 0],
      ],
      scoreThreshold: 0.25,
      iouThreshold: 0.45,
    });
    expect(plots["confusion_matrix"]!.text).toContain(">3</text>");
    expect(plots["confusion_matrix_normalized"]!.text).toContain(">0.75</text>");
    expect(plots["confusion_matrix_normalized"]!.text).toContain(">0.50</text>");
  });
});

describe("labelsPlot", () => {
  test("escapes names and survives annotations without boxes", () => {
    const { bbox: _, ...bare } = dataset.annotations[0]!;
    const { text } = labelsPlot({ ...dataset, annotations: [bare as (typeof dataset.annotations)[0]] });
    expect(text).toContain("nut &amp; bolt");
    expect(text).toContain("&lt;washer&gt;");
    expect(text).toContain("Centres of 0 boxes");
  });
});

describe("svgFile", () => {
  test("stands alone: a size, white paper, no custom property", () => {
    const svg = svgFile(labelsPlot(dataset), { scale: 1 });
    expect(svg).toMatch(/^<svg width="[\d.]+" height="[\d.]+"/);
    expect(svg).not.toContain("var(");
    expect(svg).toContain('fill="#fff"/>');
  });
});

describe("writeReport", () => {
  test("writes the pictures of the Ultralytics layout as SVG and PNG, mosaics as JPEG", async () => {
    const run = new RunDirectory(join(root, "whole"));
    results(run, true);
    const picture = {
      image: { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).fill(90) },
      instances: [{ classId: 0, name: "nut", box: [8, 8, 32, 32] as const }],
    };
    const maskDetections = dataset.annotations.map(({ image_id, category_id, segmentation }) => ({
      image_id,
      category_id,
      score: 0.7,
      segmentation: segmentation as number[][],
    })) as unknown as CocoResult[];
    const files = await writeReport(run, {
      labels: dataset,
      evaluation: { dataset, detections, maskDetections },
      mosaics: { train_batch0: Array.from({ length: 5 }, () => picture), val_batch0_pred: [] },
    });
    const curves = ["PR", "F1", "P", "R"].flatMap((kind) => [`Box${kind}_curve`, `Mask${kind}_curve`]);
    for (const name of ["results", "confusion_matrix", "confusion_matrix_normalized", ...curves]) {
      expect(readFileSync(run.file(`${name}.svg`), "utf8")).toMatch(/^<svg width=/);
      expect(
        readFileSync(run.file(`${name}.png`))
          .subarray(1, 4)
          .toString("latin1"),
      ).toBe("PNG");
    }
    for (const name of ["labels.jpg", "train_batch0.jpg"]) {
      expect(readFileSync(run.file(name)).subarray(0, 2)).toEqual(Buffer.of(0xff, 0xd8));
    }
    expect(existsSync(run.file("val_batch0_pred.jpg"))).toBe(false);
    expect(files.filter((name) => !existsSync(run.file(name)))).toEqual([]);
  });

  test("of an empty run writes nothing", async () => {
    expect(await writeReport(new RunDirectory(join(root, "empty")))).toEqual([]);
  });
});
