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

/** Base of this package's errors. */
export abstract class CocoError extends SegError {
  /** JSON pointer (RFC 6901) into the document, or null where no place in a document is to blame. */
  readonly path: string | null;
  /** Ids of the annotations, images or categories concerned; rows for results. */
  readonly ids: readonly number[];
  constructor(message: string, { path = null, ids = [], cause }: CocoErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.path = path;
    this.ids = ids;
  }
}

/** Fields shared by the errors of this package. */
export interface CocoErrorOptions {
  readonly path?: string | null;
  readonly ids?: readonly number[];
  readonly cause?: unknown;
}

/** The annotation file does not exist or is not a readable file. */
export class CocoFileNotFoundError extends CocoError {
  override readonly name = "CocoFileNotFoundError";
  readonly code = "coco/file-not-found";
  readonly file: string;
  constructor({ file, cause }: { file: string; cause?: unknown }) {
    super(`Annotation file ${file} was not found or cannot be read. Check the path (relative to ${process.cwd()}).`, {
      cause,
    });
    this.file = file;
  }
}

/** The bytes are not the JSON of a COCO document. */
export class CocoParseError extends CocoError {
  override readonly name = "CocoParseError";
  readonly code = "coco/parse";
  /** `json`: syntax; `encoding`: not UTF-8; `id-unsafe`: an integer beyond 2^53; `too-large`: longer than one string can be. */
  readonly reason: "json" | "encoding" | "id-unsafe" | "too-large";
  /** Byte offset of the first offending byte, -1 where unknown. */
  readonly byteOffset: number;
  /** 1-based, -1 where unknown. */
  readonly line: number;
  /** 1-based, in characters, -1 where unknown. */
  readonly column: number;
  constructor({
    message,
    reason,
    byteOffset = -1,
    line = -1,
    column = -1,
    ...options
  }: {
    message: string;
    reason: "json" | "encoding" | "id-unsafe" | "too-large";
    byteOffset?: number;
    line?: number;
    column?: number;
  } & CocoErrorOptions) {
    super(message, options);
    this.reason = reason;
    this.byteOffset = byteOffset;
    this.line = line;
    this.column = column;
  }
}

/** The document is JSON but not shaped like COCO; `path` points at the value. */
export class CocoSchemaError extends CocoError {
  override readonly name = "CocoSchemaError";
  readonly code = "coco/schema";
  readonly expected: string;
  constructor({ path, expected, got, hint = "" }: { path: string; expected: string; got: unknown; hint?: string }) {
    super(`${path === "" ? "The document" : path} is ${describe(got)}, expected ${expected}.${hint && ` ${hint}`}`, {
      path,
    });
    this.expected = expected;
  }
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object") return "an object";
  return `${typeof value} ${JSON.stringify(value)?.slice(0, 60)}`;
}

/** Run lengths that do not describe a mask of the stated size. */
export class RleError extends CocoError {
  override readonly name = "RleError";
  readonly code = "coco/rle";
  /** `length`: sum differs from h*w; `string`: not a compressed string; `size`: two sizes differ; `value`: a mask value other than 0 and 1, or a negative run. */
  readonly reason: "length" | "string" | "size" | "value";
  readonly annotationId: number | null;
  constructor({
    message,
    reason,
    annotationId = null,
  }: {
    message: string;
    reason: "length" | "string" | "size" | "value";
    annotationId?: number | null;
  }) {
    super(annotationId === null ? message : `Annotation ${annotationId}: ${message}`, {
      ids: annotationId === null ? [] : [annotationId],
    });
    this.reason = reason;
    this.annotationId = annotationId;
  }
}

/** A polygon part that cannot be rasterised. */
export class PolygonError extends CocoError {
  override readonly name = "PolygonError";
  readonly code = "coco/polygon";
  readonly annotationId: number | null;
  constructor({ message, annotationId = null }: { message: string; annotationId?: number | null }) {
    super(annotationId === null ? message : `Annotation ${annotationId}: ${message}`, {
      ids: annotationId === null ? [] : [annotationId],
    });
    this.annotationId = annotationId;
  }
}

/** The same mask error naming its annotation; other errors come back as they are. */
export function nameAnnotation(error: unknown, annotationId: number): unknown {
  if (error instanceof RleError && error.annotationId === null) {
    return new RleError({ message: error.message, reason: error.reason, annotationId });
  }
  if (error instanceof PolygonError && error.annotationId === null) {
    return new PolygonError({ message: error.message, annotationId });
  }
  return error;
}

/** A split that cannot be made, or a lock file that does not belong to the dataset. */
export class SplitError extends CocoError {
  override readonly name = "SplitError";
  readonly code = "coco/split";
  readonly reason: "ratios" | "empty-split" | "too-few-units" | "group-by" | "min-per-split" | "dataset-changed";
  constructor({
    message,
    reason,
    ids = [],
  }: {
    message: string;
    reason: "ratios" | "empty-split" | "too-few-units" | "group-by" | "min-per-split" | "dataset-changed";
    ids?: readonly number[];
  }) {
    super(message, { ids });
    this.reason = reason;
  }
}

/** Detections or ground truth that cannot be evaluated; `ids` are 0-based rows of the results, or annotation ids (`subject`). */
export class EvalInputError extends CocoError {
  override readonly name = "EvalInputError";
  readonly code = "coco/eval-input";
  readonly subject: "detections" | "ground-truth" | "params";
  constructor({
    message,
    subject,
    ids = [],
  }: {
    message: string;
    subject: "detections" | "ground-truth" | "params";
    ids?: readonly number[];
  }) {
    super(message, { ids });
    this.subject = subject;
  }
}

/** A check or threshold that does not exist was asked for. */
export class CheckNameError extends CocoError {
  override readonly name = "CheckNameError";
  readonly code = "coco/check-name";
  readonly unknown: readonly string[];
  constructor({
    what,
    unknown,
    known,
  }: { what: "check" | "threshold"; unknown: readonly string[]; known: readonly string[] }) {
    super(`Unknown ${what} ${unknown.map((item) => JSON.stringify(item)).join(", ")}. Known: ${known.join(", ")}.`);
    this.unknown = unknown;
  }
}

/** Validation found problems of severity error; see {@link CocoUnusableError.codes}. */
export class CocoUnusableError extends CocoError {
  override readonly name = "CocoUnusableError";
  readonly code = "coco/unusable";
  readonly codes: readonly string[];
  constructor({ message, codes, ids }: { message: string; codes: readonly string[]; ids: readonly number[] }) {
    super(message, { ids });
    this.codes = codes;
  }
}
