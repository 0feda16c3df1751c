import type { Issue } from "./check.js";

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

/** The bytes are no ONNX protobuf message: cut short, an impossible length, a group, broken UTF-8. */
export class MalformedProtobufError extends SegError {
  override readonly name = "MalformedProtobufError";
  readonly code = "MALFORMED_PROTOBUF";
  /** Byte offset in the decoded buffer at which reading stopped. */
  readonly offset: number;
  constructor({ offset, reason }: { offset: number; reason: string }) {
    super(`Malformed ONNX protobuf at byte ${offset}: ${reason}. The file is damaged, cut short or no ONNX model.`);
    this.offset = offset;
  }
}

/** One protobuf message may hold at most 2 GiB - 1 bytes. */
export class ModelTooLargeError extends SegError {
  override readonly name = "ModelTooLargeError";
  readonly code = "MODEL_TOO_LARGE";
  readonly bytes: number;
  constructor({ bytes }: { bytes: number }) {
    super(
      `The model encodes to ${bytes} bytes, above the 2 GiB limit of one protobuf message. Save it with external data.`,
    );
    this.bytes = bytes;
  }
}

/** An element type is unknown, or a payload does not fit element type and dimensions. */
export class TensorDataError extends SegError {
  override readonly name = "TensorDataError";
  readonly code = "onnx/tensor-data";
  readonly tensor: string;
  constructor({ tensor, reason }: { tensor: string; reason: string }) {
    super(`Tensor "${tensor}": ${reason}.`);
    this.tensor = tensor;
  }
}

/** {@link assertModel} found errors. */
export class CheckFailedError extends SegError {
  override readonly name = "CheckFailedError";
  readonly code = "CHECK_FAILED";
  readonly issues: readonly Issue[];
  constructor({ issues }: { issues: readonly Issue[] }) {
    const some = issues.slice(0, 5).map(({ message }) => message);
    const more = issues.length > 5 ? ` (and ${issues.length - 5} more)` : "";
    super(`The model has ${issues.length} error(s): ${some.join(" ")}${more}`);
    this.issues = issues;
  }
}

/** External tensor data must lie in the model's folder: a relative posix path without "..", no symbolic link that leads out. */
export class ExternalDataPathError extends SegError {
  override readonly name = "ExternalDataPathError";
  readonly code = "EXTERNAL_DATA_PATH";
  readonly tensor: string;
  readonly location: string;
  constructor({ tensor, location, reason }: { tensor: string; location: string; reason: string }) {
    super(
      `External data of tensor "${tensor}" at "${location}" is refused: ${reason}. It must lie in the model's folder.`,
    );
    this.tensor = tensor;
    this.location = location;
  }
}

/** An external data file is absent, too short or of another content than the model says. */
export class ExternalDataMissingError extends SegError {
  override readonly name = "ExternalDataMissingError";
  readonly code = "EXTERNAL_DATA_MISSING";
  readonly tensor: string;
  readonly location: string;
  constructor({
    tensor,
    location,
    reason,
    cause,
  }: { tensor: string; location: string; reason: string; cause?: unknown }) {
    super(
      `External data of tensor "${tensor}" at "${location}": ${reason}. Copy the data file beside the model again.`,
      { cause },
    );
    this.tensor = tensor;
    this.location = location;
  }
}
