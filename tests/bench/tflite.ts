import { readFileSync } from "node:fs";
import { type EvaluationSet, evaluateStudent } from "@seg/distill";
import { calibrate, exportTflite, type TfliteFlavour } from "@seg/export";
import { createDetector, type RawTensor } from "@seg/export/runtime";
import { decodeModel } from "@seg/onnx";
import { benchStudents, isRow } from "./bench-student.js";
import type { BenchResult } from "./result.js";

const FLAVOURS: readonly TfliteFlavour[] = ["float32", "fp16", "dynamic", "int8", "full-int8"];
const CALIBRATION_IMAGES = 96;
/** Images whose raw outputs are compared. */
const COMPARED = 12;

interface Accuracy {
  readonly box: number;
  readonly mask: number | undefined;
}

/** mAP50-95 of a file on the test split, and its raw outputs on `inputs`. */
async function judge(
  model: Uint8Array,
  set: EvaluationSet,
  inputs: readonly Float32Array[],
): Promise<{ accuracy: Accuracy; raw: RawTensor[] }> {
  const detector = await createDetector({ model });
  try {
    const raw: RawTensor[] = [];
    for (const data of inputs) {
      const { output0 } = await detector.run(data);
      raw.push({ data: output0.data.slice(), dims: output0.dims });
    }
    const predictor = { run: detector.run, dispose: async () => {} };
    const { metrics } = await evaluateStudent({ predictor, set, batch: 1 });
    return { accuracy: { box: metrics["mAP50-95"]!, mask: metrics["mask_mAP50-95"] }, raw };
  } finally {
    await detector.dispose();
  }
}

/**
 * Every TFLite flavour of trained students on LiteRT against the float32 ONNX file on onnxruntime: largest difference of raw outputs (boxes as
 * fractions of the input's side, probabilities), and mAP50-95 on the test split.
 */
export async function* tflite(): AsyncIterable<BenchResult> {
  const bench = "tflite";
  for await (const student of benchStudents(bench)) {
    if (isRow(student)) {
      yield student;
      continue;
    }
    const { directory, fp32, imgsz, classes } = student;
    const set = await student.evaluationSet();
    const source = readFileSync(fp32);
    const model = decodeModel(source);
    const images = await student.calibrationImages(CALIBRATION_IMAGES);
    const calibration = await calibrate(model, images);
    const inputs = images.slice(0, COMPARED);
    const reference = await judge(source, set, inputs);
    for (const flavour of FLAVOURS) {
      const started = performance.now();
      const isInteger = flavour === "int8" || flavour === "full-int8";
      const { bytes } = exportTflite(model, { flavour, ...(isInteger ? { calibration } : {}) });
      const writtenMs = performance.now() - started;
      const { accuracy, raw } = await judge(bytes, set, inputs);
      let [box, score] = [0, 0];
      for (const [i, { data: ours, dims }] of raw.entries()) {
        const theirs = reference.raw[i]!.data;
        const anchors = dims[2]!;
        for (let j = 0; j < anchors * (4 + classes.length); j++) {
          const difference = Math.abs(ours[j]! - theirs[j]!);
          if (j < 4 * anchors) box = Math.max(box, difference / imgsz);
          else score = Math.max(score, difference);
        }
      }
      const loss = (kind: "box" | "mask") => {
        const [before, after] = [reference.accuracy[kind], accuracy[kind]];
        return before === undefined || after === undefined
          ? []
          : [`${kind} ${before.toFixed(4)} -> ${after.toFixed(4)} (loss ${(before - after).toFixed(4)})`];
      };
      yield {
        bench,
        case: `${directory}: ${flavour} on ${set.images.length} test images`,
        value: accuracy.box,
        unit: "box mAP50-95",
        peer: "ONNX float32",
        peerValue: reference.accuracy.box,
        ratio: accuracy.box / reference.accuracy.box,
        note: `${[...loss("box"), ...loss("mask")].join(", ")}; boxes ${box.toExponential(1)} of the side, probabilities ${score.toExponential(1)}; ${(bytes.length / 1e6).toFixed(2)} MB (${((100 * bytes.length) / source.length).toFixed(1)} %), written in ${writtenMs.toFixed(0)} ms`,
      };
    }
  }
}
