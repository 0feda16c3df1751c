import { Buffer as NodeBuffer } from "node:buffer";
import { float32ToFloat16 } from "@seg/onnx";
import { SafetensorsFormatError } from "../errors.js";
import type { StateTensor } from "../module.js";
import type { TensorDtype } from "../weights/dtype.js";
import { type TensorSource, toTensorSource } from "../weights/tensor-source.js";
import { writeFileAtomic } from "../write-file-atomic.js";
import { MAX_HEADER_BYTES } from "./header.js";

/** Metadata and stored type of a safetensors file. */
export interface WriteSafetensorsOptions {
  /** `__metadata__`. Files that Python tools read should carry `{format: "pt"}`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Stored type of the F32 tensors; F16 rounds half to even and overflows to infinity. I64 tensors stay. @defaultValue "F32" */
  readonly dtype?: "F32" | "F16";
}

/** What readers hand over as int64. */
const BECOME_I64: ReadonlySet<TensorDtype> = new Set(["I64", "I32", "U32", "U64"]);

const ALIGNMENT_ORDER = { I64: 0, F32: 1, F16: 2 } as const;

/** Tensors to write: a state dict, or a source that is asked for one tensor at a time. */
type Writable = ReadonlyMap<string, StateTensor> | TensorSource;

/**
 * Writes a safetensors file atomically (see writeFileAtomic). The bytes depend on the content only, not on the order of `dict`: as in the
 * reference library tensors are ordered by decreasing alignment (I64, F32, F16), then by name in UTF-8 byte order; metadata keys are sorted.
 * Of a source (`moduleWeights`, an opened file) one tensor is in memory at a time.
 *
 * @throws {@link SafetensorsFormatError} when a tensor's shape and data disagree or a name is reserved
 */
export function writeSafetensors(path: string, dict: Writable, options: WriteSafetensorsOptions = {}): void {
  writeFileAtomic(path, chunks(dict, options, path));
}

/** The bytes that {@link writeSafetensors} writes. */
export function encodeSafetensors(dict: Writable, options: WriteSafetensorsOptions = {}): Uint8Array {
  const parts = [...chunks(dict, options, null)];
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    result.set(part, position);
    position += part.length;
  }
  return result;
}

/** Header, then one chunk per tensor; converted one at a time so that half precision does not double the memory. */
function* chunks(
  dict: Writable,
  { metadata, dtype = "F32" }: WriteSafetensorsOptions,
  path: string | null,
): Generator<Uint8Array> {
  const source = toTensorSource(dict);
  const stored = ({ dtype: own }: { dtype: TensorDtype }) => (BECOME_I64.has(own) ? "I64" : dtype);
  const entries = source
    .names()
    .map((name): [string, { dtype: TensorDtype; shape: readonly number[] }] => [name, source.info(name)]);
  entries.sort(
    ([nameA, a], [nameB, b]) =>
      ALIGNMENT_ORDER[stored(a)] - ALIGNMENT_ORDER[stored(b)] ||
      NodeBuffer.compare(NodeBuffer.from(nameA), NodeBuffer.from(nameB)),
  );
  // A list of pairs, not an object: integer-like names would be reordered by the engine.
  const fields: string[] = [];
  if (metadata && Object.keys(metadata).length > 0) {
    const sorted = Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)));
    fields.push(`"__metadata__":${JSON.stringify(sorted)}`);
  }
  let offset = 0;
  for (const [name, tensor] of entries) {
    const size = tensor.shape.reduce((product, n) => product * n, 1);
    if (name === "__metadata__") throw new SafetensorsFormatError({ reason: `the name "${name}" is reserved`, path });
    const end = offset + size * { I64: 8, F32: 4, F16: 2 }[stored(tensor)];
    const entry = { dtype: stored(tensor), shape: tensor.shape, data_offsets: [offset, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    offset = end;
  }
  const text = NodeBuffer.from(`{${fields.join(",")}}`);
  // Spaces up to a multiple of 8 keep the data aligned.
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  if (header.length - 8 > MAX_HEADER_BYTES)
    throw new SafetensorsFormatError({ reason: "the header would exceed 100 MB", path });
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  yield header;
  for (const [name, info] of entries) {
    const { shape, data } = source.tensor(name);
    const size = shape.reduce((product, n) => product * n, 1);
    if (data.length !== size) {
      const reason = `tensor "${name}" has ${data.length} values, its shape [${shape.join(",")}] needs ${size}`;
      throw new SafetensorsFormatError({ reason, path });
    }
    const values = stored(info) === "F16" ? float32ToFloat16(data as Float32Array) : data;
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
}
