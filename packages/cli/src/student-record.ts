import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClassMapping } from "@seg/coco-dataset";
import type { StudentId } from "@seg/distill";
import type { LayerWidths } from "@seg/nn";
import { CommandError } from "./errors.js";

/** What later commands need to know of a trained student: `student.json` in its run directory. Paths are relative to it. */
export interface StudentRecord {
  readonly version: 1;
  readonly student: StudentId;
  readonly imgsz: number;
  readonly seed: number;
  readonly epochs: number;
  readonly reason: string;
  readonly classes: ClassMapping["classes"];
  readonly decision: readonly string[];
  readonly teacher: { readonly id: string; readonly hash: string } | null;
  readonly train: { readonly data: string; readonly images: string };
  readonly val: { readonly data: string; readonly images: string } | null;
  /** Layers that pruning made narrower; absent for a student of the architecture's own widths. */
  readonly widths?: LayerWidths;
}

export const studentRecordFile = (directory: string): string => join(directory, "student.json");

/** @throws {@link CommandError} `cli/student-not-found` when the folder holds no finished student */
export function readStudentRecord(directory: string): StudentRecord {
  const file = studentRecordFile(directory);
  if (!existsSync(file)) {
    throw new CommandError({
      code: "cli/student-not-found",
      message: `${directory} holds no trained student (no student.json). Run seg train-student --output ${directory} first.`,
    });
  }
  try {
    return JSON.parse(readFileSync(file, "utf8")) as StudentRecord;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new CommandError({
      code: "cli/student-record-damaged",
      message: `${file} is damaged (${cause.message}). Run seg train-student --output ${directory} --resume with the options of the run to write it again.`,
    });
  }
}
