import { type Model, modelHash } from "@seg/onnx";
import { ExportError } from "../errors.js";
import type { CalibrationTable } from "../quantize/calibrate.js";
import { headNodes } from "../quantize/head.js";
import { compactDecode } from "./compact-decode.js";
import { deploymentGraph } from "./deployment-graph.js";
import { assembleModel, type LiteGraph } from "./graph.js";
import { lowerToTflite } from "./lower-to-tflite.js";
import type { TfliteModel } from "./model.js";
import { quantizeInt8 } from "./quantize/int8.js";
import type { ConcatRule } from "./quantize/scale-groups.js";
import { convertWeightsToFloat16, quantizeWeightsOnly } from "./quantize/weights-only.js";
import { jsonMetadata } from "./tflite-metadata.js";
import { writeTflite } from "./write-tflite.js";

/**
 * Number formats of a TFLite file. `fp16`: weights float16, everything computed in float32. `dynamic`: weights int8. `int8`: int8 up to the last
 * convolutions, float decode, float inputs and outputs. `full-int8`: int8 inputs, outputs and decode, for accelerators without floats.
 */
export type TfliteFlavour = "float32" | "fp16" | "dynamic" | "int8" | "full-int8";

/** Number format and ranges of a TFLite model. */
export interface ExportTfliteOptions {
  /** @defaultValue "int8" */
  flavour?: TfliteFlavour;
  /** Ranges of this model, from `calibrate`; needed by `int8` and `full-int8`. */
  calibration?: CalibrationTable;
  /** Outputs `boxes`, `scores`, `mask_coefs`, `protos` instead of `output0` and `output1`. @defaultValue true for `full-int8`, else false */
  splitOutputs?: boolean;
  /** How inputs of concatenations get their common scale. @defaultValue "auto" */
  concat?: ConcatRule;
}

/** An exported TFLite model as data and as the bytes of its file. */
export interface ExportedTflite {
  model: TfliteModel;
  bytes: Uint8Array;
}

/**
 * Turns a model of `exportOnnx` into a TFLite file.
 *
 * Contract: one input `images`, `[1, H, W, 3]`, float32 in 0..1 (int8 for `full-int8`). `output0` `[1, 4 + classes (+ 32), A]` with boxes cx, cy, w, h
 * as fractions of the input's width and height; `output1` prototypes `[1, H/4, W/4, 32]`. With `splitOutputs`: `boxes` `[1, A, 4]`, `scores`
 * `[1, A, classes]`, `mask_coefs` `[1, A, 32]`, `protos`. Signature `serving_default`; metadata as a ZIP archive at the end.
 *
 * @throws ExportError `UNSUPPORTED_OP` with every node that has no TFLite form, `NO_CALIBRATION_DATA` and `CALIBRATION_STALE` for the int8 flavours,
 * `QUANT_CONFIG` for options that do not fit together, `SAME_SCALE_VIOLATION`
 * @example exportTflite(model, { flavour: "int8", calibration: await calibrate(model, images) }).bytes
 */
export function exportTflite(
  model: Model,
  { flavour = "int8", calibration, splitOutputs = flavour === "full-int8", concat }: ExportTfliteOptions = {},
): ExportedTflite {
  const isInteger = flavour === "full-int8";
  if (isInteger && !splitOutputs) {
    throw new ExportError({
      code: "QUANT_CONFIG",
      message:
        "full-int8 needs separate outputs: one int8 scale cannot hold boxes and probabilities. Leave splitOutputs out.",
      details: { option: "splitOutputs" },
    });
  }
  const ranges = flavour === "int8" || isInteger ? calibratedRanges(model, calibration) : {};
  if (concat !== undefined && flavour !== "int8" && !isInteger) {
    throw new ExportError({
      code: "QUANT_CONFIG",
      message: `concat is a choice of int8 and full-int8, not of ${flavour}. Leave it out.`,
      details: { option: "concat" },
    });
  }
  const deployed = deploymentGraph(model, { splitOutputs });
  const { model: source, ranges: added } = isInteger ? compactDecode(deployed) : { model: deployed, ranges: {} };
  const lowered = lowerToTflite(source, { channelsLastOutputs: splitOutputs });
  const floatNodes = isInteger ? new Set<string>() : new Set([...headNodes(source.graph).values()].flat());
  const graph = ((): LiteGraph => {
    switch (flavour) {
      case "float32":
        return lowered;
      case "fp16":
        return convertWeightsToFloat16(lowered);
      case "dynamic":
        return quantizeWeightsOnly(lowered, floatNodes);
      case "int8":
      case "full-int8":
        return quantizeInt8(lowered, {
          ranges: { ...ranges, ...added },
          floatNodes,
          integerIo: isInteger,
          ...(concat === undefined ? {} : { concat }),
        });
    }
  })();
  const description = model.metadataProps.find(({ key }) => key === "description")?.value ?? "";
  const metadata = { ...jsonMetadata(model.metadataProps), layout: "NHWC", boxes: "normalized", flavour };
  const result = assembleModel(graph, { description, metadata });
  return { model: result, bytes: writeTflite(result) };
}

function calibratedRanges(model: Model, calibration: CalibrationTable | undefined): CalibrationTable["ranges"] {
  if (calibration === undefined) {
    throw new ExportError({
      code: "NO_CALIBRATION_DATA",
      message: "Int8 TFLite needs the ranges of the activations. Pass calibration: await calibrate(model, images).",
      details: { count: 0 },
    });
  }
  const actual = modelHash(model);
  if (calibration.modelSha256 !== actual) {
    throw new ExportError({
      code: "CALIBRATION_STALE",
      message: `The calibration belongs to model ${calibration.modelSha256.slice(0, 12)}, this is ${actual.slice(0, 12)}. Calibrate again.`,
      details: { expected: calibration.modelSha256, actual },
    });
  }
  return calibration.ranges;
}
