import { parseResultsCsv } from "../src/report/parse-results-csv.js";
import type { EvaluationCurves, MaskScore, ModelRow, ReportData } from "../src/report/report-data.js";

/** One class, with the same baselines whatever the model. */
export const maskScore = (meanIou: number): MaskScore => ({
  meanIou,
  perClass: [{ name: "cell", iou: meanIou, filledBox: 0.741, ellipse: 0.836, count: 812 }],
  baselines: { filledBox: 0.741, ellipse: 0.836 },
});

export const fp32: ModelRow = {
  name: "student fp32",
  kind: "student-fp32",
  prompts: "none",
  box: { map50: 0.889, map: 0.66 },
  mask: { map50: 0.87, map: 0.6 },
  maskIou: 0.79,
  sizeBytes: 13_250_000,
  latencyMs: { p50: 18.31, p95: 20.4 },
  fps: 54.6,
  peakMemoryBytes: 212e6,
  perSize: [{ size: "small", objects: 748, boxAp: 0.66, maskAp: 0.6 }],
  perClass: [{ name: "cell", boxAp50: 0.93, boxAp: 0.68, maskAp50: 0.92, maskAp: 0.61 }],
};

export const int8: ModelRow = {
  ...fp32,
  name: "student INT8",
  kind: "student-int8",
  box: { map50: 0.872, map: 0.641 },
  mask: { map50: 0.844, map: 0.583 },
  maskIou: 0.781,
  sizeBytes: 3_580_000,
  latencyMs: { p50: 8.72, p95: 9.9 },
  fps: 114.7,
  peakMemoryBytes: 148e6,
};

export const teacher: ModelRow = {
  name: "MobileSAM + LoRA",
  kind: "teacher",
  prompts: "box prompts (ground truth)",
  box: null,
  mask: { map50: 0.941, map: 0.702 },
  maskIou: 0.857,
  sizeBytes: 40_700_000,
  latencyMs: { p50: 412.3, p95: 455 },
  fps: 2.42,
  peakMemoryBytes: null,
};

const curves = (model: string, kind: "box" | "mask"): EvaluationCurves => {
  const falling = Array.from({ length: 101 }, (_, k) => 1 - k / 100);
  const best = { confidence: 0.4, precision: 0.9, recall: 0.8, f1: 0.847 };
  return {
    ...{ model, kind },
    lines: [{ name: "mean of the classes", precision: falling, f1: falling }],
    perClass: [{ name: "cell", objects: 748, best }],
  };
};

const found = { objects: 748, reference: 700, candidate: 690, both: 680, lost: 20, gained: 10 };

/** A report with something in every section. */
export const exampleReport = (): ReportData => ({
  title: "Cells",
  subtitle: "yolov8n-seg",
  seed: 42,
  measuredOn: { split: "test", images: 54, trainedOn: 0, chosenOn: 0 },
  decisions: [{ what: "student", choice: "yolov8n-seg", reason: "boxes and masks are annotated" }],
  dataset: {
    images: 364,
    annotations: 4888,
    classes: [{ index: 0, name: "cell", counts: { train: 3410, val: 730, test: 748 } }],
    splits: { train: 255, val: 55, test: 54 },
    findings: [{ severity: "warn", code: "coco/box-outside", message: "9 boxes reach outside.", count: 9 }],
    generated: { boxes: 0, areas: 361 },
  },
  curves: parseResultsCsv("epoch,time,train/box_loss,metrics/mAP50(B)\n1,10,5.9,\n2,20,3.1,0.4\n3,30,1.2,0.8\n"),
  teacher: {
    name: "MobileSAM",
    adapter: "teachers/sam_lora",
    trainableShare: 0.0123,
    before: maskScore(0.717),
    after: maskScore(0.857),
    curve: [
      { step: 1, loss: 1.1 },
      { step: 2, loss: 0.7 },
    ],
  },
  detector: {
    name: "Grounding DINO",
    adapter: "teachers/grounding_dino_lora",
    trainableShare: 0.02,
    before: { map50: 0.2, map: 0.1, perClass: [{ name: "cell", ap50: 0.2, ap: 0.1, count: 748 }] },
    after: { map50: 0.8, map: 0.4, perClass: [{ name: "cell", ap50: 0.8, ap: 0.4, count: 748 }] },
    curve: [
      { step: 1, loss: 9 },
      { step: 2, loss: 5 },
    ],
  },
  models: [teacher, fp32, int8],
  evaluation: [curves("student fp32", "box"), curves("student INT8", "box"), curves("student INT8", "mask")],
  confusion: {
    model: "student INT8",
    confidence: 0.4,
    iou: 0.5,
    names: ["cell", "background"],
    counts: [
      [690, 31],
      [58, 0],
    ],
  },
  comparisons: [
    {
      kind: "mask",
      reference: { name: "MobileSAM + LoRA", confidence: null },
      candidate: { name: "student INT8", confidence: 0.4 },
      total: found,
      perClass: [{ name: "cell", ...found }],
      perSize: [{ size: "small", ...found }],
      images: [{ file: "a.jpg", objects: 20, lost: 3, gained: 1 }],
      lost: [{ annotation: 7, file: "a.jpg", class: "cell", width: 20, height: 21 }],
      unlisted: 19,
    },
  ],
  int8: {
    outputs: [{ tensor: "output0", sqnrDb: 31.2 }],
    worst: [{ tensor: "/model.22/conv", sqnrDb: 18.4 }],
    activations: 120,
    medianSqnrDb: 24.5,
    samples: 8,
    floatLayers: ["/model.22/dfl"],
    attempts: [{ passed: true, value: 0.012, limit: 0.03 }],
    ranking: [{ layer: "/model.0/conv", sqnrDb: 22.1 }],
    parity: { classMaxError: 0.08, boxSqnrDb: 31, classSqnrDb: 27 },
    speedup: { median: 2.1, low: 1.9, high: 2.3 },
    calibrationSha256: "0a1b",
  },
  certificate: {
    promptFree: true,
    modelSha256: "9f86d081",
    checks: [{ name: "inputs", passed: true, detail: "one input" }],
    files: [
      {
        file: "model_int8.onnx",
        precision: "int8",
        bytes: 3_580_000,
        fileSha256: "9f86d081",
        promptFree: true,
        inputs: ["images float32 [1, 3, 320, 320]"],
        outputs: ["output0 [1, 37, 2100]"],
        runs: 10,
        warnings: [],
      },
    ],
  },
  overlays: [{ title: "a.jpg", caption: "annotated", image: Uint8Array.of(0xff, 0xd8, 0xff), mime: "image/jpeg" }],
  environment: { device: "cpu" },
  notMeasured: ["power draw"],
  licences: [{ what: "student weights", licence: "Apache-2.0" }],
});
