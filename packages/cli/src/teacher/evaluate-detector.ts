import { basename } from "node:path";
import { type CocoResult, createClassMapping } from "@seg/coco-dataset";
import {
  type DetectorEvaluation,
  detectionsOf,
  evaluateGroundingDino,
  loadGroundingDino,
  loadGroundingDinoProcessor,
  predictItems,
} from "@seg/teachers";
import type { LoadedSplit } from "../data.js";
import type { Output } from "../output.js";
import { loadAdaptedDetector } from "./detector-teacher.js";
import { teacherItems } from "./teacher-data.js";

/** Base and adapted Grounding DINO on one split. */
export interface DetectorOnSplit {
  /** For example "grounding-dino-tiny-synthetic". */
  readonly base: string;
  /** Folder of the base weights. */
  readonly folder: string;
  readonly sizeBytes: number;
  readonly before: DetectorEvaluation;
  readonly after: DetectorEvaluation;
  /** What the adapted one found, every class and score; boxes xywh in pixels of the images. */
  readonly detections: readonly CocoResult[];
}

/** Measures the adapted detector of an experiment, and its base, on a split: prompted with all class names. Null where none was adapted. */
export async function evaluateDetectorTeacher({
  split,
  experiment,
  output,
  signal,
}: {
  split: LoadedSplit;
  experiment: string;
  output: Output;
  signal: AbortSignal;
}): Promise<DetectorOnSplit | null> {
  const loaded = loadAdaptedDetector(experiment);
  if (loaded === null) return null;
  const { model, base, sizeBytes, record } = loaded;
  try {
    const items = await teacherItems(split, output);
    if (items.every(({ instances }) => instances.length === 0)) return null;
    const { encode, size } = loadGroundingDinoProcessor(base);
    const run = { items, phrases: record.phrases, encode, size, signal };
    const answers = await predictItems({ model, ...run });
    const after = await evaluateGroundingDino({ model, ...run, answers });
    const { classes } = createClassMapping(split.dataset);
    const detections = answers.flatMap((answer, i) =>
      detectionsOf(answer).map(({ classId, box: [x1, y1, x2, y2], score }) => ({
        image_id: split.dataset.images[i]!.id,
        category_id: classes[classId]!.categoryId,
        bbox: [x1, y1, x2 - x1, y2 - y1],
        score,
      })),
    );
    const pristine = loadGroundingDino(base);
    try {
      return {
        base: basename(record.base),
        folder: base,
        sizeBytes,
        before: await evaluateGroundingDino({ model: pristine, ...run }),
        after,
        detections,
      };
    } finally {
      pristine.dispose();
    }
  } finally {
    model.dispose();
  }
}
