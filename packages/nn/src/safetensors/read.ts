import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { SafetensorsFormatError } from "../errors.js";
import { bfloat16ToFloat32, float16ToFloat32 } from "../float16.js";
import type { StateTensor } from "../module.js";
import type { StateDict } from "../state-dict.js";
import { parseHeader, parseHeaderLength, type SafetensorsDtype, type TensorEntry } from "./header.js";

/** Reads `length` bytes at `position`; fewer only at the end of the source. The result is a fresh buffer, so any typed array fits on it. */
type ReadBytes = (position: number, length: number) => Uint8Array;

/** An opened safetensors file whose header has been checked; tensor data is read on demand. */
export interface SafetensorsFile {
  /** `__metadata__` of the header, empty if absent. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensor names in data order. */
  names(): string[];
  has(name: string): boolean;
  /** dtype and shape as stored. @throws RangeError for an unknown name */
  info(name: string): { readonly dtype: SafetensorsDtype; readonly shape: readonly number[] };
  /**
   * Values of one tensor, a fresh copy. F16, BF16, F64 (rounded), BOOL, 8- and 16-bit integers become F32; I32, U32, U64 become I64;
   * F32 and I64 stay.
   * @throws RangeError for an unknown name, {@link SafetensorsFormatError} when the file shrank or a U64 exceeds int64
   */
  tensor(name: string): StateTensor;
  /** All tensors, in data order. */
  toStateDict(): StateDict;
}

/**
 * Opens a safetensors file. The whole header is checked before any tensor is touched, and nothing is allocated that the file merely claims.
 *
 * @param source - path, or the bytes of a file
 * @throws {@link SafetensorsFormatError} for malformed content; the file system's error when the file cannot be read
 * @see https://github.com/huggingface/safetensors#format
 */
export function readSafetensors(source: string | Uint8Array): SafetensorsFile {
  const path = typeof source === "string" ? source : null;
  const withReader = <T>(use: (read: ReadBytes, size: number) => T): T => {
    if (typeof source !== "string") {
      // A copy: Buffer.slice would share memory at an unaligned offset.
      return use((at, length) => new Uint8Array(source.subarray(at, at + length)), source.length);
    }
    const file = openSync(source, "r");
    try {
      return use((at, length) => readAt(file, at, length), fstatSync(file).size);
    } finally {
      closeSync(file);
    }
  };

  const { header, dataStart } = withReader((read, size) => {
    const length = parseHeaderLength(read(0, 8), size, path);
    return { header: parseHeader(read(8, length), size - 8 - length, path), dataStart: 8 + length };
  });
  const entries = new Map(header.entries.map((entry) => [entry.name, entry]));
  const entryOf = (name: string): TensorEntry => {
    const entry = entries.get(name);
    if (!entry)
      throw new RangeError(
        `${path ?? "The safetensors bytes"} hold no tensor "${name}"; names() lists the ${entries.size} there are.`,
      );
    return entry;
  };
  const load = (read: ReadBytes, entry: TensorEntry): StateTensor => {
    const bytes = read(dataStart + entry.begin, entry.end - entry.begin);
    if (bytes.length !== entry.end - entry.begin) {
      throw new SafetensorsFormatError({ reason: `the data of tensor "${entry.name}" ends early`, path });
    }
    return toStateTensor(entry, bytes.buffer as ArrayBuffer, path);
  };
  return {
    metadata: header.metadata,
    names: () => [...entries.keys()],
    has: (name) => entries.has(name),
    info: (name) => {
      const { dtype, shape } = entryOf(name);
      return { dtype, shape };
    },
    tensor: (name) => {
      const entry = entryOf(name);
      return withReader((read) => load(read, entry));
    },
    toStateDict: () => withReader((read) => new Map(header.entries.map((entry) => [entry.name, load(read, entry)]))),
  };
}

function readAt(file: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    // One read call is limited to 2 GiB.
    const count = readSync(file, bytes, done, Math.min(length - done, 1 << 30), position + done);
    if (count === 0) return bytes.slice(0, done);
    done += count;
  }
  return bytes;
}

function toStateTensor({ name, dtype, shape }: TensorEntry, buffer: ArrayBuffer, path: string | null): StateTensor {
  const f32 = (data: Float32Array): StateTensor => ({ dtype: "F32", shape, data });
  const i64 = (data: BigInt64Array): StateTensor => ({ dtype: "I64", shape, data });
  switch (dtype) {
    case "F32":
      return f32(new Float32Array(buffer));
    case "I64":
      return i64(new BigInt64Array(buffer));
    case "F16":
      return f32(float16ToFloat32(new Uint16Array(buffer)));
    case "BF16":
      return f32(bfloat16ToFloat32(new Uint16Array(buffer)));
    case "F64":
      return f32(Float32Array.from(new Float64Array(buffer)));
    case "BOOL":
    case "U8":
      return f32(Float32Array.from(new Uint8Array(buffer)));
    case "I8":
      return f32(Float32Array.from(new Int8Array(buffer)));
    case "I16":
      return f32(Float32Array.from(new Int16Array(buffer)));
    case "U16":
      return f32(Float32Array.from(new Uint16Array(buffer)));
    // float32 would lose integers above 2^24.
    case "I32":
      return i64(BigInt64Array.from(new Int32Array(buffer) as unknown as Iterable<bigint>, BigInt));
    case "U32":
      return i64(BigInt64Array.from(new Uint32Array(buffer) as unknown as Iterable<bigint>, BigInt));
    case "U64": {
      const values = new BigInt64Array(buffer);
      if (values.some((value) => value < 0n)) {
        throw new SafetensorsFormatError({ reason: `tensor "${name}" (U64) holds a value above 2^63 - 1`, path });
      }
      return i64(values);
    }
  }
}
