import { basename, join } from "node:path";
import {
  type CocoResult,
  createClassMapping,
  type EvalResult,
  evaluate as evaluateCoco,
  instancesOf,
  mask,
} from "@seg/coco-dataset";
import { decodeImage, samMaskToImage } from "@seg/preprocess";
import { evaluateSam, predictInstanceMasks, type SamEvaluation, type SamItem } from "@seg/teachers";
import type { LoadedSplit } from "../data.js";
import type { Output } from "../output.js";
import { loadAdaptedSam } from "../teacher/mask-teacher.js";

/** The adapted SAM measured on a split. */
export interface MaskTeacherOnSplit {
  readonly name: string;
  /** Name and folder of the base weights. */
  readonly base: string;
  readonly folder: string;
  readonly sizeBytes: number;
  readonly scores: SamEvaluation;
  /** With matches; its own estimate of the IoU is the score. */
  readonly segm: EvalResult;
  readonly detections: readonly CocoResult[];
  readonly latencyMs: { readonly p50: number; readonly p95: number };
}

/** Measures the adapted SAM of an experiment on a split, prompted with the annotated boxes. Null where none was adapted. */
export async function maskTeacherOnSplit({
  split,
  experiment,
  output,
  signal,
}: {
  split: LoadedSplit;
  experiment: string;
  output: Output;
  signal: AbortSignal;
}): Promise<MaskTeacherOnSplit | null> {
  const loaded = await loadAdaptedSam(experiment);
  if (loaded === null) return null;
  const { sam, zoom, sizeBytes, record, base } = loaded;
  try {
    const mapping = createClassMapping(split.dataset);
    const items: SamItem[] = [];
    const detections: CocoResult[] = [];
    const milliseconds: number[] = [];
    for (const [i, image] of split.dataset.images.entries()) {
      signal.throwIfAborted();
      const instances = instancesOf(split.dataset, image.id, mapping).filter((o) => o.mask !== undefined);
      output.progress({ label: "mask teacher", done: i + 1, total: split.dataset.images.length });
      if (instances.length === 0) continue;
      const decoded = await decodeImage(join(split.imagesDir, image.file_name), {
        expectedSize: { width: image.width, height: image.height },
      });
      items.push({ image: decoded, instances });
      const start = performance.now();
      const { logits, side, iou, geometry } = await predictInstanceMasks({
        sam,
        image: decoded,
        boxes: instances.map((o) => o.box),
        zoom,
      });
      milliseconds.push(performance.now() - start);
      for (const [k, instance] of instances.entries()) {
        const pixels = Uint8Array.from(samMaskToImage(logits[k]!, side, geometry), (v) => (v > 0 ? 1 : 0));
        const rle = mask.encode(pixels, image.height, image.width);
        detections.push({
          image_id: image.id,
          category_id: mapping.classes[instance.classId]!.categoryId,
          score: iou[k]!,
          segmentation: { size: [image.height, image.width], counts: mask.toString(rle) },
        });
      }
    }
    if (items.length === 0) return null;
    const scores = await evaluateSam({ sam, items, zoom, signal });
    const segm = evaluateCoco({ groundTruth: split.dataset, detections, iouType: "segm", matches: true });
    milliseconds.sort((a, b) => a - b);
    const at = (q: number) => milliseconds[Math.min(milliseconds.length - 1, Math.floor(q * milliseconds.length))]!;
    return {
      name: `${basename(record.base)} + LoRA`,
      base: basename(record.base),
      folder: base,
      sizeBytes,
      scores,
      segm,
      detections,
      latencyMs: { p50: at(0.5), p95: at(0.95) },
    };
  } finally {
    sam.dispose();
  }
}
