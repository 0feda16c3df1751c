import { float32ToFloat16 } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { isEngine } from "./backend.js";
import { EngineError } from "./errors.js";

/** Largest finite float16; from 65520 on values round to infinity. */
const LARGEST = 65504;

/** Bytes of the data of some tensors. */
export interface Float16Storage {
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

let any = false;

/** Whether anything was ever stored as float16: without it, no check of a compiled function needs to look. */
export const storesFloat16 = (): boolean => any;

/**
 * Stores the data of float32 tensors and variables as float16, in place: half the memory for weights that are kept and only read. Values are rounded half to
 * even; whatever shares the data (clones, reshapes) sees the rounded values. Computing stays float32: each graph widens the data where it is used, into memory
 * that it reuses afterwards. Assigning to a variable, also by an optimiser, stores float32 again. Do not {@link freeze} such weights: sessions would
 * hold them widened. On other backends nothing happens.
 *
 * @returns bytes of the tensors' data; equal where nothing happened
 * @throws {@link EngineError} `ENGINE_UNSUPPORTED` for other dtypes and for values that float16 does not reach, `ENGINE_DISPOSED`; nothing was changed then
 * @example storeAsFloat16(model.weights.map((w) => w.read())) // { bytesBefore: 375_000_000, bytesAfter: 187_500_000 }
 */
export function storeAsFloat16(tensors: tf.Tensor | readonly tf.Tensor[]): Float16Storage {
  const backend = tf.backend();
  const list = Array.isArray(tensors) ? (tensors as readonly tf.Tensor[]) : [tensors as tf.Tensor];
  const bytes = (size: (tensor: tf.Tensor) => number) => list.reduce((sum, tensor) => sum + size(tensor), 0);
  const bytesBefore = bytes((tensor) => tensor.size * 4);
  if (!isEngine(backend)) return { bytesBefore, bytesAfter: bytesBefore };
  const refuse = (code: "ENGINE_UNSUPPORTED" | "ENGINE_DISPOSED", tensor: tf.Tensor, message: string) =>
    new EngineError({ code, shapes: [tensor.shape], dtypes: [tensor.dtype], message: `storeAsFloat16() ${message}` });
  const narrowed = list.map((tensor) => {
    const name = tensor instanceof tf.Variable ? `variable ${tensor.name}` : `a tensor [${tensor.shape.join()}]`;
    if (tensor.isDisposed) throw refuse("ENGINE_DISPOSED", tensor, `was given ${name}, which has been disposed.`);
    if (tensor.dtype !== "float32")
      throw refuse("ENGINE_UNSUPPORTED", tensor, `was given ${name} of dtype ${tensor.dtype}, it stores float32.`);
    const values = tensor.dataSync<"float32">();
    const at = values.findIndex((value) => Math.abs(value) > LARGEST && Number.isFinite(value));
    if (at >= 0)
      throw refuse("ENGINE_UNSUPPORTED", tensor, `cannot hold ${values[at]} of ${name}: float16 ends at ${LARGEST}.`);
    return { dataId: tensor.dataId, bits: float32ToFloat16(values) };
  });
  for (const { dataId, bits } of narrowed) backend.narrow(dataId, bits);
  any ||= list.length > 0;
  return { bytesBefore, bytesAfter: bytes((tensor) => tensor.size * 2) };
}
