import { readFile } from "node:fs/promises";
import type { ClassMapping } from "@seg/coco-dataset";
import { prepareYolo } from "@seg/preprocess";
import { isTflite } from "../tflite/is-tflite.js";
import { assertSameClasses, type Detector, detectorFromSession, type Letterbox } from "./detector-from-session.js";
import { parseMetadata } from "./metadata.js";
import { onnxMetadata } from "./onnx-metadata.js";
import { createOrtSession, type OrtRuntime } from "./ort-session.js";
import { createSession } from "./session.js";

/** Which model runs, and on what. */
export interface DetectorOptions {
  /** Path or bytes of an ONNX model made by `exportOnnx` or with the same metadata, or of a TFLite model made by `exportTflite`. */
  model: string | Uint8Array;
  /** @defaultValue 1 */
  threads?: number;
  /** The mapping of the experiment; checked against the model. @defaultValue the model's own names */
  classes?: ClassMapping;
  /** Another onnxruntime, for example `onnxruntime-web`; `threads` is then up to `sessionOptions`. @defaultValue onnxruntime-node */
  ort?: OrtRuntime;
  /** Session options for `ort`. */
  sessionOptions?: Readonly<Record<string, unknown>>;
}

/**
 * Opens an exported student. Image size, task and class names come from the model's metadata. TFLite models run on LiteRT, where
 * `@litertjs/core` is installed.
 *
 * @throws ExportError `METADATA_MISSING`; `CLASS_MAP_MISMATCH` when `classes` has another length or other names; for TFLite `MALFORMED_TFLITE`,
 * `RUNTIME_UNAVAILABLE`, `RUNTIME_FAILED`
 */
export async function createDetector({
  model,
  threads = 1,
  classes,
  ort,
  sessionOptions,
}: DetectorOptions): Promise<Detector> {
  const bytes = typeof model === "string" ? await readFile(model) : model;
  const letterbox: Letterbox = (image, size, out) => prepareYolo(image, out === undefined ? { size } : { size, out });
  if (isTflite(bytes)) {
    const { openTflite } = await import("../tflite/open-tflite.js");
    const { metadata, open } = openTflite(bytes);
    assertSameClasses(metadata, classes);
    return detectorFromSession({ session: await open(), metadata, letterbox });
  }
  const metadata = parseMetadata(onnxMetadata(bytes));
  assertSameClasses(metadata, classes);
  const session =
    ort === undefined
      ? await createSession({ model, threads })
      : await createOrtSession({ ort, model, ...(sessionOptions === undefined ? {} : { options: sessionOptions }) });
  return detectorFromSession({ session, metadata, letterbox });
}
