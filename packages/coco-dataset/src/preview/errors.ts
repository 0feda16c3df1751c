import { CocoError } from "../errors.js";

/** Something that cannot be drawn. */
export class PreviewError extends CocoError {
  override readonly name = "PreviewError";
  readonly code = "coco/preview";
  /** `image`: data that does not fill the picture, or a file that cannot be read; `mask`: of another size; `empty`: nothing to show. */
  readonly reason: "image" | "mask" | "empty";
  constructor({
    message,
    reason,
    cause,
  }: {
    message: string;
    reason: "image" | "mask" | "empty";
    cause?: unknown;
  }) {
    super(message, { cause });
    this.reason = reason;
  }
}
