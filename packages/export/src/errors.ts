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

/** One node that cannot be expressed in the target format. */
export interface UnsupportedOp {
  op: string;
  node: string;
  reason: "unsupported_op" | "requires_constant_input" | "unsupported_attribute_value";
  /** What exactly, for people. */
  detail: string;
}

/** What each error code carries. */
export interface ExportErrorDetails {
  /** The graph violates the ONNX rules; `issues` are the checker's findings. */
  CHECK_FAILED: { issues: readonly unknown[] };
  /** The graph holds something that a deployment graph must not hold, or that the target format lacks; `findings` are all of them where more than one was looked for. */
  UNSUPPORTED_OP: { op: string; node: string; reason: string; findings?: readonly UnsupportedOp[] };
  /** Bytes that are no TFLite model: cut short, an offset outside the file, an impossible length. */
  MALFORMED_TFLITE: { offset: number };
  /** An operator whose quantised inputs and outputs must share one scale and zero point has different ones. */
  SAME_SCALE_VIOLATION: { op: string; node: string; tensors: readonly string[] };
  /** A runtime that is not installed, or that refused the model. */
  RUNTIME_UNAVAILABLE: { runtime: string };
  /** A runtime printed errors although it returned outputs. */
  RUNTIME_FAILED: { runtime: string; messages: readonly string[] };
  TRTEXEC_NOT_FOUND: { searched: readonly string[]; command: string };
  TRTEXEC_FAILED: { exitCode: number | null; log: readonly string[] };
  NO_CALIBRATION_DATA: { count: number };
  /** A calibration table belongs to another model. */
  CALIBRATION_STALE: { expected: string; actual: string };
  /** A tensor, option or combination that cannot be quantised; `tensor` names the culprit where there is one. */
  QUANT_CONFIG: { tensor?: string; option?: string };
  /** A pruning option out of range, or one that leaves nothing to prune. */
  PRUNE_CONFIG: { option: string };
  /** The INT8 graph lost the detections of its float source. */
  HEAD_COLLAPSE: {
    classSqnrDb: number;
    sourceDetections: number;
    detections: number;
    worst?: readonly { readonly tensor: string; readonly sqnrDb: number }[];
  };
  /** A certificate that does not belong to the files beside it, or whose signature does not fit. */
  CERTIFICATE_INVALID: { path: string; reason: string };
  NOT_PROMPT_FREE: { inputs: readonly string[]; reason: string };
  CLASS_MAP_MISMATCH: { expected: number; actual: number };
  PARITY_FAILED: { quantity: string; error: number; limit: number };
  /** `worst`: layers or tensors that disturb most, worst first. */
  GATE_FAILED: {
    gate: string;
    value: number;
    limit: number;
    worst?: readonly { readonly tensor: string; readonly sqnrDb: number }[];
  };
  /** Outputs that cannot be decoded: wrong shape, non-finite values, two runs that differ. */
  NOT_DECODABLE: { reason: string };
  /** A model file without the metadata that a detector needs. */
  METADATA_MISSING: { key: string };
}

/** Codes of {@link ExportError}. */
export type ExportErrorCode = keyof ExportErrorDetails;

/** Every error of `@seg/export`; `code` says which, `details` carries its fields. */
export class ExportError<Code extends ExportErrorCode = ExportErrorCode> extends SegError {
  override readonly name = "ExportError";
  readonly code: Code;
  readonly details: ExportErrorDetails[Code];
  constructor({
    code,
    message,
    details,
    cause,
  }: {
    code: Code;
    message: string;
    details: ExportErrorDetails[Code];
    cause?: unknown;
  }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }

  /** True for an ExportError of this code, also across an ESM and a CJS copy. */
  static is<C extends ExportErrorCode>(value: unknown, code: C): value is ExportError<C> {
    return SegError.isInstance(value) && value.code === code;
  }
}
