import { describe, expect, test } from "vitest";
import { float16ToFloat32, float32ToFloat16 } from "./float16.js";

describe("float32ToFloat16", () => {
  test.each([
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [1 + 2 ** -11, 0x3c00], // tie to even, down
    [1 + 3 * 2 ** -11, 0x3c02], // tie to even, up
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [2 - 2 ** -12, 0x4000], // carries into the exponent
    [2 ** -14, 0x0400],
    [2 ** -14 - 2 ** -25, 0x0400], // subnormal rounds up to the smallest normal
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // tie to even, zero
    [2 ** -25 + 2 ** -40, 0x0001],
    [3 * 2 ** -25, 0x0002], // tie to even between 1 and 2 units
    [1e-30, 0x0000],
  ])("%f -> %i", (value, bits) => expect(float32ToFloat16(Float32Array.of(value))[0]).toBe(bits));

  test("keeps NaN", () => expect(float16ToFloat32(float32ToFloat16(Float32Array.of(Number.NaN)))[0]).toBeNaN());
});

describe("float16ToFloat32", () => {
  test("is inverted by float32ToFloat16 for all bit patterns but NaN", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const back = float32ToFloat16(float16ToFloat32(all));
    for (let i = 0; i < all.length; i++) {
      const isNaN16 = (i & 0x7c00) === 0x7c00 && (i & 0x3ff) !== 0;
      if (!isNaN16 && back[i] !== i) expect.fail(`${i} -> ${back[i]}`);
    }
    expect(float16ToFloat32(Uint16Array.of(0x3555))[0]).toBe(0.333251953125);
  });
});
