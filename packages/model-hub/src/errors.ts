const brand = Symbol.for("@seg/error");

/** Base of every error of this package: a stable code, what happened, where, and what to do. */
export class HubError extends Error {
  readonly [brand] = true;
  override readonly name: string = "HubError";
  /** Stable; the same in library, command line and HTTP (`spec/model-hub.md` 2.8). */
  readonly code: string;
  /** Facts for machines; never a secret. */
  readonly details: Readonly<Record<string, unknown>>;
  constructor({
    code,
    message,
    cause,
    details = {},
  }: { code: string; message: string; cause?: unknown; details?: Readonly<Record<string, unknown>> }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
  /** True for any HubError, of whichever copy of this package. */
  static isInstance(value: unknown): value is HubError {
    return typeof value === "object" && value !== null && brand in value && "details" in value;
  }
}
