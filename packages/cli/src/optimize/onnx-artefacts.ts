import { type EvaluationSet, evaluateStudent } from "@seg/distill";
import {
  type CalibrationTable,
  endToEnd,
  type GateResult,
  quantizeDynamic,
  quantizeWithin,
  type RelaxedModel,
  type SqnrReport,
  sqnrReport,
  toFloat16,
} from "@seg/export";
import { encodeModel, type Model } from "@seg/onnx";
import type { Output } from "../output.js";
import type { ArtefactPrecision } from "./tflite-artefacts.js";

/** An ONNX file before it is written. */
export interface OnnxArtefact {
  readonly name: string;
  readonly precision: ArtefactPrecision;
  readonly bytes: Uint8Array;
  /** Suppression inside: other outputs than the raw graph's. */
  readonly isEndToEnd?: boolean;
}

/** Files beside the float model, by the value of --quantize. */
export const QUANTIZE_MODES = ["int8", "fp16", "dynamic", "none"] as const;
export type QuantizeMode = (typeof QUANTIZE_MODES)[number];

/** How INT8 was made. */
export interface Int8Record {
  readonly sqnr: SqnrReport;
  /** Layers that the accuracy gate left float. */
  readonly floatLayers: readonly string[];
  /** Loss of mAP50-95 on the validation split after each attempt; null without such a split. */
  readonly accuracy: readonly GateResult[] | null;
  readonly ranking: RelaxedModel["ranking"];
}

export interface OnnxArtefactsOptions {
  readonly model: Model;
  readonly mode: QuantizeMode;
  /** Needed for int8. */
  readonly table: CalibrationTable | null;
  /** Calibration inputs, for the comparison of tensors. */
  readonly images: readonly Float32Array[];
  readonly numClasses: number;
  /** Labelled images that the accuracy gate uses; null leaves accuracy to `seg evaluate`. */
  readonly validation: EvaluationSet | null;
  /** Largest loss of mAP50-95 of boxes or masks. */
  readonly maxDrop: number;
  readonly withEndToEnd: boolean;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Images that the comparison of tensors uses. */
const SAMPLES = 8;

/** mAP50-95 of boxes and, where there are any, masks. */
async function accuracy(model: Uint8Array, set: EvaluationSet, signal: AbortSignal): Promise<number[]> {
  const { metrics } = await evaluateStudent({ model, set, signal });
  return [metrics["mAP50-95"], metrics["mask_mAP50-95"]].filter((value) => value !== undefined);
}

/**
 * The ONNX files beside the float model. INT8 must keep its accuracy on the validation split: the worst layers stay float until it does.
 * @throws ExportError `GATE_FAILED` naming the worst layers
 */
export async function onnxArtefacts({
  model,
  mode,
  table,
  images,
  numClasses,
  validation,
  maxDrop,
  withEndToEnd,
  output,
  signal,
}: OnnxArtefactsOptions): Promise<{ artefacts: OnnxArtefact[]; int8: Int8Record | null }> {
  const artefacts: OnnxArtefact[] = [];
  let int8: Int8Record | null = null;
  const add = (name: string, precision: ArtefactPrecision, graph: Model, isEndToEnd = false): Uint8Array => {
    const bytes = encodeModel(graph);
    artefacts.push({ name, precision, bytes, ...(isEndToEnd ? { isEndToEnd } : {}) });
    return bytes;
  };
  if (mode === "int8" && table !== null) {
    const samples = images.slice(0, SAMPLES);
    const before = validation === null ? null : await accuracy(encodeModel(model), validation, signal);
    const relaxed = await quantizeWithin(model, table, {
      images: samples.slice(0, 2),
      numClasses,
      gate: "mAP50-95 on the validation split",
      signal,
      onProgress: ({ done, total }) => output.progress({ label: "ranking layers", done, total }),
      judge: async (candidate) => {
        if (validation === null || before === null) return { passed: true, value: 0, limit: maxDrop };
        const after = await accuracy(encodeModel(candidate), validation, signal);
        const value = Math.max(...before.map((map, i) => map - after[i]!));
        return { passed: value <= maxDrop, value, limit: maxDrop };
      },
    });
    add("model_int8.onnx", "int8", relaxed.model);
    int8 = {
      sqnr: await sqnrReport(model, relaxed.model, samples, { numClasses }),
      floatLayers: relaxed.floatLayers,
      accuracy: validation === null ? null : relaxed.attempts,
      ranking: relaxed.ranking,
    };
    if (relaxed.floatLayers.length > 0) {
      output.line(`onnx        int8 keeps ${relaxed.floatLayers.join(", ")} float, or it would lose too much accuracy`);
    }
  }
  if (mode === "fp16") {
    const { model: half, clamped } = toFloat16(model);
    add("model_fp16.onnx", "fp16", half);
    const cut = Object.values(clamped).reduce((sum, count) => sum + count, 0);
    if (cut > 0) output.line(`warning: ${cut} weights beyond 10000 were cut for float16`);
  }
  if (mode === "dynamic") {
    add("model_int8_dynamic.onnx", "int8", quantizeDynamic(model));
    output.line("onnx        int8 dynamic saves size only: convolutional networks run slower with it");
  }
  if (withEndToEnd) add("model_e2e.onnx", "fp32", endToEnd(model, { numClasses }), true);
  return { artefacts, int8 };
}
