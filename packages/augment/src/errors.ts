const brand = Symbol.for("@seg/error");

/** Base of every typed error of the project; recognised by brand so that ESM and CJS copies agree. */
export abstract class SegError extends Error {
  readonly [brand] = true;
  /** Stable; callers and tests match on it, never on the message. */
  abstract readonly code: string;
  static isInstance(value: unknown): value is SegError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

/**
 * - `invalid_image`: pixels do not fit the size
 * - `invalid_instance`: a box or polygon is not finite, or a polygon has an odd number of values
 * - `invalid_affine`: not finite, or not invertible
 * - `invalid_option`: an option is out of its range
 * - `missing_donor`: a mosaic did not get four samples
 */
export type AugmentErrorCode =
  | "invalid_image"
  | "invalid_instance"
  | "invalid_affine"
  | "invalid_option"
  | "missing_donor";

/** An augmentation was asked for something it cannot do; the inputs are untouched. */
export class AugmentError extends SegError {
  override readonly name = "AugmentError";
  readonly code: AugmentErrorCode;
  constructor({ code, message }: { code: AugmentErrorCode; message: string }) {
    super(message);
    this.code = code;
  }
  static override isInstance(value: unknown): value is AugmentError {
    return SegError.isInstance(value) && (value as { name?: unknown }).name === "AugmentError";
  }
}
