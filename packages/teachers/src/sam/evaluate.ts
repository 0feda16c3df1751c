import { type Instance, mask as maskAlgebra, type RgbImage } from "@seg/coco-dataset";
import { samMaskToImage } from "@seg/preprocess";
import { NoTrainableDataError } from "../errors.js";
import { bitmapIou, trivialMask } from "./baselines.js";
import { predictInstanceMasks } from "./predict.js";
import type { Sam } from "./sam.js";
import { promptBox } from "./targets.js";
import type { SamZoom } from "./zoom.js";

/** An image with its annotated objects. */
export interface SamItem {
  readonly image: RgbImage;
  /** Those without a mask are left out. */
  readonly instances: readonly Instance[];
  /** Identifies the image in caches; the pixels are hashed otherwise. */
  readonly key?: string;
}

/** Mean mask IoU of a group of objects, beside what needs no network at all. */
export interface MaskScores {
  readonly count: number;
  readonly meanIou: number;
  /** Mean IoU of the prompt box taken as mask. */
  readonly filledBox: number;
  /** Mean IoU of the ellipse inscribed in the prompt box. */
  readonly ellipse: number;
}

/** Result of {@link evaluateSam}. */
export interface SamEvaluation {
  readonly meanIou: number;
  /** Mask IoU means nothing without these: the better one is the bar. */
  readonly baselines: { readonly filledBox: number; readonly ellipse: number };
  readonly instances: number;
  /** Share of objects with IoU above .75. */
  readonly above75: number;
  readonly perClass: readonly (MaskScores & { readonly classId: number })[];
  /** By the shorter side of the box in image pixels: [0, 12), [12, 20), [20, 32), [32, 50), 50 and more. */
  readonly bySize: readonly (MaskScores & { readonly from: number; readonly to: number | null })[];
}

const SIZE_EDGES = [0, 12, 20, 32, 50] as const;

/**
 * Mask IoU per object at the original resolution, prompted with the ground-truth boxes, without jitter.
 * @throws {@link NoTrainableDataError} when no instance has a mask
 */
export async function evaluateSam({
  sam,
  items,
  multimask = false,
  zoom = null,
  signal,
}: {
  readonly sam: Sam;
  readonly items: readonly SamItem[];
  /** See {@link predictInstanceMasks}. @defaultValue false */
  readonly multimask?: boolean;
  /** See {@link predictInstanceMasks}. @defaultValue null */
  readonly zoom?: SamZoom | null;
  readonly signal?: AbortSignal;
}): Promise<SamEvaluation> {
  const rows: Row[] = [];
  for (const { image, instances } of items) {
    signal?.throwIfAborted();
    const objects = instances.filter(({ mask }) => mask !== undefined && maskAlgebra.area(mask) > 0);
    if (objects.length === 0) continue;
    const boxes = objects.map(promptBox);
    const predicted = await predictInstanceMasks({ sam, image, boxes, multimask, zoom });
    for (const [i, { classId, mask }] of objects.entries()) {
      const box = boxes[i]!;
      const truth = maskAlgebra.decode(mask!);
      const size = { box, width: image.width, height: image.height };
      rows.push({
        classId,
        side: Math.min(box[2] - box[0], box[3] - box[1]),
        iou: bitmapIou(samMaskToImage(predicted.logits[i]!, predicted.side, predicted.geometry), truth),
        filledBox: bitmapIou(trivialMask({ kind: "filledBox", ...size }), truth),
        ellipse: bitmapIou(trivialMask({ kind: "ellipse", ...size }), truth),
      });
    }
  }
  if (rows.length === 0) {
    const instances = items.reduce((sum, item) => sum + item.instances.length, 0);
    throw new NoTrainableDataError({ images: items.length, instances, needed: "a mask" });
  }
  const all = scores(rows);
  const classes = [...new Set(rows.map(({ classId }) => classId))].sort((a, b) => a - b);
  return {
    meanIou: all.meanIou,
    baselines: { filledBox: all.filledBox, ellipse: all.ellipse },
    instances: rows.length,
    above75: rows.filter(({ iou }) => iou > 0.75).length / rows.length,
    perClass: classes.map((classId) => ({ classId, ...scores(rows.filter((row) => row.classId === classId)) })),
    bySize: SIZE_EDGES.map((from, i) => {
      const to = SIZE_EDGES[i + 1] ?? null;
      return { from, to, ...scores(rows.filter(({ side }) => side >= from && (to === null || side < to))) };
    }).filter(({ count }) => count > 0),
  };
}

interface Row {
  readonly classId: number;
  readonly side: number;
  readonly iou: number;
  readonly filledBox: number;
  readonly ellipse: number;
}

function scores(rows: readonly Row[]): MaskScores {
  const mean = (key: "iou" | "filledBox" | "ellipse") =>
    rows.reduce((sum, row) => sum + row[key], 0) / Math.max(rows.length, 1);
  return { count: rows.length, meanIou: mean("iou"), filledBox: mean("filledBox"), ellipse: mean("ellipse") };
}

/** One line per group: mask IoU, then both trivial baselines. */
export function formatSamEvaluation(evaluation: SamEvaluation, classNames: readonly string[] = []): string {
  const line = (name: string, count: number, iou: number, box: number, ellipse: number) =>
    `${name.padEnd(16)} ${String(count).padStart(5)}  IoU ${iou.toFixed(3)}  filled box ${box.toFixed(3)}  ellipse ${ellipse.toFixed(3)}`;
  const { baselines, instances, meanIou, perClass } = evaluation;
  return [
    line("all", instances, meanIou, baselines.filledBox, baselines.ellipse),
    ...perClass.map((row) =>
      line(classNames[row.classId] ?? `class ${row.classId}`, row.count, row.meanIou, row.filledBox, row.ellipse),
    ),
  ].join("\n");
}
