import type { CocoDataset, EvalResult } from "@seg/coco-dataset";
import type { FoundCounts, ObjectComparison } from "../report-data.js";
import { matchedObjects } from "./matched-objects.js";
import { SIZES, sizeOf } from "./size-scores.js";

/** A model and the evaluation of its detections. */
export interface JudgedModel {
  readonly name: string;
  /** With matches, both models of the same annotations. */
  readonly result: EvalResult;
  /** Detections below do not count; null: all do. */
  readonly confidence: number | null;
}

/** More lost objects than this belong into a file. */
const MAX_LISTED = 200;
const MAX_IMAGES = 50;

/**
 * Which annotated objects the reference finds and the candidate does not, and the other way round, by class, by size and by image.
 * @throws RangeError when an evaluation has no matches
 */
export function compareObjects({
  dataset,
  kind,
  reference,
  candidate,
}: {
  dataset: CocoDataset;
  kind: "box" | "mask";
  reference: JudgedModel;
  candidate: JudgedModel;
}): ObjectComparison {
  const judged = { reference: verdicts(reference), candidate: verdicts(candidate) };
  const files = new Map(dataset.images.map(({ id, file_name }) => [id, file_name]));
  const names = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  // An object that only one of the two was asked for says nothing about the other.
  const objects = dataset.annotations.flatMap(({ id, image_id, category_id, area, bbox }) => {
    const [inReference, inCandidate] = [judged.reference.get(id), judged.candidate.get(id)];
    if (inReference === undefined || inCandidate === undefined) return [];
    const [, , width = 0, height = 0] = bbox ?? [];
    return [
      {
        id,
        file: files.get(image_id)!,
        class: names.get(category_id)!,
        size: sizeOf(area ?? width * height),
        width,
        height,
        inReference,
        inCandidate,
      },
    ];
  });
  type Judged = (typeof objects)[number];
  const count = (list: readonly Judged[]): FoundCounts => {
    const both = list.filter((o) => o.inReference && o.inCandidate).length;
    const [inReference, inCandidate] = [list.filter((o) => o.inReference), list.filter((o) => o.inCandidate)];
    return {
      objects: list.length,
      reference: inReference.length,
      candidate: inCandidate.length,
      both,
      lost: inReference.length - both,
      gained: inCandidate.length - both,
    };
  };
  const groups = <K>(keyOf: (object: Judged) => K) => {
    const result = new Map<K, Judged[]>();
    for (const object of objects) {
      const list = result.get(keyOf(object));
      if (list === undefined) result.set(keyOf(object), [object]);
      else list.push(object);
    }
    return result;
  };
  const byClass = groups((o) => o.class);
  const bySize = groups((o) => o.size);
  const images = [...groups((o) => o.file)]
    .map(([file, list]) => ({ file, list, counts: count(list) }))
    .filter(({ counts }) => counts.lost > 0)
    .sort((a, b) => b.counts.lost - a.counts.lost || (a.file < b.file ? -1 : 1));
  const lost = images.flatMap(({ list }) => list.filter((o) => o.inReference && !o.inCandidate));
  return {
    kind,
    reference: { name: reference.name, confidence: reference.confidence },
    candidate: { name: candidate.name, confidence: candidate.confidence },
    total: count(objects),
    perClass: [...names.values()].flatMap((name) =>
      byClass.has(name) ? [{ name, ...count(byClass.get(name)!) }] : [],
    ),
    perSize: SIZES.flatMap((size) => (bySize.has(size) ? [{ size, ...count(bySize.get(size)!) }] : [])),
    images: images
      .slice(0, MAX_IMAGES)
      .map(({ file, counts }) => ({ file, objects: counts.objects, lost: counts.lost, gained: counts.gained })),
    lost: lost
      .slice(0, MAX_LISTED)
      .map((o) => ({ annotation: o.id, file: o.file, class: o.class, width: o.width, height: o.height })),
    unlisted: Math.max(0, lost.length - MAX_LISTED),
  };
}

/** Whether each annotation that counts was found. */
function verdicts({ result, confidence }: JudgedModel): Map<number, boolean> {
  const cells = matchedObjects(result, confidence);
  return new Map(
    cells.flatMap(({ found, missed }) => [
      ...found.map((id) => [id, true] as const),
      ...missed.map((id) => [id, false] as const),
    ]),
  );
}
