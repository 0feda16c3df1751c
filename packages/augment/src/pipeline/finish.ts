import { mask as masks } from "@seg/coco-dataset";
import { bitmapToPlane, bitmapToRle } from "../core/bitmap.js";
import { writeBox } from "./intake.js";
import { boxArea, type InstanceRecord, visibleArea } from "./record.js";
import type { DropReason, InstanceRules, Keypoint, PipelineMask, PipelineSample } from "./types.js";

/** The annotations of a result. */
export interface Annotations {
  readonly masks?: PipelineMask[];
  readonly bboxes?: [number, number, number, number][];
  readonly keypoints?: Keypoint[][] | Keypoint[];
  readonly labels?: (number | string)[];
  readonly ids?: (number | string | null)[];
  readonly iscrowd?: number[];
  readonly area: number[];
  readonly kept: number[];
  /** Visible share of each kept instance; 1 for one without a shape. */
  readonly visibility: number[];
  readonly origins?: (string | null)[];
  readonly weights?: number[];
  readonly dropped: { index: number; reason: DropReason }[];
}

/** Why an instance must go; null when it stays. */
export function dropReason(record: InstanceRecord, rules: InstanceRules): DropReason | null {
  const { box, shape, fullArea, isCrowd, uncovered } = record;
  const visible = visibleArea(record);
  // Points or a label alone are never dropped: nothing says how much of them is seen.
  if (visible === null && fullArea === 0) return null;
  if (visible === null || visible === 0 || box === null)
    return uncovered !== null && uncovered > 0 ? "occluded" : "outside";
  const isExempt = isCrowd || (rules.visibilityByMaskOnly && shape === null);
  if (!isExempt && visible < rules.minVisibility * fullArea * (1 - 1e-9)) {
    return uncovered !== null && uncovered >= rules.minVisibility * fullArea ? "occluded" : "visibility";
  }
  const width = box[2] - box[0];
  const height = box[3] - box[1];
  if (width < rules.minWidth || height < rules.minHeight || boxArea(box) < rules.minArea) return "too-small";
  if (Math.max(width, height) > rules.maxAspect * Math.min(width, height)) return "aspect";
  return null;
}

function copyOf(mask: PipelineMask): PipelineMask {
  if (Array.isArray(mask)) return mask.map((part: ArrayLike<number>) => Array.from(part));
  if ("counts" in mask) {
    const counts = typeof mask.counts === "string" ? mask.counts : mask.counts.slice();
    return { size: [mask.size[0], mask.size[1]], counts } as PipelineMask;
  }
  const { data, width, height } = mask as Extract<PipelineMask, { data: Uint8Array }>;
  return { data: data.slice(), width, height };
}

function writeMask(record: InstanceRecord, width: number, height: number): PipelineMask {
  if (record.given !== null) return copyOf(record.given);
  const { shape, form } = record;
  // An instance whose given mask was empty has none; as an empty mask of its form.
  if (shape === null) {
    if (form === "polygons") return [];
    const empty = { x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(0) };
    return form === "bitmap"
      ? { data: bitmapToPlane(empty, width, height), width, height }
      : bitmapToRle(empty, width, height);
  }
  if (shape.kind === "polygons") return shape.parts.map((part) => Array.from(part));
  if (form === "bitmap") return { data: bitmapToPlane(shape.bitmap, width, height), width, height };
  const rle = bitmapToRle(shape.bitmap, width, height);
  if (form === "compressed") return { size: [height, width], counts: masks.toString(rle) };
  return form === "counts" ? { size: [height, width], counts: Array.from(rle.counts) } : rle;
}

function writePoints(points: Float64Array, offset: number): Keypoint[] {
  return Array.from({ length: points.length / 3 }, (_, k): Keypoint => {
    const v = points[3 * k + 2]! as 0 | 1 | 2;
    // What left the picture is 0, 0, 0, whatever the convention.
    const isGone = v === 0 && points[3 * k] === 0 && points[3 * k + 1] === 0;
    return isGone ? [0, 0, 0] : [points[3 * k]! - offset, points[3 * k + 1]! - offset, v];
  });
}

/** Applies the rules and writes the instances in the forms in which they came; absent targets stay absent. */
export function finishAnnotations({
  sample,
  records,
  points,
  dropped: before,
  rules,
  canvas: { width, height },
  isMixed,
  hasWeights,
}: {
  sample: PipelineSample;
  records: readonly InstanceRecord[];
  points: Float64Array | null;
  dropped: readonly { index: number; reason: DropReason }[];
  rules: InstanceRules;
  canvas: { readonly width: number; readonly height: number };
  isMixed: boolean;
  hasWeights: boolean;
}): Annotations {
  const dropped = [...before];
  const kept: InstanceRecord[] = [];
  for (const record of records) {
    const reason = dropReason(record, rules);
    if (reason === null) kept.push(record);
    else dropped.push({ index: record.index, reason });
  }
  const offset = rules.keypointConvention === "pixel-index" ? 0.5 : 0;
  const hasInstancePoints = sample.keypoints !== undefined && points === null;
  // A donor without the sample's kind of target gets the nearest it has.
  const bboxes = kept.map((record): [number, number, number, number] =>
    record.givenBox !== null && record.givenBox.length === 4
      ? (Array.from(record.givenBox) as [number, number, number, number])
      : writeBox(record.box ?? [0, 0, 0, 0], rules.bboxFormat, width, height),
  );
  return {
    ...(sample.masks === undefined ? {} : { masks: kept.map((record) => writeMask(record, width, height)) }),
    ...(sample.bboxes === undefined ? {} : { bboxes }),
    ...(sample.keypoints === undefined
      ? {}
      : {
          keypoints: hasInstancePoints
            ? kept.map(({ keypoints }) => (keypoints === null ? [] : writePoints(keypoints, offset)))
            : points === null
              ? []
              : writePoints(points, offset),
        }),
    ...(sample.labels === undefined ? {} : { labels: kept.map(({ label }) => label ?? -1) }),
    ...(sample.ids === undefined ? {} : { ids: kept.map(({ id }) => id) }),
    ...(sample.iscrowd === undefined ? {} : { iscrowd: kept.map(({ isCrowd }) => (isCrowd ? 1 : 0)) }),
    area: kept.map((record) => visibleArea(record) ?? 0),
    kept: kept.map(({ index }) => index),
    visibility: kept.map((record) =>
      record.fullArea > 0 ? Math.min(1, (visibleArea(record) ?? 0) / record.fullArea) : 1,
    ),
    ...(isMixed ? { origins: kept.map(({ origin }) => origin) } : {}),
    ...(hasWeights ? { weights: kept.map(({ weight }) => weight) } : {}),
    dropped,
  };
}

/** A border that repeats the picture would repeat objects without labels. */
export function checkBorder(border: string, sample: PipelineSample): string | null {
  if (border !== "reflect" && border !== "wrap") return null;
  const targets = ["masks", "bboxes", "keypoints"] as const;
  return targets.find((name) => (sample[name]?.length ?? 0) > 0) ?? null;
}
