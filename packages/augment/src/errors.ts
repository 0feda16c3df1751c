import { distance } from "fastest-levenshtein";

const brand = Symbol.for("@seg/error");
const augmentBrand = Symbol.for("@seg/augment-error");

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
 * - `missing_donor`: mixing did not get its samples
 * - `invalid_config`: a pipeline, profile or YAML file is not valid ({@link AugmentConfigError})
 * - `unknown_characteristic`, `unknown_environment`, `unknown_transform`: a name nobody registered
 * - `target_mismatch`: masks, boxes, keypoints and labels describe different numbers of instances
 * - `unsupported_image`: pixels are not uint8, interleaved
 * - `size_mismatch`: the annotations are for a picture of another size
 * - `invalid_box`, `invalid_mask`, `invalid_keypoint`: not finite, or of a shape that cannot be
 * - `async_backend`: `applySync` met a step that is configured for an asynchronous backend, or an asynchronous donor source
 * - `replay_mismatch`: the record belongs to another plan
 * - `worker_failed`: a loader thread ended or threw
 */
export type AugmentErrorCode =
  | "invalid_image"
  | "invalid_instance"
  | "invalid_affine"
  | "invalid_option"
  | "missing_donor"
  | "invalid_config"
  | "unknown_characteristic"
  | "unknown_environment"
  | "unknown_transform"
  | "target_mismatch"
  | "unsupported_image"
  | "size_mismatch"
  | "invalid_box"
  | "invalid_mask"
  | "invalid_keypoint"
  | "async_backend"
  | "replay_mismatch"
  | "worker_failed";

interface AugmentErrorInit {
  readonly code: AugmentErrorCode;
  readonly message: string;
  /** Where in the configuration, for example `overrides[1].std`. */
  readonly path?: string | undefined;
  readonly cause?: unknown;
}

/** An augmentation was asked for something it cannot do; the inputs are untouched. */
export class AugmentError extends SegError {
  readonly [augmentBrand] = true;
  override readonly name: string = "AugmentError";
  readonly code: AugmentErrorCode;
  /** Where in the configuration the reason lies; empty when it is not there. */
  readonly path: string;
  constructor({ code, message, path = "", cause }: AugmentErrorInit) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.path = path;
  }
  /** True for every error of this package. */
  static override isInstance(value: unknown): value is AugmentError {
    return typeof value === "object" && value !== null && augmentBrand in value;
  }
}

/** A configuration (spec, transform parameters, profile, YAML) is not valid. */
export class AugmentConfigError extends AugmentError {
  override readonly name = "AugmentConfigError";
  constructor({ message, path, cause }: Omit<AugmentErrorInit, "code">) {
    super({ code: "invalid_config", message: path ? `${path}: ${message}` : message, path, cause });
  }
}

interface UnknownNames {
  readonly unsupported: readonly string[];
  readonly available: readonly string[];
  readonly path: string;
}

const unknownMessage = (what: string, { unsupported, available }: UnknownNames): string => {
  const listed = unsupported.map((name) => {
    const near = nearestName(name, available);
    return near === null ? `"${name}"` : `"${name}" (did you mean "${near}"?)`;
  });
  return `Unknown ${what} ${listed.join(", ")}. Available: ${available.join(", ")}.`;
};

/** A characteristic that the profile does not hold. */
export class UnknownCharacteristicError extends AugmentError {
  override readonly name = "UnknownCharacteristicError";
  readonly unsupported: readonly string[];
  readonly available: readonly string[];
  /** Closest available name of the first unsupported one, or null. */
  readonly nearest: string | null;
  constructor(names: UnknownNames) {
    super({ code: "unknown_characteristic", message: unknownMessage("characteristic", names), path: names.path });
    this.unsupported = names.unsupported;
    this.available = names.available;
    this.nearest = nearestName(names.unsupported[0] ?? "", names.available);
  }
}

/** An environment axis or value that the profile does not hold. */
export class UnknownEnvironmentError extends AugmentError {
  override readonly name = "UnknownEnvironmentError";
  readonly unsupported: readonly string[];
  readonly available: readonly string[];
  readonly nearest: string | null;
  constructor(names: UnknownNames) {
    super({ code: "unknown_environment", message: unknownMessage(`${names.path}`, names), path: names.path });
    this.unsupported = names.unsupported;
    this.available = names.available;
    this.nearest = nearestName(names.unsupported[0] ?? "", names.available);
  }
}

/** A transform type that is neither built in nor registered. */
export class UnknownTransformError extends AugmentError {
  override readonly name = "UnknownTransformError";
  readonly nearest: string | null;
  constructor({ type, available, path }: { type: string; available: readonly string[]; path: string }) {
    const names = { unsupported: [type], available, path };
    super({ code: "unknown_transform", message: `${path}: ${unknownMessage("transform type", names)}`, path });
    this.nearest = nearestName(type, available);
  }
}

/** Per-instance targets have different lengths. */
export class TargetMismatchError extends AugmentError {
  override readonly name = "TargetMismatchError";
  constructor(message: string) {
    super({ code: "target_mismatch", message });
  }
}

/** Pixels are not uint8 interleaved, or do not fill the picture. */
export class UnsupportedImageError extends AugmentError {
  override readonly name = "UnsupportedImageError";
  constructor(message: string) {
    super({ code: "unsupported_image", message });
  }
}

/** The annotations were made for a picture of another size. */
export class SizeMismatchError extends AugmentError {
  override readonly name = "SizeMismatchError";
  constructor(message: string) {
    super({ code: "size_mismatch", message });
  }
}

/** A box holds NaN or Infinity, or is invalid under `onInvalid: throw`. */
export class InvalidBoxError extends AugmentError {
  override readonly name = "InvalidBoxError";
  /** Index of the instance in the sample. */
  readonly index: number;
  constructor({ index, message }: { index: number; message: string }) {
    super({ code: "invalid_box", message });
    this.index = index;
  }
}

/** A mask holds NaN, an odd number of coordinates, or pixels of another size. */
export class InvalidMaskError extends AugmentError {
  override readonly name = "InvalidMaskError";
  readonly index: number;
  constructor({ index, message }: { index: number; message: string }) {
    super({ code: "invalid_mask", message });
    this.index = index;
  }
}

/** A keypoint is not `[x, y, v]` with finite numbers and v of 0, 1 or 2. */
export class InvalidKeypointError extends AugmentError {
  override readonly name = "InvalidKeypointError";
  readonly index: number;
  constructor({ index, message }: { index: number; message: string }) {
    super({ code: "invalid_keypoint", message });
    this.index = index;
  }
}

/** `applySync` met a step that is configured for an asynchronous backend. */
export class AsyncBackendError extends AugmentError {
  override readonly name = "AsyncBackendError";
  constructor({ message, path }: { message: string; path: string }) {
    super({ code: "async_backend", message, path });
  }
}

/** A mixing transform was drawn and no donor was there. */
export class MissingDonorError extends AugmentError {
  override readonly name = "MissingDonorError";
  constructor({ message, path }: { message: string; path: string }) {
    super({ code: "missing_donor", message, path });
  }
}

/** A replay record was made by another plan. */
export class ReplayMismatchError extends AugmentError {
  override readonly name = "ReplayMismatchError";
  constructor({ expected, actual }: { expected: string; actual: string }) {
    super({
      code: "replay_mismatch",
      message: `The replay record belongs to plan ${actual}, this pipeline is plan ${expected}. Build the pipeline from the YAML that was saved with the record.`,
    });
  }
}

/** Closest candidate within a third of the name's length (Levenshtein distance), or null. */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.ceil(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < least) {
      least = edits;
      best = candidate;
    }
  }
  return best;
}
