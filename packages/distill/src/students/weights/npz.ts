import { float16ToFloat32, type StateDict } from "@seg/nn";
import { unzipSync } from "fflate";
import { ConfigError } from "../../errors.js";

const MAGIC = "\u0093NUMPY";

type Reader = (bytes: Uint8Array) => Float32Array | BigInt64Array;

/** A copy in an aligned buffer of its own. */
const buffer = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

/** Element types that weight archives use; NumPy writes little-endian on every machine that matters here. */
const READERS: Readonly<Record<string, Reader>> = {
  "<f4": (bytes) => new Float32Array(buffer(bytes)),
  "<f8": (bytes) => Float32Array.from(new Float64Array(buffer(bytes))),
  "<f2": (bytes) => float16ToFloat32(new Uint16Array(buffer(bytes))),
  "<i8": (bytes) => new BigInt64Array(buffer(bytes)),
  "<i4": (bytes) => BigInt64Array.from(new Int32Array(buffer(bytes)), BigInt),
};

/**
 * The arrays of a NumPy `.npz` archive (`numpy.savez`, compressed or not) by name.
 * @throws ConfigError for an array that is not in C order or of another type, and for bytes that are no archive
 * @see NumPy enhancement proposal 1, format versions 1 to 3
 */
export function readNpz(bytes: Uint8Array, file: string): StateDict {
  const fail = (expected: string): never => {
    throw new ConfigError({ field: "weights", expected, actual: file });
  };
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(bytes);
  } catch {
    return fail("a readable .npz archive");
  }
  const dict: StateDict = new Map();
  for (const [entry, data] of Object.entries(entries)) {
    const name = entry.replace(/\.npy$/, "");
    if (Buffer.from(data.subarray(0, 6)).toString("latin1") !== MAGIC) fail(`NumPy arrays only ("${entry}" is none)`);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    // Version 1 has a header length of two bytes, later ones of four.
    const isShort = data[6] === 1;
    const start = isShort ? 10 : 12;
    const length = isShort ? view.getUint16(8, true) : view.getUint32(8, true);
    const header = Buffer.from(data.subarray(start, start + length)).toString("latin1");
    const type = /'descr':\s*'([^']+)'/.exec(header)?.[1] ?? "";
    const shape = [...(/'shape':\s*\(([^)]*)\)/.exec(header)?.[1] ?? "").matchAll(/\d+/g)].map(([size]) =>
      Number(size),
    );
    const read = READERS[type];
    if (!read || /'fortran_order':\s*True/.test(header)) {
      return fail(`arrays of float or int in C order ("${name}" is ${type || "unreadable"})`);
    }
    const values = read(data.subarray(start + length));
    if (values.length !== shape.reduce((a, b) => a * b, 1)) fail(`whole arrays ("${name}" is cut off)`);
    dict.set(
      name,
      values instanceof BigInt64Array ? { dtype: "I64", shape, data: values } : { dtype: "F32", shape, data: values },
    );
  }
  return dict;
}
