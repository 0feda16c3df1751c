import type { CocoAnnotation, CocoDataset, CocoImage } from "../document.js";
import type { FindingFix } from "../findings.js";
import { segmentationGeometry } from "../geometry.js";
import { isGenerated, isUsablePart, usableBbox, usableSegmentation } from "../presence.js";
import type { BoxXywh } from "../types.js";
import { clipBox } from "./clip-box.js";
import { type HealthThresholds, resolveThresholds } from "./thresholds.js";
import { checkContent, type ValidationReport } from "./validate-dataset.js";

/** One change: a line of `patch.jsonl`. A dropped annotation (or category) has field null and the whole record as `before`. */
export interface PatchEntry {
  readonly id: number;
  readonly field: string | null;
  readonly before: unknown;
  readonly after: unknown;
  readonly code: string;
}

/** Boxes first, so that what becomes empty is dropped in the same run. */
const ORDER: readonly FindingFix["kind"][] = [
  "box-from-normalised",
  "box-from-corners",
  "box-from-center",
  "flip-box",
  "clip-box",
  "drop-part",
  "recompute-box",
  "recompute-area",
  "set-iscrowd-0",
  "drop-annotation",
];

/**
 * Applies the fixes that the report's findings name, to all annotations concerned (reports list at most 50). Safe ones by default:
 * zero-size annotations dropped, boxes clipped, broken polygon parts dropped, crowd flags of single objects cleared.
 *
 * @param options.codes - only these findings. @defaultValue every code of the report
 * @param options.unsafe - also fixes that may lose something meant. @defaultValue false
 * @param options.thresholds - those the report was made with. @defaultValue {@link DEFAULT_THRESHOLDS}
 * @returns the completed dataset with the fixes applied and what was changed
 */
export function fixDataset(
  dataset: CocoDataset,
  report: Pick<ValidationReport, "findings">,
  {
    codes,
    unsafe = false,
    thresholds,
  }: { codes?: readonly string[]; unsafe?: boolean; thresholds?: Partial<HealthThresholds> } = {},
): { dataset: CocoDataset; patchLog: readonly PatchEntry[] } {
  const wanted = new Set(codes ?? report.findings.map((finding) => finding.code));
  const { dataset: completed, raw } = checkContent(dataset, resolveThresholds(thresholds));
  const images = new Map(completed.images.map((image) => [image.id, image]));
  // An id that several annotations share does not say which one a finding means: dup_ann_id must be repaired by hand first.
  const seen = new Set<number>();
  const shared = new Set(completed.annotations.flatMap(({ id }) => (seen.size === seen.add(id).size ? [id] : [])));
  const dropped = new Set<number>();
  const actions = new Map<number, { kind: FindingFix["kind"]; code: string }[]>();
  for (const { code, fix, ids } of raw) {
    if (fix === undefined || !wanted.has(code) || !(fix.safe || unsafe)) continue;
    if (fix.kind === "drop-category") {
      for (const id of ids) dropped.add(id);
      continue;
    }
    for (const id of ids) {
      if (shared.has(id)) continue;
      const list = actions.get(id);
      if (list === undefined) actions.set(id, [{ kind: fix.kind, code }]);
      else list.push({ kind: fix.kind, code });
    }
  }
  const patchLog: PatchEntry[] = [];
  const annotations = completed.annotations.flatMap((original) => {
    let annotation: CocoAnnotation | null = original;
    const todo = (actions.get(original.id) ?? []).toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
    for (const { kind, code } of todo) {
      if (annotation === null) break;
      annotation = applyFix({ annotation, kind, code, image: images.get(annotation.image_id), patchLog });
    }
    return annotation === null ? [] : [annotation];
  });
  const categories = completed.categories.filter((category) => {
    if (!dropped.has(category.id)) return true;
    patchLog.push({ id: category.id, field: null, before: category, after: null, code: "dummy_category" });
    return false;
  });
  return { dataset: { ...completed, categories, annotations }, patchLog };
}

function applyFix(input: {
  annotation: CocoAnnotation;
  kind: FindingFix["kind"];
  code: string;
  image: CocoImage | undefined;
  patchLog: PatchEntry[];
}): CocoAnnotation | null {
  const { annotation, kind, code, image, patchLog } = input;
  const set = (
    field: "bbox" | "area" | "iscrowd" | "segmentation",
    after: unknown,
    on = annotation,
  ): CocoAnnotation => {
    patchLog.push({ id: annotation.id, field, before: on[field], after, code });
    return { ...on, [field]: after };
  };
  const drop = () => {
    patchLog.push({ id: annotation.id, field: null, before: annotation, after: null, code });
    return null;
  };
  switch (kind) {
    case "drop-annotation":
      return drop();
    case "set-iscrowd-0":
      return set("iscrowd", 0);
    case "drop-part":
      return set("segmentation", (annotation.segmentation as readonly unknown[]).filter(isUsablePart));
    case "recompute-box":
    case "recompute-area": {
      const segmentation = usableSegmentation(annotation);
      if (segmentation === null || image === undefined) return annotation;
      const { bbox, area } = segmentationGeometry(segmentation, image.height, image.width, {
        annotationId: annotation.id,
      });
      if (kind === "recompute-area") return set("area", area);
      const inside = clipBox(bbox, image);
      return inside[2] > 0 && inside[3] > 0 ? set("bbox", inside) : drop();
    }
    case "flip-box":
    case "clip-box":
    case "box-from-corners":
    case "box-from-center":
    case "box-from-normalised": {
      const box = usableBbox(annotation);
      if (box === null || (image === undefined && kind !== "flip-box")) return annotation;
      const changed = REPAIRS[kind](box, image!);
      if (changed[2] <= 0 || changed[3] <= 0) return drop();
      const result = set("bbox", changed);
      // An area that came from the box follows it.
      const isBoxArea = usableSegmentation(annotation) === null && isGenerated(annotation, "area");
      return isBoxArea ? set("area", changed[2] * changed[3], result) : result;
    }
    case "drop-category":
      return annotation;
  }
}

const REPAIRS = {
  "flip-box": flipped,
  "clip-box": clipBox,
  "box-from-corners": ([x1, y1, x2, y2]: BoxXywh): BoxXywh => [x1, y1, x2 - x1, y2 - y1],
  "box-from-center": ([x, y, w, h]: BoxXywh): BoxXywh => [x - w / 2, y - h / 2, w, h],
  "box-from-normalised": ([x, y, w, h]: BoxXywh, { width, height }: CocoImage): BoxXywh => [
    x * width,
    y * height,
    w * width,
    h * height,
  ],
} as const;

function flipped([x, y, w, h]: BoxXywh): BoxXywh {
  return [w < 0 ? x + w : x, h < 0 ? y + h : y, Math.abs(w), Math.abs(h)];
}
