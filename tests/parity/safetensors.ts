import { readFileSync } from "node:fs";

/** One array of a fixture; float16 and bfloat16 do not occur in the groups that use this reader. */
export interface FixtureTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Float64Array | Float32Array | BigInt64Array | Int32Array | Uint8Array;
}

/** Own reader, so that parity does not depend on the code under test. Layout: uint64 header length, JSON header, data; little-endian. */
export function readFixtureTensors(file: string): Record<string, FixtureTensor> {
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const result: Record<string, FixtureTensor> = {};
  for (const [name, { dtype, shape, data_offsets: range }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    // A copy, because the view of a typed array must be aligned.
    const data = new Uint8Array(bytes.subarray(8 + headerLength + range[0], 8 + headerLength + range[1])).buffer;
    result[name] = { dtype, shape, data: view(dtype, data, name) };
  }
  return result;
}

function view(dtype: string, data: ArrayBuffer, name: string): FixtureTensor["data"] {
  switch (dtype) {
    case "F64":
      return new Float64Array(data);
    case "F32":
      return new Float32Array(data);
    case "I64":
      return new BigInt64Array(data);
    case "I32":
      return new Int32Array(data);
    case "BOOL":
    case "U8":
      return new Uint8Array(data);
    default:
      throw new Error(`Fixture tensor ${name} has dtype ${dtype}, which tests/parity/safetensors.ts does not read.`);
  }
}
