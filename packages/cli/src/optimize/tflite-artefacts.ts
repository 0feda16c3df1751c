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

/** TFLite files, or why there are none. */
export interface TfliteResult {
  readonly artefacts: readonly TfliteArtefact[];
  /** A sentence where the network has no TFLite form; then there are no files. */
  readonly refusal: string | null;
}

/**
 * TFLite files of a student: float32 and float16, and int8 where there is a calibration. If nodes have no TFLite form there is none of them, and
 * `model_tflite_coverage.json` lists every such node.
 */
export function tfliteArtefacts({
  model,
  calibration,
  folder,
}: {
  model: Model;
  calibration: CalibrationTable | null;
  folder: string;
}): TfliteResult {
  const precisions: ArtefactPrecision[] = calibration === null ? ["fp32", "fp16"] : ["fp32", "fp16", "int8"];
  try {
    const artefacts = precisions.map((precision) => {
      const options = precision === "int8" && calibration !== null ? { calibration } : {};
      const { bytes } = exportTflite(model, { flavour: FLAVOURS[precision], ...options });
      return { name: `model_${precision}.tflite`, precision, bytes };
    });
    return { artefacts, refusal: null };
  } catch (error) {
    if (ExportError.is(error, "NOT_DECODABLE")) return { artefacts: [], refusal: error.message };
    if (!ExportError.is(error, "UNSUPPORTED_OP")) throw error;
    const findings = error.details.findings ?? [];
    const coverage = join(folder, "model_tflite_coverage.json");
    writeJson(coverage, { version: 1, findings });
    const kinds = [...new Set(findings.map(({ op }) => op))].join(", ");
    return {
      artefacts: [],
      refusal: `${findings.length} nodes have no TFLite form (${kinds}); ${coverage} lists them.`,
    };
  }
}
