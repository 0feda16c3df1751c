import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { type EvaluationSet, loadEvaluationSet } from "@seg/distill";
import { loadSplit } from "../data.js";
import type { StudentRecord } from "../student-record.js";

/** The validation split that a student was trained with, prepared for evaluation; null when it had none or it is gone. */
export async function validationSet({
  directory,
  record,
  signal,
}: {
  directory: string;
  record: StudentRecord;
  signal: AbortSignal;
}): Promise<EvaluationSet | null> {
  if (record.val === null) return null;
  const [data, images] = [resolve(directory, record.val.data), resolve(directory, record.val.images)];
  if (!existsSync(data) || !existsSync(images)) return null;
  const { dataset, imagesDir } = await loadSplit(data, images, { onBadImage: "skip" });
  const mapping = { classes: record.classes };
  return loadEvaluationSet({ dataset, imagesDir, mapping, imgsz: record.imgsz, onBadImage: "skip", signal });
}
