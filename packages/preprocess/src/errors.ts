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
 * - `decode_failed`: unreadable, corrupt or truncated file
 * - `unsupported_mode`: a pixel format that the options refuse (CMYK)
 * - `zero_dimension`, `too_large`: outside what can be prepared
 * - `size_mismatch`: neither the stored nor the EXIF-oriented size is the annotated one
 * - `content_too_small`: a side of the resized content would round to 0 px
 * - `config_invalid`: an option or argument is out of range
 */
export type PreprocessErrorCode =
  | "decode_failed"
  | "unsupported_mode"
  | "zero_dimension"
  | "too_large"
  | "size_mismatch"
  | "content_too_small"
  | "config_invalid";

/** An image cannot be prepared; `code` says why, `source` names the file (or `<bytes>`), `model` the model that it was prepared for. */
export class PreprocessError extends SegError {
  override readonly name: string = "PreprocessError";
  readonly code: PreprocessErrorCode;
  readonly source: string | null;
  /** null when the image fails for every model. */
  readonly model: string | null;
  constructor({
    code,
    message,
    source = null,
    model = null,
    cause,
  }: {
    code: PreprocessErrorCode;
    message: string;
    source?: string | null;
    model?: string | null;
    cause?: unknown;
  }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.source = source;
    this.model = model;
  }
  static override isInstance(value: unknown): value is PreprocessError {
    if (!SegError.isInstance(value)) return false;
    const { name } = value as { name?: unknown };
    return name === "PreprocessError" || name === "PreprocessConfigError";
  }
}

/** One fault of a configuration. */
export interface ConfigIssue {
  /** Dotted path, for example `models.sam.imageSize`; empty for the document itself. */
  readonly path: string;
  /** What is wrong and what would be right. */
  readonly message: string;
}

/** A configuration, a list of models or a specification file cannot be used; `issues` lists every fault with its path. */
export class PreprocessConfigError extends PreprocessError {
  override readonly name: string = "PreprocessConfigError";
  readonly issues: readonly ConfigIssue[];
  constructor({
    issues,
    source = null,
    cause,
  }: { issues: readonly ConfigIssue[]; source?: string | null; cause?: unknown }) {
    const list = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
    super({
      code: "config_invalid",
      message: `${source ?? "The preprocessing configuration"} is invalid. ${list}`,
      source,
      cause,
    });
    this.issues = issues;
  }
  static override isInstance(value: unknown): value is PreprocessConfigError {
    return SegError.isInstance(value) && (value as { name?: unknown }).name === "PreprocessConfigError";
  }
}
