import { join } from "node:path";
import { type CocoDataset, type CocoResult, evaluate, mask, xyxyToXywh } from "@seg/coco-dataset";
import { contactSheet } from "@seg/coco-dataset/preview";
import { evaluateStudent } from "@seg/distill";
import { decodeImage } from "@seg/preprocess";
import type { TextTeachers } from "./teachers.js";

/** mAP at IoU .5 of boxes and of masks. */
interface Scores {
  readonly box_mAP50: number;
  readonly mask_mAP50: number;
}

/** Who is how good on pictures that neither has seen. */
export interface Comparison {
  readonly pictures: number;
  readonly objects: number;
  readonly teacher: Scores;
  readonly student: Scores;
  /** Box mAP50 of the student as a share of its teacher's. */
  readonly share: number;
}

/** Teacher's answers below this score count for nothing: SAM would run for each. */
const FLOOR = 0.05;
/** Pictures of the sheet, and the score from which the student's answers are drawn. */
const SHOWN = { pictures: 4, score: 0.25 };

/** Runs both on annotated pictures: COCO's metrics, and a sheet of what is there, what the teacher says and what the student says. */
export async function compareWithTeacher({
  model,
  size,
  teachers: { groundedSam },
  words,
  label,
  truth,
  folder,
}: {
  /** ONNX file of the student, and the side of its input. */
  model: string;
  size: number;
  teachers: TextTeachers;
  words: Readonly<Record<string, string>>;
  /** Score from which the teacher's answers are drawn. */
  label: number;
  truth: CocoDataset;
  folder: string;
}): Promise<{ comparison: Comparison; sheet: Uint8Array }> {
  const said = Object.values(words).map((name, index) => ({ index, categoryId: index + 1, name }));
  const taught: CocoResult[] = [];
  for (const { id, file_name } of truth.images) {
    const image = await decodeImage(join(folder, file_name));
    const { instances } = await groundedSam.predict(image, { classMapping: { classes: said }, boxThreshold: FLOOR });
    for (const { classId, box, score, mask: rle } of instances) {
      const segmentation = { size: rle.size, counts: mask.toString(rle) };
      taught.push({ image_id: id, category_id: classId + 1, score, bbox: xyxyToXywh(box), segmentation });
    }
  }
  const { metrics, maskDetections } = await evaluateStudent({ model, dataset: truth, imagesDir: folder, imgsz: size });
  const ap50 = (iouType: "bbox" | "segm"): number => {
    const { stats, names } = evaluate({ groundTruth: truth, detections: taught, iouType });
    return stats[names.indexOf("AP50")]!;
  };
  const teacher = { box_mAP50: ap50("bbox"), mask_mAP50: ap50("segm") };
  const student = { box_mAP50: metrics["mAP50"]!, mask_mAP50: metrics["mask_mAP50"]! };
  const comparison = {
    ...{ pictures: truth.images.length, objects: truth.annotations.length, teacher, student },
    share: student.box_mAP50 / teacher.box_mAP50,
  };

  const shown = truth.images.slice(0, SHOWN.pictures);
  const answers = [
    ["in the picture", truth.annotations],
    ["the teacher, told the words", taught.filter(({ score }) => score >= label)],
    ["the student, told nothing", maskDetections.filter(({ score }) => score >= SHOWN.score)],
  ] as const;
  const rows = answers.flatMap(([caption, list]) => list.map((row) => ({ ...row, caption })));
  const annotations = rows.map((row, k) => ({ ...row, id: k + 1 }));
  const tiles = shown.flatMap(({ id }) =>
    answers.map(([caption]) => {
      const own = annotations.filter((row) => row.image_id === id && row.caption === caption);
      return { imageId: id, annotationIds: own.map((row) => row.id), caption };
    }),
  );
  const title = "Unseen pictures: truth, teacher, student";
  const dataset = { ...truth, annotations };
  return { comparison, sheet: await contactSheet({ dataset, imagesDir: folder, tiles, title, format: "jpeg" }) };
}
