/** The same bytes; whole numbers stored into it are limited to 0..255 by the engine, without a branch. */
export const clamped = (data: Uint8Array): Uint8ClampedArray =>
  new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
