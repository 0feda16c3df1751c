import type { Kernels } from "./kernels.js";

/** Bytes 0 and 2 of a word, as lanes of 16 bits. */
const LANES = 0xff00ff;
/** 255 * 257 still fits a lane. */
const BLOCK = 257;

/** {@link Kernels.channelSums} */
export const channelSums: Kernels["channelSums"] = ({ data }) => {
  const start = Math.min(data.length, -data.byteOffset & 3);
  // Twelve bytes are four pixels: r g b r | g b r g | b r g b, two bytes an addition.
  const quads = Math.floor((data.length - start) / 12);
  // Nothing left may begin anywhere.
  const words = quads === 0 ? new Uint32Array(0) : new Uint32Array(data.buffer, data.byteOffset + start, 3 * quads);
  const sums: [number, number, number] = [0, 0, 0];
  for (let q = 0; q < quads; ) {
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    let e = 0;
    let f = 0;
    for (const end = Math.min(quads, q + BLOCK); q < end; q++) {
      const x = words[3 * q]!;
      const y = words[3 * q + 1]!;
      const z = words[3 * q + 2]!;
      a += x & LANES;
      b += (x >>> 8) & LANES;
      c += y & LANES;
      d += (y >>> 8) & LANES;
      e += z & LANES;
      f += (z >>> 8) & LANES;
    }
    // Which byte of a pixel each lane holds depends on where the words begin.
    const low = (lanes: number) => lanes & 0xffff;
    const high = (lanes: number) => lanes >>> 16;
    const phase = (offset: number) => (start + offset) % 3;
    sums[phase(0)]! += low(a) + high(b) + high(c) + low(f);
    sums[phase(1)]! += low(b) + low(c) + high(d) + high(e);
    sums[phase(2)]! += high(a) + low(d) + low(e) + high(f);
  }
  for (let i = 0; i < start; i++) sums[i % 3]! += data[i]!;
  for (let i = start + 12 * quads; i < data.length; i++) sums[i % 3]! += data[i]!;
  return sums;
};
