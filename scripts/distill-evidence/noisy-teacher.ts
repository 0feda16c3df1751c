import { createHash } from "node:crypto";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import {
  type Box,
  boxIou,
  type CocoDataset,
  createClassMapping,
  mask,
  type RgbImage,
  segmentationToRle,
  xywhToXyxy,
} from "@seg/coco-dataset";
import type { DetectionTeacher, MaskTeacher } from "@seg/distill";
import { decodeImage } from "@seg/preprocess";

/** How wrong the teacher is. */
export interface TeacherNoise {
  /** Share of the objects that it does not see. @defaultValue 0.1 */
  readonly dropped?: number;
  /** Share that it gives another class. @defaultValue 0.05 */
  readonly wrongClass?: number;
  /** Deviation of each side, share of the box. @defaultValue 0.04 */
  readonly jitter?: number;
  /** Largest shift of a mask, pixels. @defaultValue 1 */
  readonly shift?: number;
}

/** Logits of a mask inside and outside; between them at the outline. */
const SURE = 5;

interface Known {
  readonly classId: number;
  readonly box: Box;
  readonly bitmap: Uint8Array;
}

const digest = ({ data }: RgbImage): string => createHash("sha256").update(data).digest("hex");

/**
 * A teacher of known quality, as `spec/students-distill.md` 5.2 has it: it knows the annotations of a set and makes mistakes at given rates, the same ones every time. It is asked like any other:
 * through the cache, calibrated and reconciled.
 */
export async function noisyTeacher(
  { dataset, imagesDir }: { dataset: CocoDataset; imagesDir: string },
  {
    seed,
    noise: { dropped = 0.1, wrongClass = 0.05, jitter = 0.04, shift = 1 } = {},
  }: { seed: number; noise?: TeacherNoise },
): Promise<{ detector: DetectionTeacher; masks: MaskTeacher }> {
  const { classes } = createClassMapping(dataset);
  const classOf = new Map(classes.map(({ categoryId, index }) => [categoryId, index]));
  const known = new Map<string, { index: number; objects: Known[] }>();
  for (const [index, image] of dataset.images.entries()) {
    const { width, height, id } = image;
    const objects = dataset.annotations
      .filter(({ image_id }) => image_id === id)
      .map(({ category_id, bbox, segmentation }) => ({
        classId: classOf.get(category_id)!,
        box: xywhToXyxy(bbox as [number, number, number, number]),
        bitmap: mask.decode(segmentationToRle(segmentation!, height, width)),
      }));
    known.set(digest(await decodeImage(join(imagesDir, image.file_name))), { index, objects });
  }
  const recall = (image: RgbImage) => known.get(digest(image)) ?? { index: 0, objects: [] };
  const identity = { id: "noisy teacher", hash: JSON.stringify({ seed, dropped, wrongClass, jitter, shift }) };
  return {
    detector: {
      ...identity,
      async detect(image) {
        const { index, objects } = recall(image);
        const random = new CounterRandom({ seed, path: "detector", index });
        const boxes: Box[] = [];
        const logits: number[] = [];
        for (const { classId, box } of objects) {
          const [isMissed, isWrong] = [random.uniform() < dropped, random.uniform() < wrongClass];
          const other = (classId + random.integer(1, classes.length - 1)) % classes.length;
          // Wrong answers are less sure, but not by much: what calibration has to work with.
          const score = random.uniform(isWrong ? 0.25 : 0.4, isWrong ? 0.7 : 0.9);
          const [w, h] = [box[2] - box[0], box[3] - box[1]];
          const moved = box.map((v, i) => v + random.normal(0, jitter) * (i % 2 === 0 ? w : h));
          if (isMissed) continue;
          boxes.push(moved as unknown as Box);
          const row = classes.map(() => -3.5 + random.normal(0, 0.5));
          row[isWrong ? other : classId] = Math.log(score / (1 - score));
          logits.push(...row);
        }
        return { boxes, logits: Float32Array.from(logits) };
      },
    },
    masks: {
      ...identity,
      async predict(image, boxes) {
        const { width, height } = image;
        const { index, objects } = recall(image);
        const random = new CounterRandom({ seed, path: "masks", index });
        const side = Math.max(width, height) / 2;
        const logits = boxes.map((box) => {
          const [dx, dy] = [random.integer(-shift, shift), random.integer(-shift, shift)];
          const best = objects.reduce<Known | null>(
            (most, object) => (most === null || boxIou(object.box, box) > boxIou(most.box, box) ? object : most),
            null,
          );
          const at = (x: number, y: number) =>
            best === null || x < 0 || y < 0 || x >= width || y >= height ? 0 : best.bitmap[y * width + x]!;
          return Float32Array.from({ length: side * side }, (_, i) => {
            const [x, y] = [2 * (i % side) - dx, 2 * Math.floor(i / side) - dy];
            const share = (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4;
            return SURE * (2 * share - 1);
          });
        });
        return { logits, side, iou: boxes.map(() => 0.9), toModel: [0.5, 0, 0, 0, 0.5, 0] };
      },
    },
  };
}
