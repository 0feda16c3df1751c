import { createHash } from "node:crypto";
import { join } from "node:path";
import type { ClassMapping } from "@seg/coco-dataset";
import { writeFileAtomic } from "@seg/nn";
import { encodeModel, type Model } from "@seg/onnx";
import { classesFile, classMappingYaml, metadataYaml } from "./class-files.js";
import type { CalibrationTable } from "./quantize/calibrate.js";
import { readMetadata } from "./runtime/metadata.js";
import { writeJson, writeText } from "./write-text.js";

/** What `writeArtefacts` puts into a folder. */
export interface WriteArtefactsOptions {
  /** File name -> model, for example `{ "model.onnx": fp32, "model_int8.onnx": int8 }`. */
  models: Readonly<Record<string, Model | Uint8Array>>;
  /** The float model whose metadata goes to `metadata.yaml` and `preprocess.json`. */
  model: Model;
  classes: ClassMapping;
  /** Written as `calibration.json`. */
  calibration?: CalibrationTable;
}

/** Content of `preprocess.json`: everything that a foreign runtime needs to feed the model and to read its outputs. */
export function preprocessSpec(model: Model): Record<string, unknown> {
  const { imgsz, task } = readMetadata(model);
  return {
    version: 1,
    family: "yolo",
    inputName: "images",
    layout: "NCHW",
    dtype: "float32",
    color: "RGB",
    size: { height: imgsz[0], width: imgsz[1] },
    kernel: "cv2-linear",
    fit: "letterbox",
    pad: { mode: "center", value: 114, when: "before-scale" },
    scale: 1 / 255,
    mean: [0, 0, 0],
    std: [1, 1, 1],
    orientation: "match-annotations",
    inverse: "(x - padL) / scaleX, (y - padT) / scaleY",
    outputs: {
      output0:
        "[1, 4 + classes + coefficients, anchors]: cx, cy, w, h in letterboxed pixels, probabilities, coefficients",
      ...(task === "segment" ? { output1: "[1, 32, H/4, W/4]: prototypes" } : {}),
    },
    thresholds: { confidence: 0.25, iou: 0.7, maxDetections: 300 },
    ...(task === "segment" ? { mask: "coefficients . prototypes > 0, bilinear, cropped by the box" } : {}),
  };
}

/**
 * Writes models and their companions: `classes.json`, `class_mapping.yaml`, `labels.txt`, `metadata.yaml`, `preprocess.json`, and
 * `calibration.json` if given. Each file appears whole or not at all.
 *
 * @returns paths by file name
 */
export function writeArtefacts(
  directory: string,
  { models, model, classes, calibration }: WriteArtefactsOptions,
): Record<string, string> {
  const paths: Record<string, string> = {};
  const at = (name: string): string => {
    const path = join(directory, name);
    paths[name] = path;
    return path;
  };
  const hashes: Record<string, string> = {};
  for (const [name, content] of Object.entries(models)) {
    const bytes = content instanceof Uint8Array ? content : encodeModel(content);
    hashes[name] = createHash("sha256").update(bytes).digest("hex");
    writeFileAtomic(at(name), [bytes]);
  }
  writeJson(at("classes.json"), classesFile(classes, hashes));
  writeText(at("class_mapping.yaml"), classMappingYaml(classes));
  writeText(at("labels.txt"), `${classes.classes.map(({ name }) => name.replaceAll(/[\r\n]+/g, " ")).join("\n")}\n`);
  writeText(at("metadata.yaml"), metadataYaml(model.metadataProps));
  writeJson(at("preprocess.json"), preprocessSpec(model));
  if (calibration !== undefined) writeJson(at("calibration.json"), calibration);
  return paths;
}
