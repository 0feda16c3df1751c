import type { RgbImage } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { noise, paint, pixel } from "../test/support.js";
import { type Affine, IDENTITY, invertAffine } from "./affine.js";
import { flipHorizontal, flipVertical } from "./flip.js";
import { warpAffine } from "./warp.js";

/** The definition: sample at the inverse of each pixel centre, repeat the border, fill outside. */
function reference(image: RgbImage, affine: Affine, width: number, height: number, fill: number): Float64Array {
  const [A, B, C, D, E, F] = invertAffine(affine);
  const out = new Float64Array(width * height * 3).fill(fill);
  const at = (x: number, y: number, c: number) => {
    const cx = Math.min(image.width - 1, Math.max(0, x));
    const cy = Math.min(image.height - 1, Math.max(0, y));
    return image.data[(cy * image.width + cx) * 3 + c]!;
  };
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const u = A * (j + 0.5) + B * (i + 0.5) + C;
      const v = D * (j + 0.5) + E * (i + 0.5) + F;
      if (u < 0 || u >= image.width || v < 0 || v >= image.height) continue;
      const x = Math.floor(u - 0.5);
      const y = Math.floor(v - 0.5);
      const fx = u - 0.5 - x;
      const fy = v - 0.5 - y;
      for (let c = 0; c < 3; c++) {
        const top = at(x, y, c) * (1 - fx) + at(x + 1, y, c) * fx;
        const bottom = at(x, y + 1, c) * (1 - fx) + at(x + 1, y + 1, c) * fx;
        out[(i * width + j) * 3 + c] = top * (1 - fy) + bottom * fy;
      }
    }
  }
  return out;
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
};

describe("warpAffine", () => {
  const image = noise(31, 23);

  test("identity and whole-pixel moves copy bytes", () => {
    expect(warpAffine(image, IDENTITY, { width: 31, height: 23 }).data).toEqual(image.data);
    const moved = warpAffine(image, [1, 0, 3, 0, 1, -2], { width: 31, height: 23, fill: 9 });
    expect(pixel(moved, 3, 0)).toEqual(pixel(image, 0, 2));
    expect(pixel(moved, 30, 20)).toEqual(pixel(image, 27, 22));
    expect(pixel(moved, 2, 0)).toEqual([9, 9, 9]);
    expect(pixel(moved, 3, 21)).toEqual([9, 9, 9]);
  });
  test("mirrors like the flips, turns by 90 degrees without loss", () => {
    const sample = { image, instances: [] };
    const size = { width: 31, height: 23 };
    expect(warpAffine(image, [-1, 0, 31, 0, 1, 0], size).data).toEqual(flipHorizontal(sample).image.data);
    expect(warpAffine(image, [1, 0, 0, 0, -1, 23], size).data).toEqual(flipVertical(sample).image.data);
    const turned = warpAffine(image, [0, -1, 23, 1, 0, 0], { width: 23, height: 31 });
    expect(pixel(turned, 22 - 4, 7)).toEqual(pixel(image, 7, 4));
  });
  test("a reduction below 0.6 averages blocks", () => {
    const board = { width: 8, height: 8, data: new Uint8Array(192) };
    for (let y = 0; y < 8; y++) for (let x = y % 2; x < 8; x += 2) paint(board, [x, y, x + 1, y + 1], [200, 100, 50]);
    const half = warpAffine(board, [0.5, 0, 0, 0, 0.5, 0], { width: 4, height: 4 });
    for (let i = 0; i < 16; i++) expect(pixel(half, i % 4, i >> 2)).toEqual([100, 50, 25]);
  });
  test.each([
    [2, 12, 8],
    [2, 13, 9],
    [3, 12, 9],
    [4, 17, 8],
  ])("a reduction by %i of %i x %i px is the mean of whole blocks", (k, width, height) => {
    const source = noise(width, height);
    const size = { width: Math.floor(width / k), height: Math.floor(height / k) };
    const out = warpAffine(source, [1 / k, 0, 0, 0, 1 / k, 0], size);
    for (let y = 0; y < size.height; y++) {
      for (let x = 0; x < size.width; x++) {
        let sum = 0;
        for (let v = 0; v < k; v++) for (let u = 0; u < k; u++) sum += pixel(source, x * k + u, y * k + v)[1]!;
        expect(pixel(out, x, y)[1]).toBe(Math.floor((sum + ((k * k) >> 1)) / (k * k)));
      }
    }
  });
  test("a reduction covers exactly the scaled extent, odd sizes too", () => {
    const white = { width: 7, height: 5, data: new Uint8Array(105).fill(255) };
    const out = warpAffine(white, [0.5, 0, 1, 0, 0.5, 1], { width: 8, height: 6, fill: 0 });
    // 7 * 0.5 + 1 = 4.5: columns 1..3 have their centre below, column 4 has it exactly at the open end.
    const row = Array.from({ length: 8 }, (_, x) => pixel(out, x, 2)[0]);
    expect(row).toEqual([0, 255, 255, 255, 0, 0, 0, 0]);
  });
  test("agrees with the definition for scale and shift", () => {
    const gain = fc.double({ min: 0.61, max: 3, noNaN: true });
    const shift = fc.double({ min: -20, max: 20, noNaN: true });
    fc.assert(
      fc.property(gain, gain, shift, shift, (sx, sy, tx, ty) => {
        const affine: Affine = [sx, 0, tx, 0, sy, ty];
        const out = warpAffine(image, affine, { width: 40, height: 30 });
        return worst(out.data, reference(image, affine, 40, 30, 114)) < 1;
      }),
      { numRuns: 200, seed: 1 },
    );
  });
  test("agrees with the definition under rotation", () => {
    // Smooth content: 16.16 steps move a sample by up to 0.001 px, which noise would turn into levels.
    const smooth: RgbImage = {
      width: 31,
      height: 23,
      data: Uint8Array.from({ length: 31 * 23 * 3 }, (_, i) => {
        const p = Math.floor(i / 3);
        return 3 * (p % 31) + 4 * Math.floor(p / 31) + 10 * (i % 3);
      }),
    };
    const angle = fc.double({ min: 0.1, max: 3, noNaN: true });
    const gain = fc.double({ min: 0.7, max: 2, noNaN: true });
    fc.assert(
      fc.property(angle, gain, (a, s) => {
        const [cos, sin] = [Math.cos(a) * s, Math.sin(a) * s];
        const affine: Affine = [cos, -sin, 20 - cos * 15 + sin * 11, sin, cos, 15 - sin * 15 - cos * 11];
        const out = warpAffine(smooth, affine, { width: 40, height: 30 });
        return worst(out.data, reference(smooth, affine, 40, 30, 114)) < 1;
      }),
      { numRuns: 100, seed: 1 },
    );
  });
  test("refuses singular maps and broken images", () => {
    const size = { width: 4, height: 4 };
    expect(() => warpAffine(image, [0, 0, 0, 0, 1, 0], size)).toThrowError(
      expect.objectContaining({ code: "invalid_affine" }),
    );
    expect(() => warpAffine({ ...image, width: 30 }, IDENTITY, size)).toThrowError(
      expect.objectContaining({ code: "invalid_image" }),
    );
    expect(() => warpAffine(image, IDENTITY, { width: 0, height: 4 })).toThrowError(
      expect.objectContaining({ code: "invalid_option" }),
    );
  });
});
