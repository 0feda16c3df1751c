import { join } from "node:path";
import { type CocoDataset, type CocoResult, instancesOf, mask } from "@seg/coco-dataset";
import { type OverlayInstance, renderOverlay } from "@seg/coco-dataset/preview";
import { decodeImage } from "@seg/preprocess";
import type { Output } from "../output.js";
import { bestAndWorst, type ImageScore } from "../report/measure/image-scores.js";
import type { Overlay } from "../report/report-data.js";
import type { StudentRecord } from "../student-record.js";

/** A model whose detections are drawn. */
export interface DrawnModel {
  readonly name: string;
  readonly detections: readonly CocoResult[];
  /** Detections below are not drawn; null: all are. */
  readonly confidence: number | null;
}

const plural = (count: number): string => `${count} ${count === 1 ? "object" : "objects"}`;

/**
 * The worst and the best images of a split: what is annotated beside what each model finds.
 *
 * @param scores - of the last model, worst first
 * @param count - images
 */
export async function drawnPictures({
  dataset,
  imagesDir,
  classes,
  scores,
  count,
  models,
  output,
  signal,
}: {
  dataset: CocoDataset;
  imagesDir: string;
  classes: StudentRecord["classes"];
  scores: readonly ImageScore[];
  count: number;
  models: readonly DrawnModel[];
  output: Output;
  signal: AbortSignal;
}): Promise<Overlay[]> {
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const name = models.at(-1)?.name ?? "";
  const { worst, best } = bestAndWorst(scores, count);
  const chosen = [
    ...worst.map((score) => ({ score, group: `Worst images of ${name}` })),
    ...best.map((score) => ({ score, group: `Best images of ${name}` })),
  ];
  const pictures: Overlay[] = [];
  for (const [i, { score, group }] of chosen.entries()) {
    signal.throwIfAborted();
    const { id, file_name, width, height } = images.get(score.imageId)!;
    const image = await decodeImage(join(imagesDir, file_name), { expectedSize: { width, height } });
    const draw = async (caption: string, instances: readonly OverlayInstance[]) => {
      const picture = await renderOverlay({ image, instances, format: "jpeg", maxSide: 640 });
      pictures.push({ group, title: file_name, caption, image: picture, mime: "image/jpeg" });
    };
    const truth = instancesOf(dataset, id, { classes });
    await draw(
      `annotated: ${plural(truth.length)}`,
      truth.map((o) => ({ ...o, name: classes[o.classId]!.name })),
    );
    for (const model of models) {
      const found = foundOn(id, model, classes);
      const verdict = model === models.at(-1) ? `: ${score.missed} missed, ${score.wrong} wrong` : "";
      await draw(`${model.name}: ${plural(found.length)}${verdict}`, found);
    }
    output.progress({ label: "pictures", done: i + 1, total: chosen.length });
  }
  return pictures;
}

/** Detections of one image as instances to draw. */
export function foundOn(
  imageId: number,
  { detections, confidence }: DrawnModel,
  classes: StudentRecord["classes"],
): OverlayInstance[] {
  const byCategory = new Map(classes.map((c) => [c.categoryId, c]));
  return detections.flatMap(({ image_id, category_id, score, bbox, segmentation }) => {
    const found = byCategory.get(category_id);
    if (image_id !== imageId || (confidence !== null && score < confidence) || found === undefined) return [];
    const rle = segmentation === undefined ? undefined : rleOf(segmentation);
    const [x = 0, y = 0, w = 0, h = 0] = bbox ?? (rle === undefined ? [] : mask.toBbox(rle));
    return [
      {
        classId: found.index,
        name: found.name,
        box: [x, y, x + w, y + h] as const,
        ...(rle === undefined ? {} : { mask: rle }),
        // An estimate of the IoU is no confidence.
        ...(confidence === null ? {} : { score }),
      },
    ];
  });
}

function rleOf(segmentation: NonNullable<CocoResult["segmentation"]>) {
  if (!("counts" in segmentation) || typeof segmentation.counts !== "string") return undefined;
  const [height, width] = segmentation.size;
  return mask.fromString(segmentation.counts, height, width);
}
