import { join } from "node:path";
import { type CalibrationTable, ExportError, exportTflite, type TfliteFlavour } from "@seg/export";
import type { Model } from "@seg/onnx";
import { writeJson } from "../files.js";

/** Which checks an artefact must pass. */
export type ArtefactPrecision = "fp32" | "fp16" | "int8";

/** A TFLite file before it is written. */
export interface TfliteArtefact {
  name: string;
  precision: ArtefactPrecision;
  bytes: Uint8Array;
}

const FLAVOURS: Readonly<Record<ArtefactPrecision, TfliteFlavour>> = { fp32: "float32", fp16: "fp16", int8: "int8" };

/**
 * TFLite files of a student: float32 and float16, and int8 where there is a calibration. If nodes have no TFLite form,
 * `model_tflite_coverage.json` lists them all.
 *
 * @throws ExportError `UNSUPPORTED_OP` after the coverage report was written
 */
export function tfliteArtefacts({
  model,
  calibration,
  folder,
}: {
  model: Model;
  calibration: CalibrationTable | null;
  folder: string;
}): TfliteArtefact[] {
  const precisions: ArtefactPrecision[] = calibration === null ? ["fp32", "fp16"] : ["fp32", "fp16", "int8"];
  try {
    return precisions.map((precision) => {
      const options = precision === "int8" && calibration !== null ? { calibration } : {};
      const { bytes } = exportTflite(model, { flavour: FLAVOURS[precision], ...options });
      return { name: `model_${precision}.tflite`, precision, bytes };
    });
  } catch (error) {
    if (ExportError.is(error, "UNSUPPORTED_OP")) {
      writeJson(join(folder, "model_tflite_coverage.json"), { version: 1, findings: error.details.findings ?? [] });
    }
    throw error;
  }
}
