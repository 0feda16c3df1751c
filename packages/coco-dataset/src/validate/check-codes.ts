import { CheckNameError } from "../errors.js";

/** Every code that a finding of the health check can have. */
export const CHECK_CODES = [
  "json_shape",
  "dup_image_id",
  "dup_ann_id",
  "dup_category_id",
  "dup_category_name",
  "dup_file_name",
  "orphan_image",
  "orphan_category",
  "zero_dimensions",
  "missing_geometry",
  "bad_bbox_len",
  "non_finite",
  "bad_polygon",
  "bad_rle",
  "rle_size_mismatch",
  "id_type_string",
  "category_id_zero",
  "ann_id_zero",
  "dummy_category",
  "negative_wh",
  "zero_area",
  "bbox_oob",
  "polygon_oob",
  "self_intersection",
  "bbox_vs_segmentation",
  "area_vs_segmentation",
  "bbox_xyxy_suspected",
  "bbox_normalised_suspected",
  "yolo_center_suspected",
  "tiny",
  "extreme_aspect",
  "whole_image_box",
  "duplicate_annotation",
  "cross_class_duplicate",
  "mask_multi_component",
  "mask_has_holes",
  "polygon_too_dense",
  "masks_are_boxes",
  "suspicious_iscrowd",
  "missing_file",
  "unreferenced_file",
  "corrupt",
  "dim_mismatch",
  "exif_orientation",
  "unusual_mode",
  "blurry",
  "dark",
  "light",
  "low_information",
  "exact_duplicate",
  "near_duplicate",
  "split_leakage",
  "zero_instances",
  "low_instances",
  "imbalance_ratio",
  "dominance",
  "images_without_annotations",
  "no_negatives",
  "size_bin_gap",
  "class_missing_in_train",
  "only_in_val_test",
  "split_drift",
] as const;

/** Code of a health check. */
export type CheckCode = (typeof CHECK_CODES)[number];

/**
 * Which findings are wanted.
 * @throws CheckNameError on a name that does not exist
 */
export function wantedChecks(checks: readonly string[] | undefined): (code: string) => boolean {
  if (checks === undefined) return () => true;
  const known: readonly string[] = CHECK_CODES;
  const unknown = checks.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new CheckNameError({ what: "check", unknown, known });
  const wanted = new Set(checks);
  return (code) => wanted.has(code);
}
