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

/** A tensor of a state dict that cannot be assigned. */
export interface StateMismatch {
  readonly key: string;
  readonly expected: readonly number[];
  readonly actual: readonly number[];
  /** Present when something else than the shape is wrong. */
  readonly reason?: string;
}

/** A state dict does not fit a module tree. */
export class StateDictError extends SegError {
  override readonly name = "StateDictError";
  readonly code = "nn/state-dict";
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly StateMismatch[];
  constructor({
    missing,
    unexpected,
    mismatched,
  }: {
    missing: readonly string[];
    unexpected: readonly string[];
    mismatched: readonly StateMismatch[];
  }) {
    const some = (list: readonly string[]) => `${list.slice(0, 5).join(", ")}${list.length > 5 ? ", ..." : ""}`;
    const parts: string[] = [];
    if (missing.length > 0) parts.push(`${missing.length} missing (${some(missing)})`);
    if (unexpected.length > 0) parts.push(`${unexpected.length} unexpected (${some(unexpected)})`);
    if (mismatched.length > 0) {
      const shapes = (m: StateMismatch) => `is [${m.actual.join(",")}], expected [${m.expected.join(",")}]`;
      const texts = mismatched.map((m) => `${m.key} ${m.reason ?? shapes(m)}`);
      parts.push(`${mismatched.length} that do not fit (${some(texts)})`);
    }
    super(
      `State dict does not fit the model: ${parts.join("; ")}. Nothing was loaded. Pass strict: false to load the rest.`,
    );
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
  }
}

/** Bytes are not a well-formed safetensors file, or hold a value that cannot be represented. Nothing of the file was used. */
export class SafetensorsFormatError extends SegError {
  override readonly name = "SafetensorsFormatError";
  readonly code = "nn/safetensors";
  /** What is wrong, one clause. */
  readonly reason: string;
  /** File, or null when bytes in memory were read. */
  readonly path: string | null;
  constructor({ reason, path, cause }: { reason: string; path: string | null; cause?: unknown }) {
    super(
      `${path ?? "The given bytes"}: not a valid safetensors file: ${reason}. Fetch or export the file again.`,
      cause === undefined ? {} : { cause },
    );
    this.reason = reason;
    this.path = path;
  }
}

/** A pickle asks for code that is not on the list of harmless names. Nothing was run. */
export class UnsafePickleError extends SegError {
  override readonly name = "UnsafePickleError";
  readonly code = "nn/unsafe-pickle";
  /** `module.name` of what the file wants to import, or the opcode that would call something. */
  readonly global: string;
  /** Position of the opcode in the pickle, bytes. */
  readonly offset: number;
  /** File, or null when bytes in memory were read. */
  readonly path: string | null;
  constructor({ global, offset, path }: { global: string; offset: number; path: string | null }) {
    super(
      `${path ?? "The given bytes"}: the pickle wants ${global} at byte ${offset}, which is not on the list of harmless names. Nothing was run. ` +
        "If you trust the file, save its state_dict alone, or name inert classes in allowModuleClasses.",
    );
    this.global = global;
    this.offset = offset;
    this.path = path;
  }
}

/** Bytes are not a PyTorch checkpoint that can be read. Nothing of the file was used. */
export class CheckpointFormatError extends SegError {
  override readonly name = "CheckpointFormatError";
  readonly code = "nn/checkpoint-format";
  /** What is wrong, one clause. */
  readonly reason: string;
  /** File, or null when bytes in memory were read. */
  readonly path: string | null;
  constructor({ reason, path, cause }: { reason: string; path: string | null; cause?: unknown }) {
    super(
      `${path ?? "The given bytes"}: not a readable PyTorch checkpoint: ${reason}.`,
      cause === undefined ? {} : { cause },
    );
    this.reason = reason;
    this.path = path;
  }
}
