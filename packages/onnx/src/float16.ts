/**
 * IEEE 754 binary16 bits of float32 values, rounded half to even. Magnitudes of 65520 and above become infinity, NaN stays NaN.
 * @example float32ToFloat16(Float32Array.of(1, 65520)) // Uint16Array [0x3c00, 0x7c00]
 */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) result[i] = halfBits(bits[i]!);
  return result;
}

function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 lies half way between the largest binary16 (65504) and the next step; half to even goes up, to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // Normal: re-bias the exponent by 112 and drop 13 bits. A carry out of the mantissa moves into the exponent, as it should.
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // At most 2^-25: half of the smallest subnormal, which ties to even, 0.
  if (magnitude <= 0x33000000) return sign;
  // Subnormal: value = mantissa * 2^(exponent - 150), unit 2^-24, so shift right by 126 - exponent (14..24).
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const quotient = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (quotient & 1) === 1) ? quotient + 1 : quotient);
}

/** float32 values of IEEE 754 binary16 bits; exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const result = new Float32Array(bits.length);
  const view = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const exponent = (half >>> 10) & 31;
    const mantissa = half & 0x3ff;
    if (exponent === 0) {
      const value = mantissa * 2 ** -24;
      result[i] = half & 0x8000 ? -value : value;
    } else {
      const float = exponent === 31 ? 0x7f800000 | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
      view[i] = ((half & 0x8000) << 16) | float;
    }
  }
  return result;
}
