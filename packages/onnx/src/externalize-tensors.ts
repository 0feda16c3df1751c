import { ExternalDataPathError } from "./errors.js";
import { externalPathProblem } from "./external-path.js";
import type { Model, Tensor } from "./model.js";

/** Tensors below this size stay in the model file (ONNX convention). */
const INLINE_BYTES = 1024;
/** Offsets of external tensors: the page size, so that runtimes can map them. */
const ALIGNMENT = 4096;

/** A model whose large initializers are references, with the bytes that they refer to. */
export interface ExternalizedModel {
  readonly model: Model;
  /** Content of the data file in order, gaps of zeros included; payloads are the model's own arrays, not copies. */
  readonly chunks: readonly Uint8Array[];
  /** Bytes of the data file. */
  readonly sizeBytes: number;
}

/**
 * Moves the payload of every initializer of `minBytes` and more to one data file, at multiples of 4096.
 *
 * @param options.location - posix path of the data file relative to the model file
 * @param options.minBytes - smaller tensors stay inline. @defaultValue 1024
 * @throws {@link ExternalDataPathError} for a location that is absolute or leaves the folder
 */
export function externalizeTensors(
  model: Model,
  { location, minBytes = INLINE_BYTES }: { location: string; minBytes?: number },
): ExternalizedModel {
  const reason = externalPathProblem(location);
  if (reason) throw new ExternalDataPathError({ tensor: "", location, reason });
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  const initializers = model.graph.initializers.map((tensor): Tensor => {
    const { rawData, ...rest } = tensor;
    if (!rawData || rawData.length < minBytes || tensor.externalData) return tensor;
    const padding = (ALIGNMENT - (sizeBytes % ALIGNMENT)) % ALIGNMENT;
    if (padding > 0) chunks.push(new Uint8Array(padding));
    const offset = sizeBytes + padding;
    chunks.push(rawData);
    sizeBytes = offset + rawData.length;
    const entries = { location, offset: String(offset), length: String(rawData.length) };
    return { ...rest, externalData: Object.entries(entries).map(([key, value]) => ({ key, value })) };
  });
  return { model: { ...model, graph: { ...model.graph, initializers } }, chunks, sizeBytes };
}
