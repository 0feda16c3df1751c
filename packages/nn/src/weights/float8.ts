/** Bits of the exponent and of the mantissa; e4m3 is the finite-only variant "fn" that PyTorch and safetensors mean. */
const FORMATS = { F8_E4M3: { mantissaBits: 3, bias: 7 }, F8_E5M2: { mantissaBits: 2, bias: 15 } } as const;

function tableOf(dtype: "F8_E4M3" | "F8_E5M2" | "F8_E8M0"): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => {
    // A power of two without sign or zero (OCP Microscaling formats, 2023).
    if (dtype === "F8_E8M0") return bits === 255 ? Number.NaN : 2 ** (bits - 127);
    const { mantissaBits, bias } = FORMATS[dtype];
    const sign = bits & 128 ? -1 : 1;
    const exponent = (bits & 127) >>> mantissaBits;
    const mantissa = bits & ((1 << mantissaBits) - 1);
    if (dtype === "F8_E4M3" && (bits & 127) === 127) return Number.NaN;
    if (dtype === "F8_E5M2" && exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    const unit = mantissa / (1 << mantissaBits);
    return sign * (exponent === 0 ? unit * 2 ** (1 - bias) : (1 + unit) * 2 ** (exponent - bias));
  });
}

const tables = new Map<string, Float32Array>();

/** float32 values of 8-bit floating point bits; exact. */
export function float8ToFloat32(bits: Uint8Array, dtype: "F8_E4M3" | "F8_E5M2" | "F8_E8M0"): Float32Array {
  const table = tables.get(dtype) ?? tableOf(dtype);
  tables.set(dtype, table);
  return Float32Array.from(bits, (code) => table[code]!);
}
