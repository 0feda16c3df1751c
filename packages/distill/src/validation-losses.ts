import { annotationPolygons, annotationsOf, type Box } from "@seg/coco-dataset";
import type { LetterboxGeometry } from "@seg/export/runtime";
import * as tf from "@tensorflow/tfjs";
import { modelAnchors } from "./anchors.js";
import { annotationBox } from "./annotation-box.js";
import type { EvaluationSet } from "./evaluate-student.js";
import { type LossGains, studentLoss } from "./losses/student-loss.js";
import type { Student } from "./student.js";
import { buildTargets, disposeTargets, type TargetSample, targetArrays, targetShape } from "./targets.js";

/** Annotations of every image of a prepared split, in pixels of the network's input. */
function placedSamples({ dataset, images, mapping }: EvaluationSet, segment: boolean): TargetSample[] {
  const records = new Map(dataset.images.map((image) => [image.id, image]));
  const classOf = new Map(mapping.classes.map(({ categoryId, index }) => [categoryId, index]));
  return images.map(({ imageId, geometry }) => {
    const record = records.get(imageId)!;
    const { scaleX, scaleY, padL, padT }: LetterboxGeometry = geometry;
    const place = (values: ArrayLike<number>) =>
      Float64Array.from(values, (v, i) => (i % 2 === 0 ? v * scaleX + padL : v * scaleY + padT));
    const instances = annotationsOf(dataset, imageId).flatMap((annotation) => {
      const classId = classOf.get(annotation.category_id);
      const box = annotationBox(annotation, record);
      if (classId === undefined || box === null) return [];
      const ignore = annotation.iscrowd === 1;
      const rings = segment && !ignore ? annotationPolygons(annotation, record.height, record.width) : [];
      const placed = [...place(box)] as unknown as Box;
      return [{ classId, box: placed, ignore, ...(segment ? { polygons: rings.map(place) } : {}) }];
    });
    return { instances };
  });
}

/**
 * Task losses of a split with the student's current weights and running statistics: `val_box_loss`, `val_cls_loss`, `val_dfl_loss`, for mask students `val_seg_loss`, and `val_loss`, their
 * sum. Letterboxed images without augmentation, hard labels, the gains of training, nothing of a teacher. Means over batches, of which the last is filled up from the front.
 *
 * @param student - in inference mode
 * @param options.batch - images per run, at most those that there are
 */
export async function validationLosses(
  student: Student,
  set: EvaluationSet,
  { batch: wanted, gains, smallBoxExpand = false }: { batch: number; gains: LossGains; smallBoxExpand?: boolean },
): Promise<Record<string, number>> {
  const { imgsz, images } = set;
  const { segment } = student;
  const batch = Math.min(wanted, images.length);
  const plane = imgsz * imgsz * 3;
  const samples = placedSamples(set, segment);
  // One shape for all batches: one compiled graph.
  const atLeast = targetShape({ samples, size: imgsz });
  const parts = { segment, ignore: samples.some(({ instances }) => instances.some(({ ignore }) => ignore)) };
  const anchors = modelAnchors(imgsz, imgsz);
  const steps = Math.ceil(images.length / batch);
  const sums: Record<string, number> = {};
  try {
    for (let step = 0; step < steps; step++) {
      const places = Array.from({ length: batch }, (_, i) => (step * batch + i) % images.length);
      const pixels = new Float32Array(batch * plane);
      places.forEach((place, b) => {
        const { data } = images[place]!;
        for (let k = 0; k < plane; k++) pixels[b * plane + k] = data[k]! / 255;
      });
      const arrays = targetArrays({ samples: places.map((place) => samples[place]!), size: imgsz, parts, atLeast });
      const targets = buildTargets(arrays);
      const losses = tf.tidy(() => {
        const outputs = student.forward(tf.tensor4d(pixels, [batch, imgsz, imgsz, 3]));
        return studentLoss({ outputs, targets, anchors, size: [imgsz, imgsz], gains, smallBoxExpand }).parts;
      });
      try {
        for (const [name, loss] of Object.entries(losses)) sums[name] = (sums[name] ?? 0) + (await loss.data())[0]!;
      } finally {
        tf.dispose(Object.values(losses));
        disposeTargets(targets);
      }
    }
  } finally {
    tf.dispose([anchors.centers, anchors.strides]);
  }
  const means = Object.entries(sums).map(([name, sum]) => [`val_${name}_loss`, sum / steps] as const);
  return { ...Object.fromEntries(means), val_loss: means.reduce((total, [, mean]) => total + mean, 0) };
}
