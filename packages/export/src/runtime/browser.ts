/**
 * Deployment runtime for browsers: letterbox, network, decode, over an onnxruntime that the page brings. Bundlers take it for `@seg/export/runtime`
 * under their `browser` condition.
 *
 * @example
 * import * as ort from "onnxruntime-web";
 * const detector = await createDetector({ model: bytes, ort });
 * const { boxes, scores, names, masks } = await detector.predict({ width, height, data: rgb });
 * @module
 */
import type { ClassMapping } from "@seg/coco-dataset";
import { letterboxInput } from "@seg/preprocess/letterbox";
import { assertSameClasses, type Detector, detectorFromSession } from "./detector-from-session.js";
import { parseMetadata } from "./metadata.js";
import { onnxMetadata } from "./onnx-metadata.js";
import { createOrtSession, type OrtRuntime } from "./ort-session.js";

export * from "./shared.js";

export interface BrowserDetectorOptions {
  /** Bytes of an ONNX model made by `exportOnnx` or with the same metadata. */
  model: Uint8Array;
  /** `import * as ort from "onnxruntime-web"`. */
  ort: OrtRuntime;
  /** Session options, for example `{ executionProviders: ["webgpu"] }`. */
  sessionOptions?: Readonly<Record<string, unknown>>;
  /** The mapping of the experiment; checked against the model. @defaultValue the model's own names */
  classes?: ClassMapping;
}

/**
 * Opens an exported student. Image size, task and class names come from the model's metadata.
 * @throws ExportError `METADATA_MISSING`; `CLASS_MAP_MISMATCH` when `classes` has another length or other names
 */
export async function createDetector({
  model,
  ort,
  sessionOptions,
  classes,
}: BrowserDetectorOptions): Promise<Detector> {
  const metadata = parseMetadata(onnxMetadata(model));
  assertSameClasses(metadata, classes);
  const options = sessionOptions === undefined ? {} : { options: sessionOptions };
  const session = await createOrtSession({ ort, model, ...options });
  return detectorFromSession({ session, metadata, letterbox: letterboxInput });
}
