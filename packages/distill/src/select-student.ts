import { StudentDataMismatchError } from "./errors.js";

/** Students that {@link createStudent} builds. `p` is a micro size for tests and demonstrations, not an official one. */
export const STUDENT_IDS = [
  "yolov8p",
  "yolov8n",
  "yolov8s",
  "yolov8m",
  "yolov8p-seg",
  "yolov8n-seg",
  "yolov8s-seg",
  "yolov8m-seg",
  "fastsam-s",
  "mobilesam",
] as const;

/** Name of a student architecture. */
export type StudentId = (typeof STUDENT_IDS)[number];

/** What the annotations hold, as given by people; `inspectDataset` of @seg/coco-dataset returns a superset. */
export interface AnnotationFacts {
  readonly hasBoxes: boolean;
  readonly hasMasks: boolean;
  readonly counts: { readonly bbox: number; readonly polygon: number; readonly rle: number };
}

/** The chosen student with the reasons, ready for `decisions.json`. */
export interface StudentDecision {
  readonly id: StudentId;
  readonly reasons: readonly string[];
  readonly boxes: number;
  readonly masks: number;
  /** True when the mask loss has nothing but a teacher's masks. */
  readonly teacherMasksOnly: boolean;
}

/** Whether the student predicts masks. */
export function isMaskStudent(id: StudentId): boolean {
  return id.endsWith("-seg") || id === "fastsam-s" || id === "mobilesam";
}

function chooseByPresence(
  facts: AnnotationFacts,
  edge: boolean,
  size: "n" | "s" | "m" | "p" | null,
): [StudentId, string] {
  const scale = size ?? (edge ? "n" : "s");
  if (facts.hasBoxes && facts.hasMasks) return [`yolov8${scale}-seg`, "boxes and masks are annotated"];
  if (facts.hasBoxes) return [`yolov8${scale}`, "only boxes are annotated"];
  if (size !== null) return [`yolov8${size}-seg`, "only masks are annotated; boxes are the tight boxes of the masks"];
  if (!edge) return ["fastsam-s", "only masks are annotated; boxes are the tight boxes of the masks"];
  return [
    "mobilesam",
    "only masks are annotated and the target is an edge device; boxes are the tight boxes of the masks",
  ];
}

/**
 * Chooses the student from what was annotated: boxes -> yolov8s, boxes and masks -> yolov8s-seg, masks -> fastsam-s; with `edge`
 * yolov8n, yolov8n-seg, mobilesam. `size` and `student` override.
 *
 * @throws StudentDataMismatchError without any annotation; for a mask student on data without masks (unless `allowTeacherMasks`)
 * @example selectStudent({ hasBoxes: true, hasMasks: false, counts: { bbox: 9, polygon: 0, rle: 0 } }).id // "yolov8s"
 */
export function selectStudent(
  inspection: AnnotationFacts,
  {
    edge = false,
    size = null,
    student = null,
    allowTeacherMasks = false,
  }: {
    /** @defaultValue false */
    edge?: boolean;
    /** @defaultValue null */
    size?: "n" | "s" | "m" | "p" | null;
    /** @defaultValue null */
    student?: StudentId | null;
    /** A mask teacher labels data that have boxes only. @defaultValue false */
    allowTeacherMasks?: boolean;
  } = {},
): StudentDecision {
  const boxes = inspection.counts.bbox;
  const masks = inspection.counts.polygon + inspection.counts.rle;
  if (!inspection.hasBoxes && !inspection.hasMasks) {
    throw new StudentDataMismatchError({ student, boxes, masks, hint: "Annotate objects with boxes or masks first." });
  }
  const [chosen, why] = student === null ? chooseByPresence(inspection, edge, size) : [student, "requested by name"];
  const reasons = [`${chosen}: ${why}`, `${boxes} boxes and ${masks} masks as annotated`];
  if (edge) reasons.push("edge: the smaller student of its kind");
  const teacherMasksOnly = isMaskStudent(chosen) && !inspection.hasMasks;
  if (teacherMasksOnly && !allowTeacherMasks) {
    const hint =
      "Choose a detection student, annotate masks, or let a mask teacher supply them (allowTeacherMasks: true).";
    throw new StudentDataMismatchError({ student: chosen, boxes, masks, hint });
  }
  if (teacherMasksOnly) reasons.push("masks come from the teacher alone");
  return { id: chosen, reasons, boxes, masks, teacherMasksOnly };
}
