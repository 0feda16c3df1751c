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

/** A configuration value that cannot be used. */
export class ConfigError extends SegError {
  override readonly name = "ConfigError";
  readonly code = "distill/config";
  readonly field: string;
  readonly expected: string;
  readonly actual: unknown;
  constructor({ field, expected, actual }: { field: string; expected: string; actual: unknown }) {
    super(`Configuration "${field}": expected ${expected}, got ${JSON.stringify(actual)}.`);
    this.field = field;
    this.expected = expected;
    this.actual = actual;
  }
}

/** The student needs annotations (boxes, masks) that the data lack. */
export class StudentDataMismatchError extends SegError {
  override readonly name = "StudentDataMismatchError";
  readonly code = "distill/student-data-mismatch";
  readonly student: string | null;
  readonly boxes: number;
  readonly masks: number;
  constructor({ student, boxes, masks, hint }: { student: string | null; boxes: number; masks: number; hint: string }) {
    const what = student === null ? "No student fits" : `Student "${student}" does not fit`;
    super(`${what} annotations with ${boxes} boxes and ${masks} masks. ${hint}`);
    this.student = student;
    this.boxes = boxes;
    this.masks = masks;
  }
}

/** Two artefacts disagree about what class index k means. */
export class ClassMappingMismatchError extends SegError {
  override readonly name = "ClassMappingMismatchError";
  readonly code = "distill/class-mapping-mismatch";
  readonly where: string;
  readonly expected: readonly string[];
  readonly actual: readonly string[];
  constructor({ where, expected, actual }: { where: string; expected: readonly string[]; actual: readonly string[] }) {
    super(
      `Class mapping of ${where} is [${actual.join(", ")}], expected [${expected.join(", ")}]. ` +
        "Index k must be the rank of the COCO category id in every split; give all splits the same categories.",
    );
    this.where = where;
    this.expected = expected;
    this.actual = actual;
  }
}

/** A split without a single usable image. */
export class EmptySplitError extends SegError {
  override readonly name = "EmptySplitError";
  readonly code = "distill/empty-split";
  readonly split: string;
  constructor({ split, hint }: { split: string; hint: string }) {
    super(`The ${split} split has no usable image. ${hint}`);
    this.split = split;
  }
}

/** An image file that is missing, cannot be decoded or has another size than its annotation says. */
export class BadImageError extends SegError {
  override readonly name = "BadImageError";
  readonly code = "distill/bad-image";
  readonly file: string;
  constructor({ file, reason, cause }: { file: string; reason: string; cause?: unknown }) {
    super(`Image ${file} cannot be used: ${reason}. Repair or remove it, or pass onBadImage: "skip".`, { cause });
    this.file = file;
  }
}

/** An enabled distillation term that does nothing. */
export class KdInactiveError extends SegError {
  override readonly name = "KdInactiveError";
  readonly code = "distill/kd-inactive";
  readonly term: string;
  readonly epoch: number;
  constructor({ term, epoch, reason }: { term: string; epoch: number; reason: string }) {
    super(
      `Distillation term "${term}" had no effect in epoch ${epoch}: ${reason}. Disable it or repair the teacher cache.`,
    );
    this.term = term;
    this.epoch = epoch;
  }
}

/** A cache record whose bytes differ from what the index promises. */
export class CacheCorruptError extends SegError {
  override readonly name = "CacheCorruptError";
  readonly code = "distill/cache-corrupt";
  readonly file: string;
  constructor({ file, reason }: { file: string; reason: string }) {
    super(`Teacher cache record ${file} is damaged: ${reason}. Delete it and run buildTeacherCache again; it resumes.`);
    this.file = file;
  }
}

/** A cache that was built by another teacher or with other settings. */
export class CacheKeyMismatchError extends SegError {
  override readonly name = "CacheKeyMismatchError";
  readonly code = "distill/cache-key-mismatch";
  readonly expected: string;
  readonly actual: string;
  constructor({ dir, expected, actual }: { dir: string; expected: string; actual: string }) {
    super(`Teacher cache ${dir} belongs to ${actual}, expected ${expected}. Use another directory or rebuild it.`);
    this.expected = expected;
    this.actual = actual;
  }
}
