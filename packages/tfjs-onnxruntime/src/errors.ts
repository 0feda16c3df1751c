import { captureSource } from "./source.js";

const brand = Symbol.for("@seg/error");

/** Base of every typed error of the project; recognised by brand so that ESM and CJS copies agree. */
export abstract class SegError extends Error {
  readonly [brand] = true;
  abstract readonly code: string;
  static isInstance(value: unknown): value is SegError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

/**
 * What went wrong; stable, match on it.
 *
 * | code | when |
 * |---|---|
 * | `ENGINE_BINDING` | onnxruntime-node's native library is missing or does not load |
 * | `ENGINE_NO_SYNC` | `dataSync()` on a runtime that only runs asynchronously; `data()` works |
 * | `ENGINE_PEER_MISSING` | `selectEngine()`: the package of another tfjs backend is not installed |
 * | `ENGINE_CONFIG` | unknown setting or value out of range; nothing was changed |
 * | `ENGINE_PROVIDER` | an execution provider did not start and `strict` is set |
 * | `ENGINE_DUPLICATE_TFJS` | two copies of tfjs-core are loaded |
 * | `ENGINE_UNSUPPORTED` | a kernel or dtype that the engine has not |
 * | `ENGINE_OPERANDS` | a kernel refused the shapes or dtypes of its operands (tfjs's own message) |
 * | `ENGINE_COMPILE` | ONNX Runtime refused a graph |
 * | `ENGINE_RUN` | a graph failed while running; inputs are unchanged, pending values stay pending |
 * | `ENGINE_SHAPE` | the run's shape differs from the inferred one (a bug of this package) |
 * | `ENGINE_GRAPH_TOO_LARGE` | more kernels than `maxGraphNodes`, or a serialised graph above `maxGraphBytes` |
 * | `ENGINE_MEMORY` | the estimated peak is above `memoryLimit`, or an allocation failed |
 * | `ENGINE_DISPOSED` | use of a disposed tensor, session or compiled function |
 * | `TRACE_DATA_DEPENDENT` | a value was read inside `trace` |
 * | `COMPILE_DATA_DEPENDENT` | a value was read inside `compile` |
 * | `COMPILE_VOLATILE` | a compiled function writes other bytes each time (host randomness) |
 * | `COMPILE_CAPTURE_DISPOSED` | a tensor that a compiled function captured was disposed |
 * | `COMPILE_SIGNATURE` | arguments of a compiled function are not a tree of tensors |
 */
export type EngineErrorCode =
  | "ENGINE_BINDING"
  | "ENGINE_NO_SYNC"
  | "ENGINE_PEER_MISSING"
  | "ENGINE_CONFIG"
  | "ENGINE_PROVIDER"
  | "ENGINE_DUPLICATE_TFJS"
  | "ENGINE_UNSUPPORTED"
  | "ENGINE_OPERANDS"
  | "ENGINE_COMPILE"
  | "ENGINE_RUN"
  | "ENGINE_SHAPE"
  | "ENGINE_GRAPH_TOO_LARGE"
  | "ENGINE_MEMORY"
  | "ENGINE_DISPOSED"
  | "TRACE_DATA_DEPENDENT"
  | "COMPILE_DATA_DEPENDENT"
  | "COMPILE_VOLATILE"
  | "COMPILE_CAPTURE_DISPOSED"
  | "COMPILE_SIGNATURE";

/** Everything that can go wrong between a tfjs call and ONNX Runtime. */
export class EngineError extends SegError {
  override readonly name = "EngineError";
  readonly code: EngineErrorCode;
  /** Kernel or recorded operation, null where none is concerned. */
  readonly op: string | null;
  /** Shapes of the operands, in the order of the kernel's inputs. */
  readonly shapes: readonly (readonly number[])[];
  /** Dtypes of the operands, in the same order. */
  readonly dtypes: readonly string[];
  /** `file:line:column` of the first frame outside tfjs and this package; only with `configure({ source: true })` or tfjs's DEBUG. */
  readonly source: string | null;
  /** What to do; also the end of the message. */
  readonly hint: string | null;
  constructor({
    code,
    message,
    op = null,
    shapes = [],
    dtypes = [],
    source = captureSource(),
    hint = null,
    cause,
  }: {
    code: EngineErrorCode;
    message: string;
    op?: string | null;
    shapes?: readonly (readonly number[])[];
    dtypes?: readonly string[];
    source?: string | null;
    hint?: string | null;
    cause?: unknown;
  }) {
    const at = source === null ? "" : ` At ${source}.`;
    super(`${message}${at}${hint === null ? "" : ` ${hint}`}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.op = op;
    this.shapes = shapes;
    this.dtypes = dtypes;
    this.source = source;
    this.hint = hint;
  }
}
