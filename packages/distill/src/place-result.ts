import {
  type Affine,
  type BitmapMask,
  composeAffine,
  type PipelineMask,
  type PipelineResult,
  type PlacedSource,
  sourceMap,
} from "@seg/augment";
import { type Box, type CocoSegmentation, mask as maskAlgebra, segmentationToRle } from "@seg/coco-dataset";
import type { PointMap, TargetInstance, TargetSample, TeacherAnswer } from "./targets.js";
import type { DistillationData } from "./teacher/prepare-distillation.js";
import type { TrainingImage } from "./training-images.js";

/** Map of a source picture as far as it is a plain affine one. */
function affineOf({ matrix }: PlacedSource): Affine | null {
  if (matrix === null || matrix[6] !== 0 || matrix[7] !== 0 || matrix[8] !== 1) return null;
  return [matrix[0], matrix[1], matrix[2], matrix[3], matrix[4], matrix[5]];
}

/** Original pixels of a source image to pixels of the result, and back. */
export function pointMap(
  source: PlacedSource,
  { scale: [sx, sy] }: Pick<TrainingImage, "scale">,
  canvas: { readonly width: number; readonly height: number },
): PointMap {
  const map = sourceMap(source, canvas);
  const affine = affineOf(source);
  return {
    affine: affine === null ? null : composeAffine([sx, 0, 0, 0, sy, 0], affine),
    forward: (x, y) => map.forward(x * sx, y * sy),
    backward(x, y) {
      const [u, v] = map.backward(x, y);
      return [u / sx, v / sy];
    },
  };
}

/** The part of a moved box that its source shows and the canvas holds; null when nothing is left. */
function movedBox(box: Box, map: PointMap, shown: Box): Box | null {
  const [x1, y1, x2, y2] = box;
  const corners = [map.forward(x1, y1), map.forward(x2, y1), map.forward(x1, y2), map.forward(x2, y2)];
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => y);
  const moved: Box = [
    Math.max(shown[0], Math.min(...xs)),
    Math.max(shown[1], Math.min(...ys)),
    Math.min(shown[2], Math.max(...xs)),
    Math.min(shown[3], Math.max(...ys)),
  ];
  return moved[2] > moved[0] && moved[3] > moved[1] ? moved : null;
}

/** What a teacher said about an annotation, moved with it. */
function answerOf(
  distillation: DistillationData,
  annotationId: number,
  { map, shown }: { map: PointMap; shown: Box },
): TeacherAnswer | null {
  const detection = distillation.detection(annotationId);
  const mask = distillation.mask(annotationId);
  if (detection === null && mask === null) return null;
  const box = detection === null ? null : movedBox(detection.box, map, shown);
  return {
    ...(detection === null ? {} : { logits: detection.logits, score: detection.score }),
    ...(box === null ? {} : { box }),
    ...(mask === null ? {} : { mask }),
  };
}

/** Polygons where nothing covered the object; what is left of one that something was pasted over is a bitmap. */
function maskOf(mask: PipelineMask): Pick<TargetInstance, "polygons" | "bitmap"> {
  if (Array.isArray(mask)) return { polygons: mask.map((part: ArrayLike<number>) => Float64Array.from(part)) };
  if (!("counts" in mask)) return { bitmap: (mask as BitmapMask).data };
  const { size, counts } = mask;
  const [height, width] = size;
  return { bitmap: maskAlgebra.decode(segmentationToRle({ size, counts } as CocoSegmentation, height, width)) };
}

/**
 * The objects of an augmented picture as the losses take them: each with the annotation it came from, its own or a donor's, and what the teacher said about that annotation,
 * taken along by the composed map of its picture.
 */
export function placeResult({
  result,
  index,
  images,
  distillation,
}: {
  result: PipelineResult;
  /** Of the picture itself. */
  index: number;
  images: readonly TrainingImage[];
  distillation: DistillationData | null;
}): TargetSample {
  const { bboxes = [], labels = [], masks, iscrowd, kept, origins, sources, image } = result;
  const canvas: Box = [0, 0, image.width, image.height];
  const places = new Map<string, { map: PointMap; shown: Box; image: TrainingImage }>();
  const placeOf = (path: string) => {
    const known = places.get(path);
    if (known !== undefined) return known;
    const source = sources.find((candidate) => candidate.path === path)!;
    const from = images[source.source ?? index]!;
    const map = pointMap(source, from, image);
    const [sx, sy] = from.scale;
    const [x1, y1, x2, y2] = source.clip;
    const shown = movedBox([x1 / sx, y1 / sy, x2 / sx, y2 / sy], map, canvas) ?? canvas;
    const place = { map, shown, image: from };
    places.set(path, place);
    return place;
  };
  const instances = kept.map((own, i): TargetInstance => {
    const origin = origins?.[i] ?? null;
    const at = origin?.lastIndexOf(":") ?? -1;
    const place = placeOf(origin === null ? "" : origin.slice(0, at));
    const object = place.image.objects[origin === null ? own : Number(origin.slice(at + 1))]!;
    const mask = masks?.[i];
    const teacher = distillation === null ? null : answerOf(distillation, object.annotationId, place);
    return {
      classId: labels[i] as number,
      box: bboxes[i]!,
      ...(mask === undefined ? {} : maskOf(mask)),
      ...(iscrowd?.[i] ? { ignore: true } : {}),
      weight: object.weight,
      ...(teacher === null ? {} : { teacher, map: place.map }),
    };
  });
  return { instances };
}
