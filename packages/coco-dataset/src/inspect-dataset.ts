import { createClassMapping } from "./class-mapping.js";
import type { CocoAnnotation, CocoDataset } from "./document.js";
import { type Finding, listSome, MAX_FINDING_IDS } from "./findings.js";
import { hasUsableKeypoints, isGenerated, isPolygons, usableBbox, usableSegmentation } from "./presence.js";
import type { ClassMapping } from "./types.js";

/** What the annotations can teach. */
export type DatasetTask = "detection" | "segmentation" | "mixed" | "keypoints" | "caption" | "none";

/** What a dataset holds, as people annotated it: fields listed in `seg_generated` do not count. */
export interface DatasetInspection {
  /** At least one annotation has a usable box of its own. */
  readonly hasBoxes: boolean;
  /** At least one annotation has a usable segmentation. */
  readonly hasMasks: boolean;
  readonly hasKeypoints: boolean;
  readonly hasCaptions: boolean;
  readonly numClasses: number;
  /** All declared categories, index = rank of the ascending category id. */
  readonly classMapping: ClassMapping["classes"];
  readonly numImages: number;
  readonly numAnnotations: number;
  /** Images without any annotation. */
  readonly numNegatives: number;
  readonly numCrowd: number;
  readonly counts: {
    readonly bbox: number;
    readonly polygon: number;
    readonly rle: number;
    readonly keypoints: number;
    readonly none: number;
  };
  /** Boxes and areas that are absent as annotated and could come from a segmentation. */
  readonly derivable: { readonly boxes: number; readonly areas: number };
  /** Boxes and areas that completion filled in. */
  readonly boxesGenerated: number;
  readonly areasGenerated: number;
  /** Share of the non-crowd annotations, 0 when there are none. */
  readonly boxCoverage: number;
  readonly maskCoverage: number;
  readonly task: DatasetTask;
  readonly usedCategoryIds: readonly number[];
  readonly warnings: readonly Finding[];
}

/**
 * Which annotations are present, and the task that follows from them: `segmentation` when every non-crowd annotation has a mask, `mixed`
 * when some do, else `detection`, `keypoints`, `caption`, `none`. A caller of mixed data must choose; rectangles are never made into masks.
 */
export function inspectDataset(dataset: CocoDataset): DatasetInspection {
  const counts = { bbox: 0, polygon: 0, rle: 0, keypoints: 0, none: 0 };
  const derivable = { boxes: 0, areas: 0 };
  const regular = { total: 0, boxes: 0, masks: 0 };
  const withoutMask: number[] = [];
  let hasCaptions = false;
  let numCrowd = 0;
  let boxesGenerated = 0;
  let areasGenerated = 0;
  const annotatedImages = new Set<number>();
  const used = new Set<number>();
  for (const annotation of dataset.annotations) {
    annotatedImages.add(annotation.image_id);
    used.add(annotation.category_id);
    const isCrowd = annotation.iscrowd === 1;
    if (isCrowd) numCrowd++;
    else regular.total++;
    const presence = presenceOf(annotation);
    if (presence.box) counts.bbox++;
    if (presence.mask !== null) counts[presence.mask]++;
    if (presence.keypoints) counts.keypoints++;
    if (presence.caption) hasCaptions = true;
    if (!presence.box && presence.mask === null && !presence.keypoints && !presence.caption) counts.none++;
    if (presence.mask !== null && !presence.box) derivable.boxes++;
    if (presence.mask !== null && !presence.area) derivable.areas++;
    if (isGenerated(annotation, "bbox")) boxesGenerated++;
    if (isGenerated(annotation, "area")) areasGenerated++;
    if (!isCrowd) {
      if (presence.box) regular.boxes++;
      if (presence.mask !== null) regular.masks++;
      else withoutMask.push(annotation.id);
    }
  }
  const boxCoverage = regular.total === 0 ? 0 : regular.boxes / regular.total;
  const maskCoverage = regular.total === 0 ? 0 : regular.masks / regular.total;
  const hasKeypoints = counts.keypoints > 0;
  const classMapping = createClassMapping(dataset).classes;
  const warnings: Finding[] = [];
  if (maskCoverage > 0 && maskCoverage < 1) {
    warnings.push({
      code: "mixed_geometry",
      severity: "warn",
      layer: "structural",
      message: `${regular.masks} of ${regular.total} non-crowd annotations have a mask; without one: ${listSome(withoutMask)}. Choose detection, or segmentation on the annotated subset.`,
      count: withoutMask.length,
      ids: withoutMask.slice(0, MAX_FINDING_IDS),
    });
  }
  return {
    hasBoxes: counts.bbox > 0,
    hasMasks: counts.polygon + counts.rle > 0,
    hasKeypoints,
    hasCaptions,
    numClasses: classMapping.length,
    classMapping,
    numImages: dataset.images.length,
    numAnnotations: dataset.annotations.length,
    numNegatives: dataset.images.filter((image) => !annotatedImages.has(image.id)).length,
    numCrowd,
    counts,
    derivable,
    boxesGenerated,
    areasGenerated,
    boxCoverage,
    maskCoverage,
    task: taskOf({ boxCoverage, maskCoverage, hasKeypoints, hasCaptions }),
    usedCategoryIds: [...used].filter(Number.isInteger).sort((a, b) => a - b),
    warnings,
  };
}

function presenceOf(annotation: CocoAnnotation) {
  const segmentation = usableSegmentation(annotation);
  return {
    box: usableBbox(annotation) !== null && !isGenerated(annotation, "bbox"),
    area: Number.isFinite(annotation.area) && !isGenerated(annotation, "area"),
    mask: segmentation === null ? null : isPolygons(segmentation) ? ("polygon" as const) : ("rle" as const),
    keypoints: hasUsableKeypoints(annotation),
    caption: typeof annotation.caption === "string" && annotation.caption.length > 0,
  };
}

function taskOf(input: {
  boxCoverage: number;
  maskCoverage: number;
  hasKeypoints: boolean;
  hasCaptions: boolean;
}): DatasetTask {
  if (input.maskCoverage === 1) return "segmentation";
  if (input.maskCoverage > 0) return "mixed";
  if (input.hasKeypoints) return "keypoints";
  if (input.boxCoverage > 0) return "detection";
  return input.hasCaptions ? "caption" : "none";
}
