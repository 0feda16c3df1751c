// AssemblyScript. Decodes the scan of a baseline JPEG as libjpeg-turbo does by default: accurate integer inverse DCT ("islow"), triangular
// ("fancy") chroma interpolation, BT.601 in 16-bit fixed point; every byte is equal. Markers, tables and rows are the caller's.

/** Bits of a code (and its value) that one look-up decodes. */
const LOOK: i32 = 10;
/** Byte offsets in a Huffman table: 2^LOOK entries, then limits and deltas of the lengths 0..17, then 256 symbols. */
const LIMITS: usize = 4096;
const DELTAS: usize = 4168;
const SYMBOLS: usize = 4240;
/** Entry flag: only the code was decoded, its value is longer than the look-up. */
const CODE_ONLY: i32 = 0x80;

/** The next bit of the stream is the highest one; below the `count` valid bits lie further bits of the stream. */
let bits: u64 = 0;
let count: i32 = 0;
/** Next byte to load. */
let at: usize = 0;
/** DC values of the three components. */
let dc0: i32 = 0;
let dc1: i32 = 0;
let dc2: i32 = 0;
/** Where {@link jpegUnstuff} met the marker that ends the scan. */
let stop: usize = 0;

export function jpegStop(): usize {
  return stop;
}

/** Begins a restart interval. */
export function jpegSegment(start: usize): void {
  bits = 0;
  count = 0;
  at = start;
  dc0 = 0;
  dc1 = 0;
  dc2 = 0;
}

/** Bits of the interval that begins at `start` which were read. */
export function jpegBitsRead(start: usize): i32 {
  return (<i32>(at - start) << 3) - count;
}

/**
 * Copies entropy-coded bytes without the zeros behind FF and cuts them at restart markers.
 * @param segments - gets start and end address of each piece
 * @returns number of pieces; -1 when the bytes end without a marker, a restart is out of turn, or there are more than `limit`
 */
export function jpegUnstuff(src: usize, end: usize, dst: usize, segments: usize, limit: i32): i32 {
  const ff = i8x16.splat(-1);
  let n = 0;
  let from = dst;
  while (src < end) {
    while (src + 16 <= end) {
      const v = v128.load(src);
      v128.store(dst, v);
      const hits = i8x16.bitmask(i8x16.eq(v, ff));
      if (hits !== 0) {
        src += <usize>ctz(hits);
        dst += <usize>ctz(hits);
        break;
      }
      src += 16;
      dst += 16;
    }
    if (src + 1 >= end) return -1;
    const byte = <i32>load<u8>(src);
    if (byte !== 0xff) {
      store<u8>(dst++, byte);
      src++;
      continue;
    }
    const next = <i32>load<u8>(src, 1);
    if (next === 0) {
      store<u8>(dst++, 0xff);
      src += 2;
      continue;
    }
    if (n >= limit) return -1;
    store<u32>(segments + (<usize>n << 3), <u32>from);
    store<u32>(segments + (<usize>n << 3), <u32>dst, 4);
    if (next < 0xd0 || next > 0xd7) {
      stop = src;
      return n + 1;
    }
    if ((next & 7) !== (n & 7)) return -1;
    n++;
    src += 2;
    from = dst;
  }
  return -1;
}

@inline
function refill(): void {
  // Big-endian: eight bytes reversed.
  const bytes = v128.load64_zero(at);
  const word = i64x2.extract_lane(
    v128.shuffle<i8>(bytes, bytes, 7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0),
    0,
  );
  bits |= <u64>word >>> (<u64>count);
  at += <usize>((63 - count) >> 3);
  count |= 56;
}

/** Symbol of a code longer than LOOK bits with its length above it; -1 when there is no such code. */
function longCode(table: usize): i32 {
  const code = <i32>(bits >>> 48);
  for (let length = LOOK + 1; length <= 16; length++) {
    const entry = table + (<usize>length << 2);
    if (code < load<i32>(entry, LIMITS)) {
      const index = (code >> (16 - length)) + load<i32>(entry, DELTAS);
      return (length << 8) | <i32>load<u8>(table + <usize>(index & 255), SYMBOLS);
    }
  }
  return -1;
}

/** A value of `size` bits, the next of the stream: negative ones are stored less one in one's complement. */
@inline
function extend(size: i32): i32 {
  const value = <i32>(bits >>> (<u64>(64 - size)));
  return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

/** Difference of a DC value; 1 << 20 for an impossible code. */
function readDc(table: usize): i32 {
  refill();
  const entry = load<i32>(table + (<usize>(bits >>> (64 - LOOK)) << 2));
  let length = entry & 0xff;
  if (length > 0 && length < CODE_ONLY) {
    bits <<= <u64>length;
    count -= length;
    return entry >> 16;
  }
  let size = (entry >> 8) & 0xff;
  length &= 0x7f;
  if (length === 0) {
    const found = longCode(table);
    if (found < 0) return 1 << 20;
    length = found >> 8;
    size = found & 0xff;
  }
  if (size > 11) return 1 << 20;
  bits <<= <u64>length;
  count -= length;
  if (size === 0) return 0;
  const value = extend(size);
  bits <<= <u64>size;
  count -= size;
  return value;
}

/**
 * Reads the 63 AC values of a block whose memory is all 0.
 * @param order - byte offset of each value, in zigzag order
 * @returns index of the last value that is not 0 (0: none), -1 for an impossible stream
 */
function readAc(block: usize, table: usize, order: usize): i32 {
  let window = bits;
  let have = count;
  let k = 1;
  let last = 0;
  while (k < 64) {
    if (have < 32) {
      bits = window;
      count = have;
      refill();
      window = bits;
      have = count;
    }
    const entry = load<i32>(table + (<usize>(window >>> (64 - LOOK)) << 2));
    const length = entry & 0xff;
    if (<u32>(length - 1) < 0x7f) {
      window <<= <u64>length;
      have -= length;
      k += (entry >> 8) & 0xff;
      if (k > 63) {
        // The end of the block is a run of 128; anything else is one too long.
        if (k < 128) return -1;
        break;
      }
      store<i16>(block + <usize>load<u8>(order + <usize>k), entry >> 16);
      last = k;
      k++;
      continue;
    }
    let symbol = (entry >> 8) & 0xff;
    let used = length & 0x7f;
    if (used === 0) {
      bits = window;
      const found = longCode(table);
      if (found < 0) return -1;
      used = found >> 8;
      symbol = found & 0xff;
    }
    window <<= <u64>used;
    have -= used;
    const size = symbol & 15;
    const run = symbol >> 4;
    if (size === 0) {
      if (run !== 15) break;
      k += 16;
      continue;
    }
    k += run;
    if (k > 63 || size > 10) return -1;
    const raw = <i32>(window >>> (<u64>(64 - size)));
    window <<= <u64>size;
    have -= size;
    store<i16>(block + <usize>load<u8>(order + <usize>k), raw < 1 << (size - 1) ? raw - (1 << size) + 1 : raw);
    last = k;
    k++;
  }
  bits = window;
  count = have;
  return k > 128 + 64 ? -1 : last;
}

@inline
function pair(a: i16, b: i16): v128 {
  return i32x4.splat((<i32>b << 16) | (<i32>a & 0xffff));
}

@inline
function low(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline
function high(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

@inline
function dot(a: v128, b: v128): v128 {
  return i32x4.dot_i16x8_s(a, b);
}

/** Two halves of 32-bit sums, rounded and shifted, as 16-bit values at an address. */
@inline
function put(out: usize, a: v128, b: v128, rounding: v128, shift: i32): void {
  v128.store(
    out,
    i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(a, rounding), shift), i32x4.shr_s(i32x4.add(b, rounding), shift)),
  );
}

/**
 * One pass of the inverse DCT over eight vectors: lane by lane an 8-point transform in 13-bit fixed point (Loeffler, Ligtenberg,
 * Moschytz). Constants are those of libjpeg, times 2^13: .541196100, .765366865, 1.847759065, 1.175875602, .298631336, ...
 */
@inline
function transform(
  x0: v128,
  x1: v128,
  x2: v128,
  x3: v128,
  x4: v128,
  x5: v128,
  x6: v128,
  x7: v128,
  shift: i32,
  out: usize,
): void {
  const rounding = i32x4.splat(1 << (shift - 1));
  // Even part.
  const e26 = low(x2, x6);
  const f26 = high(x2, x6);
  const c2 = pair(4433, 4433 - 15137);
  const c3 = pair(4433 + 6270, 4433);
  const t2 = dot(e26, c2);
  const u2 = dot(f26, c2);
  const t3 = dot(e26, c3);
  const u3 = dot(f26, c3);
  const sum = i16x8.add(x0, x4);
  const difference = i16x8.sub(x0, x4);
  const t0 = i32x4.shl(i32x4.extend_low_i16x8_s(sum), 13);
  const u0 = i32x4.shl(i32x4.extend_high_i16x8_s(sum), 13);
  const t1 = i32x4.shl(i32x4.extend_low_i16x8_s(difference), 13);
  const u1 = i32x4.shl(i32x4.extend_high_i16x8_s(difference), 13);
  const a10 = i32x4.add(t0, t3);
  const b10 = i32x4.add(u0, u3);
  const a13 = i32x4.sub(t0, t3);
  const b13 = i32x4.sub(u0, u3);
  const a11 = i32x4.add(t1, t2);
  const b11 = i32x4.add(u1, u2);
  const a12 = i32x4.sub(t1, t2);
  const b12 = i32x4.sub(u1, u2);
  // Odd part.
  const z3 = i16x8.add(x7, x3);
  const z4 = i16x8.add(x5, x1);
  const ez = low(z3, z4);
  const fz = high(z3, z4);
  const d3 = pair(9633 - 16069, 9633);
  const d4 = pair(9633, 9633 - 3196);
  const ez3 = dot(ez, d3);
  const fz3 = dot(fz, d3);
  const ez4 = dot(ez, d4);
  const fz4 = dot(fz, d4);
  const e17 = low(x1, x7);
  const f17 = high(x1, x7);
  const k3 = pair(12299 - 7373, -7373);
  const k0 = pair(-7373, 2446 - 7373);
  const p3 = i32x4.add(dot(e17, k3), ez4);
  const q3 = i32x4.add(dot(f17, k3), fz4);
  const p0 = i32x4.add(dot(e17, k0), ez3);
  const q0 = i32x4.add(dot(f17, k0), fz3);
  const e35 = low(x3, x5);
  const f35 = high(x3, x5);
  const k2 = pair(25172 - 20995, -20995);
  const k1 = pair(-20995, 16819 - 20995);
  const p2 = i32x4.add(dot(e35, k2), ez3);
  const q2 = i32x4.add(dot(f35, k2), fz3);
  const p1 = i32x4.add(dot(e35, k1), ez4);
  const q1 = i32x4.add(dot(f35, k1), fz4);
  put(out, i32x4.add(a10, p3), i32x4.add(b10, q3), rounding, shift);
  put(out + 112, i32x4.sub(a10, p3), i32x4.sub(b10, q3), rounding, shift);
  put(out + 16, i32x4.add(a11, p2), i32x4.add(b11, q2), rounding, shift);
  put(out + 96, i32x4.sub(a11, p2), i32x4.sub(b11, q2), rounding, shift);
  put(out + 32, i32x4.add(a12, p1), i32x4.add(b12, q1), rounding, shift);
  put(out + 80, i32x4.sub(a12, p1), i32x4.sub(b12, q1), rounding, shift);
  put(out + 48, i32x4.add(a13, p0), i32x4.add(b13, q0), rounding, shift);
  put(out + 64, i32x4.sub(a13, p0), i32x4.sub(b13, q0), rounding, shift);
}

@inline
function scaled(block: usize, quant: usize): v128 {
  return i16x8.mul(v128.load(block), v128.load(quant));
}

/** Two columns of eight results each as bytes 0..255. */
@inline
function bytesOf(work: usize): v128 {
  return v128.xor(i8x16.narrow_i16x8_s(v128.load(work), v128.load(work, 16)), i8x16.splat(-128));
}

@inline
function putRows(out: usize, stride: usize, rows: v128): void {
  v128.store64_lane(out, rows, 0);
  v128.store64_lane(out + stride, rows, 1);
}

/**
 * Dequantises a block, transforms it and writes 8 x 8 bytes; the block is all 0 afterwards.
 * @param last - index of the last value that is not 0; 0 for a flat block
 * @param work - 128 bytes
 */
function inverse(block: usize, quant: usize, last: i32, out: usize, stride: usize, work: usize): void {
  const zero = i32x4.splat(0);
  if (last === 0) {
    const level = ((<i32>load<i16>(block) * <i32>load<i16>(quant)) << 16) >> 16;
    const flat = i16x8.splat(<i16>((level * 4 + 16) >> 5));
    const row = v128.xor(i8x16.narrow_i16x8_s(flat, flat), i8x16.splat(-128));
    store<i16>(block, 0);
    for (let i = 0; i < 8; i++, out += stride) v128.store64_lane(out, row, 0);
    return;
  }
  transform(
    scaled(block, quant),
    scaled(block + 16, quant + 16),
    scaled(block + 32, quant + 32),
    scaled(block + 48, quant + 48),
    scaled(block + 64, quant + 64),
    scaled(block + 80, quant + 80),
    scaled(block + 96, quant + 96),
    scaled(block + 112, quant + 112),
    11,
    work,
  );
  for (let i: usize = 0; i < 128; i += 16) v128.store(block + i, zero);
  const r0 = v128.load(work);
  const r1 = v128.load(work, 16);
  const r2 = v128.load(work, 32);
  const r3 = v128.load(work, 48);
  const r4 = v128.load(work, 64);
  const r5 = v128.load(work, 80);
  const r6 = v128.load(work, 96);
  const r7 = v128.load(work, 112);
  // Rows to columns: pairs of rows, then of pairs, then of fours.
  const a0 = low(r0, r1);
  const a1 = high(r0, r1);
  const a2 = low(r2, r3);
  const a3 = high(r2, r3);
  const a4 = low(r4, r5);
  const a5 = high(r4, r5);
  const a6 = low(r6, r7);
  const a7 = high(r6, r7);
  const b0 = v128.shuffle<i32>(a0, a2, 0, 4, 1, 5);
  const b1 = v128.shuffle<i32>(a0, a2, 2, 6, 3, 7);
  const b2 = v128.shuffle<i32>(a1, a3, 0, 4, 1, 5);
  const b3 = v128.shuffle<i32>(a1, a3, 2, 6, 3, 7);
  const b4 = v128.shuffle<i32>(a4, a6, 0, 4, 1, 5);
  const b5 = v128.shuffle<i32>(a4, a6, 2, 6, 3, 7);
  const b6 = v128.shuffle<i32>(a5, a7, 0, 4, 1, 5);
  const b7 = v128.shuffle<i32>(a5, a7, 2, 6, 3, 7);
  transform(
    v128.shuffle<i64>(b0, b4, 0, 2),
    v128.shuffle<i64>(b0, b4, 1, 3),
    v128.shuffle<i64>(b1, b5, 0, 2),
    v128.shuffle<i64>(b1, b5, 1, 3),
    v128.shuffle<i64>(b2, b6, 0, 2),
    v128.shuffle<i64>(b2, b6, 1, 3),
    v128.shuffle<i64>(b3, b7, 0, 2),
    v128.shuffle<i64>(b3, b7, 1, 3),
    18,
    work,
  );
  // Columns of bytes back to rows: 01, 23, 45, 67 hold two columns each.
  const c01 = bytesOf(work);
  const c23 = bytesOf(work + 32);
  const c45 = bytesOf(work + 64);
  const c67 = bytesOf(work + 96);
  // Bytes (column 0, column 1) of rows 0..7, and so on.
  const d01 = v128.shuffle<i8>(c01, c01, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const d23 = v128.shuffle<i8>(c23, c23, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const d45 = v128.shuffle<i8>(c45, c45, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const d67 = v128.shuffle<i8>(c67, c67, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const l03 = low(d01, d23);
  const h03 = high(d01, d23);
  const l47 = low(d45, d67);
  const h47 = high(d45, d67);
  putRows(out, stride, v128.shuffle<i32>(l03, l47, 0, 4, 1, 5));
  putRows(out + 2 * stride, stride, v128.shuffle<i32>(l03, l47, 2, 6, 3, 7));
  putRows(out + 4 * stride, stride, v128.shuffle<i32>(h03, h47, 0, 4, 1, 5));
  putRows(out + 6 * stride, stride, v128.shuffle<i32>(h03, h47, 2, 6, 3, 7));
}

/**
 * Decodes neighbouring MCUs of one row.
 * @param scan - int32: components, address of 128 bytes of zeros, of 128 bytes of work, of the zigzag offsets; then per component blocks
 * across and down, DC table, AC table, quantisation, first sample of the row of MCUs, bytes per row of samples, 0
 * @returns 0, or 1 for an impossible stream
 */
export function jpegMcus(scan: usize, from: i32, mcus: i32): i32 {
  const components = load<i32>(scan);
  const block = <usize>load<u32>(scan, 4);
  const work = <usize>load<u32>(scan, 8);
  const order = <usize>load<u32>(scan, 12);
  for (let m = from; m < from + mcus; m++) {
    for (let c = 0; c < components; c++) {
      const component = scan + 16 + (<usize>c << 5);
      const across = load<i32>(component);
      const down = load<i32>(component, 4);
      const dcTable = <usize>load<u32>(component, 8);
      const acTable = <usize>load<u32>(component, 12);
      const quant = <usize>load<u32>(component, 16);
      const stride = <usize>load<u32>(component, 24);
      let row = <usize>load<u32>(component, 20) + (<usize>(m * across) << 3);
      for (let v = 0; v < down; v++, row += stride << 3) {
        for (let h = 0; h < across; h++) {
          const difference = readDc(dcTable);
          if (difference === 1 << 20) return 1;
          let dc: i32;
          if (c === 0) dc = dc0 += difference;
          else if (c === 1) dc = dc1 += difference;
          else dc = dc2 += difference;
          store<i16>(block, dc);
          const last = readAc(block, acTable, order);
          if (last < 0) return 1;
          inverse(block, quant, last, row + (<usize>h << 3), stride, work);
        }
      }
    }
  }
  return 0;
}

/** (a * x + b * y + 2^15) >> 16 of eight pairs of 16-bit values; `weights` holds a and b. */
@inline
function weighted(x: v128, y: v128, weights: v128): v128 {
  const rounding = i32x4.splat(32768);
  return i16x8.narrow_i32x4_s(
    i32x4.shr_s(i32x4.add(dot(low(x, y), weights), rounding), 16),
    i32x4.shr_s(i32x4.add(dot(high(x, y), weights), rounding), 16),
  );
}

/** R = Y + 1.402 Cr: 1.402 * 2^16 = 2^16 + 26345. */
@inline
function red(y: v128, cr: v128): v128 {
  return i16x8.add(y, i16x8.add(cr, weighted(cr, cr, pair(26345, 0))));
}

/** G = Y - .34414 Cb - .71414 Cr: .71414 * 2^16 = 2^16 - 18734. */
@inline
function green(y: v128, cb: v128, cr: v128): v128 {
  return i16x8.add(y, i16x8.sub(weighted(cb, cr, pair(-22554, 18734)), cr));
}

/** B = Y + 1.772 Cb: 1.772 * 2^16 = 2^17 - 14942. */
@inline
function blue(y: v128, cb: v128): v128 {
  return i16x8.add(y, i16x8.add(i16x8.add(cb, cb), weighted(cb, cb, pair(-14942, 0))));
}

/** Sixteen pixels from planes of bytes to r g b r g b. */
@inline
function interleave(out: usize, r: v128, g: v128, b: v128): void {
  v128.store(
    out,
    v128.shuffle<i8>(
      v128.shuffle<i8>(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5),
      b,
      0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15,
    ),
  );
  v128.store(
    out,
    v128.shuffle<i8>(
      v128.shuffle<i8>(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26),
      b,
      0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15,
    ),
    16,
  );
  v128.store(
    out,
    v128.shuffle<i8>(
      v128.shuffle<i8>(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0),
      b,
      26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31,
    ),
    32,
  );
}

/** Sixteen pixels: luma bytes, two halves of centred chroma each. */
@inline
function colour(out: usize, luma: usize, cb0: v128, cb1: v128, cr0: v128, cr1: v128): void {
  const y = v128.load(luma);
  const y0 = i16x8.extend_low_i8x16_u(y);
  const y1 = i16x8.extend_high_i8x16_u(y);
  interleave(
    out,
    i8x16.narrow_i16x8_u(red(y0, cr0), red(y1, cr1)),
    i8x16.narrow_i16x8_u(green(y0, cb0, cr0), green(y1, cb1, cr1)),
    i8x16.narrow_i16x8_u(blue(y0, cb0), blue(y1, cb1)),
  );
}

/** One row of gray pixels. */
export function jpegGrayRow(luma: usize, width: i32, out: usize): void {
  const end = luma + <usize>width;
  for (; luma < end; luma += 16, out += 48) {
    const y = v128.load(luma);
    interleave(out, y, y, y);
  }
}

/** One row with chroma of its own for every pixel. */
export function jpegFullRow(luma: usize, cb: usize, cr: usize, width: i32, out: usize): void {
  const centre = i16x8.splat(128);
  const end = luma + <usize>width;
  for (; luma < end; luma += 16, cb += 16, cr += 16, out += 48) {
    const b = v128.load(cb);
    const r = v128.load(cr);
    colour(
      out,
      luma,
      i16x8.sub(i16x8.extend_low_i8x16_u(b), centre),
      i16x8.sub(i16x8.extend_high_i8x16_u(b), centre),
      i16x8.sub(i16x8.extend_low_i8x16_u(r), centre),
      i16x8.sub(i16x8.extend_high_i8x16_u(r), centre),
    );
  }
}

/** A row of chroma as 16-bit values, 3 * near + far where rows are halved too; its ends are repeated on both sides. */
function chromaSums(near: usize, far: usize, samples: i32, isTall: bool, out: usize): void {
  const three = i16x8.splat(3);
  const end = near + <usize>samples;
  for (let o = out; near < end; near += 8, far += 8, o += 16) {
    let sum = i16x8.extend_low_i8x16_u(v128.load64_zero(near));
    if (isTall) sum = i16x8.add(i16x8.mul(sum, three), i16x8.extend_low_i8x16_u(v128.load64_zero(far)));
    v128.store(o, sum);
  }
  const last = out + (<usize>samples << 1);
  store<i16>(out - 2, load<i16>(out));
  store<i16>(last, load<i16>(last - 2));
}

/** Values at a quarter and three quarters: (3 * this + previous + before) >> shift and (3 * this + next + after) >> shift, centred. */
@inline
function spread(sums: usize, neighbour: usize, bias: v128, shift: i32): v128 {
  const weighted = i16x8.add(i16x8.mul(v128.load(sums), i16x8.splat(3)), i16x8.add(v128.load(neighbour), bias));
  return i16x8.sub(i16x8.shr_u(weighted, shift), i16x8.splat(128));
}

/**
 * One row whose chroma has half the columns, and with `far0` also half the rows: the row of chroma it lies in and the nearer neighbour.
 * @param sums - two rows of `samples` 16-bit values with 32 bytes around each
 */
export function jpegHalfRow(
  luma: usize,
  near0: usize,
  far0: usize,
  near1: usize,
  far1: usize,
  width: i32,
  samples: i32,
  isTall: i32,
  sums: usize,
  out: usize,
): void {
  const sums0 = sums + 16;
  const sums1 = sums + 64 + (<usize>samples << 1);
  chromaSums(near0, far0, samples, isTall !== 0, sums0);
  chromaSums(near1, far1, samples, isTall !== 0, sums1);
  const shift = isTall !== 0 ? 4 : 2;
  const before = i16x8.splat(isTall !== 0 ? 8 : 1);
  const after = i16x8.splat(isTall !== 0 ? 7 : 2);
  const end = luma + <usize>width;
  for (let p = sums0, q = sums1; luma < end; luma += 16, p += 16, q += 16, out += 48) {
    const b0 = spread(p, p - 2, before, shift);
    const b1 = spread(p, p + 2, after, shift);
    const r0 = spread(q, q - 2, before, shift);
    const r1 = spread(q, q + 2, after, shift);
    colour(out, luma, low(b0, b1), high(b0, b1), low(r0, r1), high(r0, r1));
  }
}
