const brand = Symbol.for("@seg/error");

/** Base of every typed error of the project; recognised by brand so that ESM and CJS copies agree. */
export abstract class SegError extends Error {
  readonly [brand] = true;
  abstract readonly code: string;
  static isInstance(value: unknown): value is SegError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

export type EngineErrorCode =
  | "ENGINE_BINDING"
  | "ENGINE_CONFIG"
  | "ENGINE_UNSUPPORTED"
  | "ENGINE_COMPILE"
  | "ENGINE_RUN"
  | "ENGINE_SHAPE"
  | "ENGINE_DISPOSED"
  | "TRACE_DATA_DEPENDENT";

/** Everything that can go wrong between a tfjs call and ONNX Runtime. `op` and `shapes` name the kernel where one is known. */
export class EngineError extends SegError {
  override readonly name = "EngineError";
  readonly code: EngineErrorCode;
  readonly op: string | null;
  readonly shapes: readonly (readonly number[])[];
  constructor({
    code,
    message,
    op = null,
    shapes = [],
    cause,
  }: {
    code: EngineErrorCode;
    message: string;
    op?: string | null;
    shapes?: readonly (readonly number[])[];
    cause?: unknown;
  }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.op = op;
    this.shapes = shapes;
  }
}
