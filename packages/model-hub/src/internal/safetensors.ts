import { HubError } from "../errors.js";

/** A tensor of 32-bit floats, row-major. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * Bytes of a safetensors file of 32-bit floats: u64 length of the header (little endian), JSON header, tensors. `@seg/nn` reads and writes
 * every dtype, but importing it loads tfjs, which this package must not need.
 */
export function encodeSafetensors(tensors: Readonly<Record<string, FloatTensor>>): Buffer {
  let at = 0;
  const entries = Object.entries(tensors).map(([name, { shape, data }]) => {
    const begin = at;
    at += data.byteLength;
    return [name, { dtype: "F32", shape: [...shape], data_offsets: [begin, at] }] as const;
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  // The payload begins at a multiple of 8; spaces are legal padding.
  const header = Buffer.from(json.padEnd(Math.ceil(Buffer.byteLength(json) / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const payload = Object.values(tensors).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  return Buffer.concat([length, header, ...payload]);
}

/** The tensors of what {@link encodeSafetensors} wrote. @throws {@link HubError} UNEXPECTED_CONTENT */
export function decodeSafetensors(bytes: Buffer): Record<string, FloatTensor> {
  const bad = (why: string): HubError =>
    new HubError({ code: "UNEXPECTED_CONTENT", message: `This is no safetensors file of 32-bit floats: ${why}.` });
  if (bytes.length < 8) throw bad("it ends within the length of its header");
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  if (end > bytes.length) throw bad("it ends within its header");
  let header: Record<string, { dtype?: string; shape?: number[]; data_offsets?: [number, number] }>;
  try {
    header = JSON.parse(bytes.subarray(8, end).toString("utf8"));
  } catch {
    throw bad("its header is no JSON");
  }
  const tensors: Record<string, FloatTensor> = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = data_offsets ?? [-1, -1];
    const count = (shape ?? []).reduce((product, side) => product * side, 1);
    if (dtype !== "F32" || shape === undefined || from < 0 || end + to > bytes.length || to - from !== 4 * count)
      throw bad(`${name} is ${dtype} ${JSON.stringify(shape)} at ${from}-${to}`);
    // A copy: the payload need not be aligned in memory.
    tensors[name] = { shape, data: new Float32Array(new Uint8Array(bytes.subarray(end + from, end + to)).buffer) };
  }
  return tensors;
}
