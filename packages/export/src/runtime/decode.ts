import type { Rle } from "@seg/coco-dataset";
import { ExportError } from "../errors.js";
import type { LetterboxGeometry } from "./geometry.js";
import { assembleMask, type MaskMode } from "./masks.js";
import { nms } from "./nms.js";

/** A tensor as it leaves a session: row-major float32 data and its sizes. `ort.Tensor` fits. */
export interface RawTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** Thresholds of decoding. */
export interface DecodeOptions {
  /** A candidate needs a class probability above this. @defaultValue 0.25 */
  confidence?: number;
  /** NMS threshold. @defaultValue 0.7 */
  iou?: number;
  /** @defaultValue 300 */
  maxDetections?: number;
  /** Each class above `confidence` makes its own candidate, instead of the best class only. @defaultValue false */
  multiLabel?: boolean;
  /** @defaultValue "native" */
  maskMode?: MaskMode;
  /** False skips the masks although prototypes are there. @defaultValue true */
  masks?: boolean;
}

/** Raw outputs of a network, and how they are read. */
export interface DecodeInput extends DecodeOptions {
  /** `[B, 4 + nc (+ nm), A]`: cx, cy, w, h in network pixels, class probabilities, mask coefficients. */
  output0: RawTensor;
  /** Prototypes `[B, nm, H/4, W/4]`; absent for a detector. */
  output1?: RawTensor;
  /** Length of the class mapping. */
  numClasses: number;
  geometry: LetterboxGeometry;
  /** Which image of the batch. @defaultValue 0 */
  batchIndex?: number;
}

/** Detections of one image, descending score, ties by lower anchor, then lower class. */
export interface Detections {
  /** [n * 4] xyxy in pixels of the original image, clipped to it. */
  boxes: Float32Array;
  /** [n] class probabilities. */
  scores: Float32Array;
  /** [n] class indices, 0 <= id < numClasses. */
  classes: Int32Array;
  /** n masks in the size of the original image; absent without prototypes. */
  masks?: Rle[];
}

/** Settings of validation: low confidence for the whole precision-recall curve, several labels per box if there are several classes. */
export function validationSettings(
  numClasses: number,
): Required<Pick<DecodeOptions, "confidence" | "iou" | "maxDetections" | "multiLabel">> {
  return { confidence: 0.001, iou: 0.7, maxDetections: 300, multiLabel: numClasses > 1 };
}

/** Anchors and classes above the threshold, ordered by anchor, then class. */
function candidatesAbove({
  data,
  offset,
  anchors,
  numClasses,
  confidence,
  multiLabel,
}: {
  data: Float32Array;
  offset: number;
  anchors: number;
  numClasses: number;
  confidence: number;
  multiLabel: boolean;
}): { anchorOf: Int32Array; classOf: Int32Array; scores: Float32Array } {
  const best = new Float32Array(anchors).fill(Number.NEGATIVE_INFINITY);
  const bestClass = new Int32Array(anchors);
  let count = 0;
  for (let c = 0; c < numClasses; c++) {
    const base = offset + c * anchors;
    for (let a = 0; a < anchors; a++) {
      const score = data[base + a]!;
      if (score > best[a]!) {
        best[a] = score;
        bestClass[a] = c;
      }
      if (score > confidence) count++;
    }
  }
  if (!multiLabel) {
    count = 0;
    for (let a = 0; a < anchors; a++) if (best[a]! > confidence) count++;
  }
  const anchorOf = new Int32Array(count);
  const classOf = new Int32Array(count);
  const scores = new Float32Array(count);
  let n = 0;
  for (let a = 0; a < anchors; a++) {
    if (!(best[a]! > confidence)) continue;
    const first = multiLabel ? 0 : bestClass[a]!;
    const last = multiLabel ? numClasses - 1 : first;
    for (let c = first; c <= last; c++) {
      const score = data[offset + c * anchors + a]!;
      if (!(score > confidence)) continue;
      anchorOf[n] = a;
      classOf[n] = c;
      scores[n++] = score;
    }
  }
  return { anchorOf, classOf, scores };
}

/**
 * Network outputs to detections of the original image: threshold, per-class NMS of the best 30,000 candidates, inverse letterbox,
 * and, for the kept ones only, the masks.
 *
 * @throws ExportError `CLASS_MAP_MISMATCH` when the channels of `output0` are not 4 + numClasses (+ prototype channels)
 */
export function decodeOutputs({
  output0,
  output1,
  numClasses,
  geometry,
  confidence = 0.25,
  iou = 0.7,
  maxDetections = 300,
  multiLabel = false,
  maskMode = "native",
  masks: withMasks = true,
  batchIndex = 0,
}: DecodeInput): Detections {
  const [, channels = 0, anchors = 0] = output0.dims;
  const coefficientCount = output1 === undefined ? 0 : (output1.dims[1] ?? 0);
  if (channels !== 4 + numClasses + coefficientCount) {
    throw new ExportError({
      code: "CLASS_MAP_MISMATCH",
      message:
        `output0 is [${output0.dims.join(",")}]: ${channels} channels hold ${channels - 4 - coefficientCount} classes ` +
        `(4 box values, ${coefficientCount} mask coefficients), the class mapping has ${numClasses}. Use the mapping exported with the model.`,
      details: { expected: numClasses, actual: channels - 4 - coefficientCount },
    });
  }
  const data = output0.data;
  const origin = batchIndex * channels * anchors;
  const candidates = candidatesAbove({
    data,
    offset: origin + 4 * anchors,
    anchors,
    numClasses,
    confidence,
    multiLabel,
  });
  const count = candidates.scores.length;
  const netBoxes = new Float32Array(count * 4);
  for (let i = 0; i < count; i++) {
    const at = origin + candidates.anchorOf[i]!;
    const cx = data[at]!;
    const cy = data[at + anchors]!;
    const halfW = data[at + 2 * anchors]! / 2;
    const halfH = data[at + 3 * anchors]! / 2;
    netBoxes[i * 4] = cx - halfW;
    netBoxes[i * 4 + 1] = cy - halfH;
    netBoxes[i * 4 + 2] = cx + halfW;
    netBoxes[i * 4 + 3] = cy + halfH;
  }
  const kept = nms({ boxes: netBoxes, scores: candidates.scores, classes: candidates.classOf, iou, maxDetections });

  const boxes = new Float32Array(kept.length * 4);
  const scores = new Float32Array(kept.length);
  const classes = new Int32Array(kept.length);
  const masks: Rle[] = [];
  const { origW, origH, scaleX, scaleY, padL, padT } = geometry;
  const clip = (value: number, high: number): number => Math.min(Math.max(value, 0), high);
  for (let i = 0; i < kept.length; i++) {
    const index = kept[i]!;
    scores[i] = candidates.scores[index]!;
    classes[i] = candidates.classOf[index]!;
    boxes[i * 4] = clip((netBoxes[index * 4]! - padL) / scaleX, origW);
    boxes[i * 4 + 1] = clip((netBoxes[index * 4 + 1]! - padT) / scaleY, origH);
    boxes[i * 4 + 2] = clip((netBoxes[index * 4 + 2]! - padL) / scaleX, origW);
    boxes[i * 4 + 3] = clip((netBoxes[index * 4 + 3]! - padT) / scaleY, origH);
    if (output1 === undefined || !withMasks) continue;
    const coefficients = new Float32Array(coefficientCount);
    const first = origin + (4 + numClasses) * anchors + candidates.anchorOf[index]!;
    for (let k = 0; k < coefficientCount; k++) coefficients[k] = data[first + k * anchors]!;
    const [, , protoH = 0, protoW = 0] = output1.dims;
    const protoSize = coefficientCount * protoH * protoW;
    masks.push(
      assembleMask({
        coefficients,
        prototypes: output1.data.subarray(batchIndex * protoSize, (batchIndex + 1) * protoSize),
        protoW,
        protoH,
        netBox: [netBoxes[index * 4]!, netBoxes[index * 4 + 1]!, netBoxes[index * 4 + 2]!, netBoxes[index * 4 + 3]!],
        box: [boxes[i * 4]!, boxes[i * 4 + 1]!, boxes[i * 4 + 2]!, boxes[i * 4 + 3]!],
        geometry,
        mode: maskMode,
      }),
    );
  }
  return { boxes, scores, classes, ...(output1 !== undefined && withMasks ? { masks } : {}) };
}
