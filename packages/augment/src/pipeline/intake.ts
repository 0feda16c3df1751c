import { type Box, mask as masks, type Rle, RleError } from "@seg/coco-dataset";
import { bitmapFromPlane, bitmapFromRle } from "../core/bitmap.js";
import {
  InvalidBoxError,
  InvalidKeypointError,
  InvalidMaskError,
  SizeMismatchError,
  TargetMismatchError,
  UnsupportedImageError,
} from "../errors.js";
import { clipPolygon } from "../polygon.js";
import { boxArea, type InstanceRecord, type MaskForm, type Shape, shapeArea, shapeBounds } from "./record.js";
import type {
  BoxFormat,
  DropReason,
  InstanceRules,
  Keypoint,
  PipelineImage,
  PipelineMask,
  PipelineSample,
  PipelineWarning,
} from "./types.js";

/** A sample, checked and in the pipeline's own form. */
export interface Intake {
  readonly image: PipelineImage;
  /** Index of the sample in its dataset, where it says so. */
  readonly source: number | null;
  readonly records: InstanceRecord[];
  /** Flat points that belong to no instance: x, y, v. */
  readonly points: Float64Array | null;
  readonly dropped: { index: number; reason: DropReason }[];
  readonly warnings: PipelineWarning[];
}

/** Fixed-point coordinates of the warp end here. */
const MAX_SIDE = 32000;
/** Boxes may reach this many pixels over the border without a word: rounding of annotation tools. */
const SILENT_OVERFLOW = 1;

export function checkImage(image: PipelineImage, { hasPixels = true }: { hasPixels?: boolean } = {}): void {
  const { width, height, channels, data } = image;
  const isSane = (n: number) => Number.isInteger(n) && n > 0;
  // Buffers are Uint8Array too; Uint8ClampedArray, Float32Array and plain arrays are not.
  if (!(data instanceof Uint8Array)) {
    throw new UnsupportedImageError(
      `Pixels must be a Uint8Array of interleaved channels, got ${(data as object | null)?.constructor?.name ?? String(data)}. Convert to 8 bits first.`,
    );
  }
  if (!isSane(width) || !isSane(height) || !isSane(channels) || width > MAX_SIDE || height > MAX_SIDE) {
    throw new UnsupportedImageError(
      `An image of ${width} x ${height} px with ${channels} channels is not possible; sides are 1..${MAX_SIDE} px.`,
    );
  }
  if (hasPixels && data.length !== width * height * channels) {
    throw new UnsupportedImageError(
      `An image of ${width} x ${height} px with ${channels} channels has ${width * height * channels} bytes, got ${data.length}.`,
    );
  }
}

/** True for one flat list of points instead of a list per instance. */
function isFlatPoints(keypoints: NonNullable<PipelineSample["keypoints"]>): keypoints is readonly Keypoint[] {
  return keypoints.length > 0 && typeof (keypoints[0] as readonly unknown[])[0] === "number";
}

function instanceCount(sample: PipelineSample, keypoints: readonly unknown[] | null): number {
  const lengths = Object.entries({
    masks: sample.masks,
    bboxes: sample.bboxes,
    keypoints: keypoints ?? undefined,
    labels: sample.labels,
    ids: sample.ids,
    iscrowd: sample.iscrowd,
  }).flatMap(([name, list]) => (list === undefined ? [] : [{ name, length: list.length }]));
  const [first] = lengths;
  if (first === undefined) return 0;
  const odd = lengths.find(({ length }) => length !== first.length);
  if (odd !== undefined) {
    throw new TargetMismatchError(
      `${first.name} has ${first.length} entries and ${odd.name} has ${odd.length}; entry i of each describes instance i.`,
    );
  }
  return first.length;
}

/** xyxy pixels of a box in its own format. */
export function readBox(box: ArrayLike<number>, format: BoxFormat, width: number, height: number): Box {
  const [a, b, c, d] = [box[0]!, box[1]!, box[2]!, box[3]!];
  if (format === "xyxy") return [a, b, c, d];
  if (format === "coco") return [a, b, a + c, b + d];
  if (format === "normalized") return [a * width, b * height, c * width, d * height];
  return [(a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height];
}

/** A box in its own format from xyxy pixels. */
export function writeBox(
  [x1, y1, x2, y2]: Box,
  format: BoxFormat,
  width: number,
  height: number,
): [number, number, number, number] {
  if (format === "xyxy") return [x1, y1, x2, y2];
  if (format === "coco") return [x1, y1, x2 - x1, y2 - y1];
  if (format === "normalized") return [x1 / width, y1 / height, x2 / width, y2 / height];
  return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
}

function readMask(
  mask: PipelineMask,
  index: number,
  { width, height }: PipelineImage,
): { form: MaskForm; shape: Shape } {
  const invalid = (message: string) => new InvalidMaskError({ index, message: `Mask ${index}: ${message}` });
  if (Array.isArray(mask)) {
    const parts = (mask as readonly ArrayLike<number>[]).map((part, k) => {
      if (part.length % 2 !== 0 || part.length < 6) {
        throw invalid(`polygon ${k} has ${part.length} numbers; an even number from 6 on is needed.`);
      }
      const polygon = Float64Array.from(part);
      if (!polygon.every(Number.isFinite)) throw invalid(`polygon ${k} has a coordinate that is not finite.`);
      return polygon;
    });
    // What annotation tools drew over the border is not there.
    const clipped = parts.flatMap((part) => clipPolygon(part, [0, 0, width, height]) ?? []);
    return { form: "polygons", shape: { kind: "polygons", parts: clipped } };
  }
  if ("counts" in mask) {
    const [rows, columns] = mask.size;
    if (rows !== height || columns !== width) {
      throw invalid(`its size is [${rows}, ${columns}], the image is [height, width] = [${height}, ${width}].`);
    }
    try {
      const form: MaskForm =
        typeof mask.counts === "string" ? "compressed" : mask.counts instanceof Uint32Array ? "rle" : "counts";
      const rle: Rle =
        typeof mask.counts === "string"
          ? masks.fromString(mask.counts, height, width)
          : masks.fromUncompressed(mask.counts as ArrayLike<number>, height, width);
      const total = rle.counts.reduce((sum, run) => sum + run, 0);
      if (total !== width * height) throw invalid(`its runs sum to ${total}, the image has ${width * height} pixels.`);
      return { form, shape: { kind: "bitmap", bitmap: bitmapFromRle(rle) } };
    } catch (error) {
      if (error instanceof RleError) throw invalid(error.message);
      throw error;
    }
  }
  const bitmap = mask as BitmapLike;
  if (bitmap.width !== width || bitmap.height !== height || bitmap.data?.length !== width * height) {
    throw invalid(`a bitmap must be ${width} x ${height} like its image, got ${bitmap.width} x ${bitmap.height}.`);
  }
  const plane = Uint8Array.from(bitmap.data, (value) => (value === 0 ? 0 : 1));
  return { form: "bitmap", shape: { kind: "bitmap", bitmap: bitmapFromPlane(plane, width, 1, [0, 0, width, height]) } };
}
interface BitmapLike {
  readonly data: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
}

function readPoints(points: readonly Keypoint[], index: number, offset: number): Float64Array {
  const out = new Float64Array(points.length * 3);
  points.forEach((point, k) => {
    const [x, y, v] = point;
    if (point.length !== 3 || !Number.isFinite(x) || !Number.isFinite(y) || !(v === 0 || v === 1 || v === 2)) {
      throw new InvalidKeypointError({
        index,
        message: `Keypoint ${k}${index < 0 ? "" : ` of instance ${index}`} is [${Array.from(point).join(", ")}]; expected [x, y, v], finite, v of 0, 1 or 2.`,
      });
    }
    out[3 * k] = x + offset;
    out[3 * k + 1] = y + offset;
    out[3 * k + 2] = v;
  });
  return out;
}

/**
 * Checks a sample and brings it into the pipeline's form; clips what lies outside of the picture.
 *
 * @param options.donor - path of the mixing step and tile; null for the sample itself
 * @param options.hasPixels - false leaves `image.data` alone: only the annotations matter
 * @throws UnsupportedImageError, SizeMismatchError, TargetMismatchError, InvalidBoxError, InvalidMaskError, InvalidKeypointError
 */
export function intake(
  sample: PipelineSample,
  rules: InstanceRules,
  { donor = null, hasPixels = true }: { donor?: string | null; hasPixels?: boolean } = {},
): Intake {
  const { image, annotationSize } = sample;
  checkImage(image, { hasPixels });
  const { width, height } = image;
  if (annotationSize !== undefined && (annotationSize.width !== width || annotationSize.height !== height)) {
    const isTurned = annotationSize.width === height && annotationSize.height === width;
    throw new SizeMismatchError(
      `The annotations are for ${annotationSize.width} x ${annotationSize.height} px, the image has ${width} x ${height}.${
        isTurned ? " Most likely the EXIF rotation was applied on one side only." : ""
      } Decode the image in the orientation that was annotated.`,
    );
  }
  const flat = sample.keypoints !== undefined && isFlatPoints(sample.keypoints);
  const isEmptyList = sample.keypoints?.length === 0;
  const perInstance = flat || isEmptyList || sample.keypoints === undefined ? null : sample.keypoints;
  const count = instanceCount(sample, perInstance);
  const offset = rules.keypointConvention === "pixel-index" ? 0.5 : 0;
  const records: InstanceRecord[] = [];
  const dropped: Intake["dropped"] = [];
  const warnings: PipelineWarning[] = [];
  for (let i = 0; i < count; i++) {
    const isCrowd = Boolean(sample.iscrowd?.[i] ?? false);
    const given = sample.masks?.[i] ?? null;
    const read = given === null ? null : readMask(given, i, image);
    let box: Box | null = null;
    let isClipped = false;
    const raw = sample.bboxes?.[i];
    if (raw !== undefined) {
      if (raw.length !== 4 || !Array.from(raw).every(Number.isFinite)) {
        throw new InvalidBoxError({
          index: i,
          message: `Box ${i} is [${Array.from(raw).join(", ")}]; expected four finite numbers (${rules.bboxFormat}).`,
        });
      }
      const whole = readBox(raw, rules.bboxFormat, width, height);
      const clipped = clipBox(whole, width, height);
      const overflow = Math.max(-whole[0], -whole[1], whole[2] - width, whole[3] - height);
      isClipped = overflow > 0;
      const isDegenerate = !(clipped[2] > clipped[0] && clipped[3] > clipped[1]);
      if (isDegenerate || overflow > SILENT_OVERFLOW) {
        const what = isDegenerate
          ? "has no area inside the image"
          : `reaches ${overflow.toFixed(1)} px over the border`;
        if (rules.onInvalid === "throw") {
          throw new InvalidBoxError({
            index: i,
            message: `Box ${i}, [${Array.from(raw).join(", ")}] (${rules.bboxFormat}), ${what} (${width} x ${height}).`,
          });
        }
        if (isDegenerate || rules.onInvalid === "drop") {
          dropped.push({ index: donor === null ? i : -1, reason: "degenerate-input" });
          continue;
        }
        warnings.push({ code: "box-clipped", index: i, message: `Box ${i} ${what}: clipped.` });
      }
      box = clipped;
    }
    let shape = read?.shape ?? null;
    if (shape !== null && shapeArea(shape) === 0) {
      // A mask without pixels says nothing; the box, if there is one, still does.
      if (box === null) {
        dropped.push({ index: donor === null ? i : -1, reason: "degenerate-input" });
        continue;
      }
      warnings.push({ code: "empty-mask", index: i, message: `Mask ${i} is empty; its box is used.` });
      shape = null;
    }
    if (box === null && shape !== null) box = shapeBounds(shape);
    const points = perInstance?.[i] as readonly Keypoint[] | undefined;
    records.push({
      index: donor === null ? i : -1,
      origin: donor === null ? null : `${donor}:${i}`,
      label: sample.labels?.[i] ?? null,
      id: donor === null ? (sample.ids?.[i] ?? null) : null,
      isCrowd,
      form: read?.form ?? "polygons",
      given,
      givenBox: raw === undefined || isClipped ? null : Array.from(raw),
      shape,
      box,
      keypoints: points === undefined ? null : readPoints(points, i, offset),
      fullArea: shape !== null ? shapeArea(shape) : box !== null ? boxArea(box) : 0,
      uncovered: null,
      weight: 1,
    });
  }
  const points = flat
    ? readPoints(sample.keypoints as readonly Keypoint[], -1, offset)
    : isEmptyList
      ? new Float64Array(0)
      : null;
  const flip = rules.flipIdx;
  if (flip !== undefined) {
    const wrong = [...records.map((r) => r.keypoints), points].find(
      (k) => k && k.length > 0 && k.length !== 3 * flip.length,
    );
    if (wrong) {
      throw new TargetMismatchError(
        `flipIdx has ${flip.length} entries, an instance has ${wrong.length / 3} keypoints; one entry per keypoint is needed.`,
      );
    }
  }
  return { image, source: sample.source ?? null, records, points, dropped, warnings };
}

export function clipBox([x1, y1, x2, y2]: Box, width: number, height: number): Box {
  const x = (value: number) => Math.min(width, Math.max(0, value));
  const y = (value: number) => Math.min(height, Math.max(0, value));
  return [x(x1), y(y1), x(x2), y(y2)];
}
