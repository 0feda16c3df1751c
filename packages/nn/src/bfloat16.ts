/** float32 values of bfloat16 bits (the upper half of a float32); exact. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const view = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) view[i] = bits[i]! << 16;
  return new Float32Array(view.buffer);
}
