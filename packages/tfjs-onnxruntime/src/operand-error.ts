import type { NamedTensorInfoMap, TensorInfo } from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";

/**
 * What a kernel threw, with the kernel and its operands: assertions of tfjs (a plain Error, whose message is kept) become
 * `ENGINE_OPERANDS`, typed errors learn what they do not know. Anything else is a mistake of this package and stays as it is.
 */
export function operandError(error: unknown, op: string, inputs: NamedTensorInfoMap): unknown {
  const operands = (Object.values(inputs) as unknown[])
    .flat()
    .filter((input): input is TensorInfo => typeof input === "object" && input !== null && "shape" in input);
  const shapes = operands.map(({ shape }) => [...shape]);
  const dtypes = operands.map(({ dtype }) => dtype);
  if (error instanceof EngineError) {
    return error.op === null ? Object.assign(error, { op, shapes, dtypes }) : error;
  }
  if (!(error instanceof Error) || (error.constructor !== Error && error.constructor !== RangeError)) return error;
  return new EngineError({ code: "ENGINE_OPERANDS", op, shapes, dtypes, message: error.message, cause: error });
}
