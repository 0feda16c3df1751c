import {
  type CocoAnnotation,
  type CocoDataset,
  type CocoImage,
  completeDataset,
  mask,
  segmentationToRle,
} from "@seg/coco-dataset";
import { byFile, fileKey } from "./by-file.js";

/** What a person did to one object that a model had found, or to one that it had not. */
export type CorrectionKind = "kept" | "moved" | "reclassified" | "added" | "removed";

/** One object before and after a person looked at it. */
export interface Correction {
  readonly kind: CorrectionKind;
  readonly file_name: string;
  /** Class that the model named; null for an object that it did not find. */
  readonly predicted: string | null;
  /** Class that the person named; null for an object that is none. */
  readonly corrected: string | null;
  /** Intersection over union of both shapes; null where there is only one. */
  readonly iou: number | null;
}

/** Result of {@link compareAnnotations}. */
export interface CorrectionReport {
  /** Images that the model and the person both saw. */
  readonly images: number;
  readonly counts: Readonly<Record<CorrectionKind, number>>;
  /** Share of the found objects that the person left as they were; null where nothing was found. */
  readonly kept_share: number | null;
  readonly corrections: readonly Correction[];
}

/** Shapes above this are the same shape: tools round coordinates and trace masks anew. */
const SAME_SHAPE = 0.95;
/** Shapes below this are different objects. */
const SAME_OBJECT = 0.1;

/**
 * What a person changed of a model's predictions, object by object. Images are the same by file name (its last part, because tools keep no
 * folders); objects are paired greedily by intersection over union, of masks where both have one, else of boxes.
 *
 * @param predicted - what the model found, as COCO
 * @param corrected - the same images after a person went through them; other images are left out
 * @throws HubError `INVALID_REQUEST` where two images have one name
 */
export function compareAnnotations({
  predicted,
  corrected,
}: {
  readonly predicted: CocoDataset;
  readonly corrected: CocoDataset;
}): CorrectionReport {
  const before = shapesByFile(predicted, "The predictions");
  const after = shapesByFile(corrected, "The corrections");
  const files = [...after.keys()].filter((file) => before.has(file));
  const corrections = files.flatMap((file) =>
    compareImage(before.get(file)!, after.get(file)!).map((change) => ({ file_name: file, ...change })),
  );
  const counts = { kept: 0, moved: 0, reclassified: 0, added: 0, removed: 0 };
  for (const { kind } of corrections) counts[kind]++;
  const found = corrections.length - counts.added;
  return { images: files.length, counts, kept_share: found === 0 ? null : counts.kept / found, corrections };
}

interface Shape {
  readonly name: string;
  readonly annotation: CocoAnnotation;
  readonly image: CocoImage;
}

function shapesByFile(dataset: CocoDataset, what: string): Map<string, Shape[]> {
  const { dataset: complete } = completeDataset(dataset);
  const names = new Map(complete.categories.map(({ id, name }) => [id, name]));
  const images = new Map(complete.images.map((image) => [image.id, image]));
  const shapes = new Map([...byFile(complete, what).keys()].map((key): [string, Shape[]] => [key, []]));
  for (const annotation of complete.annotations) {
    const image = images.get(annotation.image_id);
    const name = names.get(annotation.category_id);
    // What refers to nothing is for `seg validate` to tell.
    if (image === undefined || name === undefined || !annotation.bbox) continue;
    shapes.get(fileKey(image))!.push({ name, annotation, image });
  }
  return shapes;
}

function compareImage(before: readonly Shape[], after: readonly Shape[]): Omit<Correction, "file_name">[] {
  const pairs = before
    .flatMap((old, i) => after.map((now, j) => ({ i, j, iou: overlap(old, now), same: old.name === now.name })))
    .filter(({ iou }) => iou >= SAME_OBJECT)
    .sort((a, b) => b.iou - a.iou || Number(b.same) - Number(a.same) || a.i - b.i || a.j - b.j);
  const usedBefore = new Set<number>();
  const usedAfter = new Set<number>();
  const changes: Omit<Correction, "file_name">[] = [];
  for (const { i, j, iou, same } of pairs) {
    if (usedBefore.has(i) || usedAfter.has(j)) continue;
    usedBefore.add(i);
    usedAfter.add(j);
    const kind = !same ? "reclassified" : iou >= SAME_SHAPE ? "kept" : "moved";
    changes.push({ kind, predicted: before[i]!.name, corrected: after[j]!.name, iou });
  }
  const removed = before.filter((_, i) => !usedBefore.has(i));
  const added = after.filter((_, j) => !usedAfter.has(j));
  return [
    ...changes,
    ...removed.map(({ name }) => ({ kind: "removed" as const, predicted: name, corrected: null, iou: null })),
    ...added.map(({ name }) => ({ kind: "added" as const, predicted: null, corrected: name, iou: null })),
  ];
}

function overlap(a: Shape, b: Shape): number {
  const boxes = mask.bboxIou([a.annotation.bbox!], [b.annotation.bbox!])[0]!;
  if (boxes === 0 || !a.annotation.segmentation || !b.annotation.segmentation) return boxes;
  const { height, width } = a.image;
  // Masks of another size than the image's cannot be laid over each other.
  if (b.image.height !== height || b.image.width !== width) return boxes;
  const runs = ({ annotation }: Shape) =>
    segmentationToRle(annotation.segmentation!, height, width, { annotationId: annotation.id });
  return mask.iou([runs(a)], [runs(b)])[0]!;
}
