import { SafetensorsFormatError } from "../errors.js";
import type { StateTensor } from "../module.js";
import { openBytes, type ReadBytes } from "../weights/byte-source.js";
import { decodeTensor } from "../weights/decode-tensor.js";
import type { WeightFile } from "../weights/weight-file.js";
import { parseHeader, parseHeaderLength, type TensorEntry } from "./header.js";

/** An opened safetensors file whose header has been checked; tensor data is read on demand. */
export interface SafetensorsFile extends WeightFile {
  /** `__metadata__` of the header, empty if absent. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Opens a safetensors file. The whole header is checked before any tensor is touched, and nothing is allocated that the file merely claims.
 *
 * @param source - path, or the bytes of a file
 * @throws {@link SafetensorsFormatError} for malformed content; the file system's error when the file cannot be read
 * @see https://github.com/huggingface/safetensors#format
 */
export function readSafetensors(source: string | Uint8Array): SafetensorsFile {
  const { path, withReader } = openBytes(source);
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
  const raw = (read: ReadBytes, { name, begin, end }: TensorEntry): Uint8Array => {
    const bytes = read(dataStart + begin, end - begin);
    if (bytes.length !== end - begin) {
      throw new SafetensorsFormatError({ reason: `the data of tensor "${name}" ends early`, path });
    }
    return bytes;
  };
  const load = (read: ReadBytes, entry: TensorEntry): StateTensor =>
    decodeTensor({ dtype: entry.dtype, shape: entry.shape, bytes: raw(read, entry) }, (reason) => {
      throw new SafetensorsFormatError({ reason: `tensor "${entry.name}": ${reason}`, path });
    });
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
    raw: (name) => {
      const entry = entryOf(name);
      return withReader((read) => raw(read, entry));
    },
    toStateDict: () => withReader((read) => new Map(header.entries.map((entry) => [entry.name, load(read, entry)]))),
  };
}
