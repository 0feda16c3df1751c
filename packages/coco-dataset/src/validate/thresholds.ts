import { CheckNameError } from "../errors.js";

/** Limits of the checks; every one can be set by its name. */
export const DEFAULT_THRESHOLDS = {
  /** Pixels: COCO files hold two decimals, and a sum of two may leave the image by that much. */
  boundsTolerance: 0.011,
  /** `bbox_vs_segmentation`: a box this far from its segmentation is another box. */
  boxMaskMinIou: 0.9,
  boxMaskMaxPixels: 2,
  /** `area_vs_segmentation`, share of the segmentation's area. */
  areaTolerance: 0.05,
  /** `tiny`, square pixels. */
  tinyArea: 4,
  /** `extreme_aspect`, longer side over shorter. */
  extremeAspect: 20,
  /** `whole_image_box`, share of the image that a box covers. */
  wholeImage: 0.99,
  duplicateIou: 0.95,
  /** `suspicious_iscrowd`: more crowds than this share mean that an exporter set the flag. */
  crowdShare: 0.05,
  /** `masks_are_boxes`, share of the masks that fill their box. */
  boxLikeShare: 0.95,
  /** `bbox_xyxy_suspected`, `yolo_center_suspected`: share of the boxes that only fit the other reading. */
  otherFormatShare: 0.2,
  /** `polygon_too_dense`: mean length of an edge in pixels below which a polygon with many vertices is a pixel chain. */
  denseEdgePixels: 1,
  denseMinVertices: 100,
  /** `low_instances`, non-crowd instances of a class. */
  minSamplesPerClass: 10,
  /** `imbalance_ratio`, most frequent class over rarest. */
  imbalanceRatio: 50,
  /** `dominance`, share of all instances. */
  dominantShare: 0.8,
  /** `size_bin_gap`: a size (small, medium, large) with at least this share of all instances is expected of every class. */
  sizeBinShare: 0.05,
  /** `split_drift`, Jensen-Shannon divergence in bits of a split's classes, sizes or aspects from all data. */
  splitDrift: 0.1,
  /** `blurry`, variance of the Laplacian of 8-bit gray at 256 px; photographs in focus lie at 200 and above. */
  blurVariance: 20,
  /** `dark`, `light`: mean of 8-bit gray. */
  darkMean: 25,
  lightMean: 235,
  /** `low_information`, standard deviation of 8-bit gray. */
  informationDeviation: 5,
} as const satisfies Record<string, number>;

/** Limits of the checks by name. */
export type HealthThresholds = { readonly [K in keyof typeof DEFAULT_THRESHOLDS]: number };

/** @throws CheckNameError on a name that does not exist */
export function resolveThresholds(given: Partial<HealthThresholds> = {}): HealthThresholds {
  const known = Object.keys(DEFAULT_THRESHOLDS);
  const unknown = Object.keys(given).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new CheckNameError({ what: "threshold", unknown, known });
  return { ...DEFAULT_THRESHOLDS, ...given };
}
