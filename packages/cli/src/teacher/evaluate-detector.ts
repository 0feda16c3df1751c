import { basename } from "node:path";
import {
  type DetectorEvaluation,
  evaluateGroundingDino,
  loadGroundingDino,
  loadGroundingDinoProcessor,
} from "@seg/teachers";
import type { LoadedSplit } from "../data.js";
import type { Output } from "../output.js";
import { loadAdaptedDetector } from "./detector-teacher.js";
import { teacherItems } from "./teacher-data.js";

/** Base and adapted Grounding DINO on one split. */
export interface DetectorOnSplit {
  /** For example "grounding-dino-tiny-synthetic". */
  readonly base: string;
  readonly sizeBytes: number;
  readonly before: DetectorEvaluation;
  readonly after: DetectorEvaluation;
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
    const after = await evaluateGroundingDino({ model, ...run });
    const pristine = loadGroundingDino(base);
    try {
      return {
        base: basename(record.base),
        sizeBytes,
        before: await evaluateGroundingDino({ model: pristine, ...run }),
        after,
      };
    } finally {
      pristine.dispose();
    }
  } finally {
    model.dispose();
  }
}
