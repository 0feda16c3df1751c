import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rectangle } from "../test/support.js";
import { applyAffine, composeAffine, invertAffine } from "./affine.js";
import { clipPolygon, polygonArea, polygonBounds } from "./polygon.js";
import { rasterizePolygons } from "./rasterize.js";

const vertices = (min: number, max: number) =>
  fc
    .array(fc.tuple(fc.double({ min, max, noNaN: true }), fc.double({ min, max, noNaN: true })), {
      minLength: 3,
      maxLength: 9,
    })
    .map((points) => Float64Array.from(points.flat()));

/** Even-odd rule by crossings to the left of the point. */
function contains(polygon: Float64Array, px: number, py: number): boolean {
  let inside = false;
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const [x0, y0, x1, y1] = [polygon[j]!, polygon[j + 1]!, polygon[i]!, polygon[i + 1]!];
    if (y0 <= py !== y1 <= py && x0 + ((py - y0) * (x1 - x0)) / (y1 - y0) <= px) inside = !inside;
  }
  return inside;
}

/** Smallest distance of a crossing of the point's row, where rounding may decide. */
function nearCrossing(polygon: Float64Array, px: number, py: number): boolean {
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const [x0, y0, x1, y1] = [polygon[j]!, polygon[j + 1]!, polygon[i]!, polygon[i + 1]!];
    if (Math.min(Math.abs(y0 - py), Math.abs(y1 - py)) < 1e-9) return true;
    if (y0 <= py !== y1 <= py && Math.abs(x0 + ((py - y0) * (x1 - x0)) / (y1 - y0) - px) < 1e-9) return true;
  }
  return false;
}

describe("affine maps", () => {
  test("compose in the order of their names", () => {
    const both = composeAffine([2, 0, 0, 0, 2, 0], [1, 0, 5, 0, 1, -1]);
    expect(applyAffine(both, 3, 4)).toEqual([11, 7]);
  });
  test("invert", () => {
    const affine = [0.5, 0.2, 3, -0.1, 1.5, 9] as const;
    const [x, y] = applyAffine(invertAffine(affine), ...applyAffine(affine, 7, -2));
    expect(x).toBeCloseTo(7, 12);
    expect(y).toBeCloseTo(-2, 12);
    expect(() => invertAffine([1, 2, 0, 2, 4, 0])).toThrowError(expect.objectContaining({ code: "invalid_affine" }));
    expect(() => invertAffine([Number.NaN, 0, 0, 0, 1, 0])).toThrowError(
      expect.objectContaining({ code: "invalid_affine" }),
    );
  });
});

describe("clipPolygon", () => {
  test("keeps what is inside, drops what is outside", () => {
    const inner = rectangle([2, 3, 5, 6]);
    expect(clipPolygon(inner, [0, 0, 10, 10])).toEqual(inner);
    expect(clipPolygon(rectangle([20, 3, 25, 6]), [0, 0, 10, 10])).toBeNull();
    expect(clipPolygon(new Float64Array(0), [0, 0, 10, 10])).toBeNull();
  });
  test("cuts a rectangle at the border", () => {
    const cut = clipPolygon(rectangle([-5, -5, 4, 20]), [0, 0, 10, 10])!;
    expect(polygonBounds([cut])).toEqual([0, 0, 4, 10]);
    expect(polygonArea(cut)).toBe(40);
  });
  test("leaves no spike where a loop ran outside", () => {
    // A block at the left edge with an arm that runs outside, up and around the corner.
    const polygon = Float64Array.of(2, 6, 2, 8, -4, 8, -4, -4, 8, -4, 8, -3, -3, -3, -3, 6);
    const cut = clipPolygon(polygon, [0, 0, 10, 10])!;
    expect(polygonBounds([cut])).toEqual([0, 6, 2, 8]);
    expect(polygonArea(cut)).toBe(4);
  });
  test("the raster of the clipped polygon is the raster of the polygon", () => {
    fc.assert(
      fc.property(vertices(-10, 30), (polygon) => {
        const clipped = clipPolygon(polygon, [0, 0, 20, 20]);
        const options = { width: 40, height: 40, scaleX: 2, scaleY: 2 };
        const whole = rasterizePolygons({ ...options, polygons: [polygon] });
        const part = rasterizePolygons({ ...options, polygons: clipped === null ? [] : [clipped] });
        for (let i = 0; i < 40; i++) {
          for (let j = 0; j < 40; j++) {
            const [x, y] = [(j + 0.5) / 2, (i + 0.5) / 2];
            if (whole[i * 40 + j] !== part[i * 40 + j] && !nearCrossing(polygon, x, y)) return false;
          }
        }
        return true;
      }),
      { numRuns: 300, seed: 1 },
    );
  });
  test("stays in the rectangle", () => {
    fc.assert(
      fc.property(vertices(-10, 30), (polygon) => {
        const clipped = clipPolygon(polygon, [0, 0, 20, 20]);
        if (clipped === null) return true;
        const [x1, y1, x2, y2] = polygonBounds([clipped])!;
        return x1 >= 0 && y1 >= 0 && x2 <= 20 && y2 <= 20;
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});

describe("rasterizePolygons", () => {
  const rows = (grid: Uint8Array, width: number) =>
    Array.from({ length: grid.length / width }, (_, i) => grid.subarray(i * width, (i + 1) * width).join(""));

  test("fills by cell centres: left and top edges belong to the shape", () => {
    const grid = rasterizePolygons({ polygons: [rectangle([0.5, 0.5, 2.5, 1.5])], width: 4, height: 3 });
    expect(rows(grid, 4)).toEqual(["1100", "0000", "0000"]);
  });
  test("samples a quarter grid at its own centres", () => {
    const polygons = [rectangle([0, 0, 8, 4])];
    const grid = rasterizePolygons({ polygons, width: 4, height: 2, scaleX: 0.25, scaleY: 0.25 });
    expect(rows(grid, 4)).toEqual(["1100", "0000"]);
  });
  test("cuts holes within a part and unites parts", () => {
    // Outer square and inner square in one ring, joined by a bridge: even-odd leaves a hole.
    const ring = Float64Array.of(0, 0, 5, 0, 5, 5, 0, 5, 0, 0, 1, 1, 4, 1, 4, 4, 1, 4, 1, 1);
    const hole = rasterizePolygons({ polygons: [ring], width: 5, height: 5 });
    expect(rows(hole, 5)).toEqual(["11111", "10001", "10001", "10001", "11111"]);
    const two = [rectangle([0, 0, 3, 1]), rectangle([1, 0, 4, 1])];
    expect(rows(rasterizePolygons({ polygons: two, width: 5, height: 1 }), 5)).toEqual(["11110"]);
  });
  test("ignores degenerate and outlying parts", () => {
    const polygons = [Float64Array.of(1, 1, 2, 2), rectangle([-9, -9, -1, -1]), rectangle([0, 50, 9, 60])];
    expect(rasterizePolygons({ polygons, width: 5, height: 5 }).every((v) => v === 0)).toBe(true);
  });
  test("refuses an empty grid", () => {
    expect(() => rasterizePolygons({ polygons: [], width: 0, height: 5 })).toThrowError(
      expect.objectContaining({ code: "invalid_option" }),
    );
  });
  test("agrees with the even-odd rule at every cell", () => {
    const scale = fc.constantFrom(0.25, 0.5, 1, 1.5, 2);
    fc.assert(
      fc.property(fc.array(vertices(-10, 30), { minLength: 1, maxLength: 3 }), scale, scale, (polygons, sx, sy) => {
        const grid = rasterizePolygons({ polygons, width: 23, height: 17, scaleX: sx, scaleY: sy });
        for (let i = 0; i < 17; i++) {
          for (let j = 0; j < 23; j++) {
            const [x, y] = [(j + 0.5) / sx, (i + 0.5) / sy];
            const expected = polygons.some((polygon) => contains(polygon, x, y));
            if ((grid[i * 23 + j] === 1) !== expected && !polygons.some((p) => nearCrossing(p, x, y))) return false;
          }
        }
        return true;
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});
