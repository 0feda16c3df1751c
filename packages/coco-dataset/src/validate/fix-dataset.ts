import type { CocoAnnotation, CocoDataset, CocoImage } from "../document.js";
import type { FindingFix } from "../findings.js";
import { isGenerated, isUsablePart, usableBbox, usableSegmentation } from "../presence.js";
import type { BoxXywh } from "../types.js";
import { checkContent, type ValidationReport } from "./validate-dataset.js";

/** One change: a line of `patch.jsonl`. A dropped annotation has field null and the whole annotation as `before`. */
export interface PatchEntry {
  readonly id: number;
  readonly field: string | null;
  readonly before: unknown;
  readonly after: unknown;
  readonly code: string;
}

/** Boxes first, so that what becomes empty is dropped in the same run. */
const ORDER: readonly FindingFix["kind"][] = ["flip-box", "clip-box", "drop-part", "set-iscrowd-0", "drop-annotation"];

/**
 * Applies the fixes that the report's findings name, to all annotations concerned (reports list at most 50). Safe ones by default:
 * zero-size annotations dropped, boxes clipped, broken polygon parts dropped, crowd flags of single objects cleared.
 *
 * @param options.codes - only these findings. @defaultValue every code of the report
 * @param options.unsafe - also fixes that may lose something meant. @defaultValue false
 * @returns the completed dataset with the fixes applied and what was changed
 */
export function fixDataset(
  dataset: CocoDataset,
  report: Pick<ValidationReport, "findings">,
  { codes, unsafe = false }: { codes?: readonly string[]; unsafe?: boolean } = {},
): { dataset: CocoDataset; patchLog: readonly PatchEntry[] } {
  const wanted = new Set(codes ?? report.findings.map((finding) => finding.code));
  const { dataset: completed, raw } = checkContent(dataset);
  const images = new Map(completed.images.map((image) => [image.id, image]));
  // An id that several annotations share does not say which one a finding means: dup_ann_id must be repaired by hand first.
  const seen = new Set<number>();
  const shared = new Set(completed.annotations.flatMap(({ id }) => (seen.size === seen.add(id).size ? [id] : [])));
  const actions = new Map<number, { kind: FindingFix["kind"]; code: string }[]>();
  for (const { code, fix, ids } of raw) {
    if (fix === undefined || !wanted.has(code) || !(fix.safe || unsafe)) continue;
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
  return { dataset: { ...completed, annotations }, patchLog };
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
    case "flip-box":
    case "clip-box": {
      const box = usableBbox(annotation);
      if (box === null) return annotation;
      const changed = kind === "flip-box" ? flipped(box) : image === undefined ? box : clipped(box, image);
      if (changed[2] <= 0 || changed[3] <= 0) return drop();
      const result = set("bbox", changed);
      // An area that came from the box follows it.
      const isBoxArea = usableSegmentation(annotation) === null && isGenerated(annotation, "area");
      return isBoxArea ? set("area", changed[2] * changed[3], result) : result;
    }
  }
}

function flipped([x, y, w, h]: BoxXywh): BoxXywh {
  return [w < 0 ? x + w : x, h < 0 ? y + h : y, Math.abs(w), Math.abs(h)];
}

function clipped([x, y, w, h]: BoxXywh, { width, height }: CocoImage): BoxXywh {
  const left = Math.max(0, x);
  const top = Math.max(0, y);
  return [left, top, Math.min(width, x + w) - left, Math.min(height, y + h) - top];
}
