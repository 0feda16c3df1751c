import { join } from "node:path";
import { buildTensorRt, ExportError, type TensorRtEngine } from "@seg/export";

/** An engine, or why there is none on this machine. */
export type EngineResult = { engine: TensorRtEngine } | { unavailable: string };

/**
 * Builds the TensorRT engine of a student. A machine without `trtexec` is no error: the result says what to run on the target.
 * @param source - ONNX file in `folder`: the QDQ variant for TensorRT for `int8`, the float model otherwise
 */
export async function tensorRtEngine({
  folder,
  source,
  precision,
  signal,
}: {
  folder: string;
  source: string;
  precision: "fp16" | "int8";
  signal: AbortSignal;
}): Promise<EngineResult> {
  const engine = join(folder, `model_${precision}.engine`);
  try {
    return { engine: await buildTensorRt(join(folder, source), { engine, precision, signal }) };
  } catch (error) {
    if (ExportError.is(error, "TRTEXEC_NOT_FOUND")) return { unavailable: error.message };
    throw error;
  }
}
