import { SegError } from "../errors.js";

/** A checkpoint of fine-tuning belongs to another run. */
export class TeacherResumeError extends SegError {
  override readonly name = "TeacherResumeError";
  readonly code = "teachers/resume";
  readonly path: string;
  /** What differs between the checkpoint and the run. */
  readonly fields: readonly string[];
  constructor({ path, fields }: { path: string; fields: readonly string[] }) {
    super(
      `${path} was made by another run: ${fields.join(", ")} differ. Pass the settings and data it was made with, or remove it to begin afresh.`,
    );
    this.path = path;
    this.fields = fields;
  }
}
