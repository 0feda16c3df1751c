import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RleError } from "../errors.js";
import type { Rle } from "../types.js";
import { mask } from "./index.js";

const rle = (counts: number[], height = 3, width = 4): Rle => mask.fromUncompressed(counts, height, width);

describe("mask.toString and mask.fromString", () => {
  test.each([
    [[0, 5, 7], "057"],
    [[12], "<"],
    [[0, 12], "0<"],
    [[3, ...Array.from({ length: 20 }, () => 1)], "311000000000000000000"],
    [[100000, 2, 3, 500000, 1, 7], "PeQ323nXX?NWgg@"],
  ])("%j is %s", (counts, text) => {
    expect(mask.toString(rle(counts))).toBe(text);
    expect(Array.from(mask.fromString(text, 3, 4).counts)).toEqual(counts);
  });

  test.each([
    ["a character outside 0..o", "05~"],
    ["a string that ends inside a number", "0P"],
    ["a number of more than six characters", "PPPPPPPP1"],
    ["a negative run", "0O"],
  ])("refuses %s", (_, text) => {
    expect(() => mask.fromString(text, 3, 4)).toThrow(expect.objectContaining({ code: "coco/rle", reason: "string" }));
  });
});

describe("mask.fromPolygons", () => {
  test.each([
    [[1, 1, 3, 1, 3, 3, 1, 3], "7240a0", 4, [1, 1, 2, 2]],
    [[0.5, 0.5, 2.5, 0.5, 2.5, 2.5, 0.5, 2.5], "7240a0", 4, [1, 1, 2, 2]],
    [[0, 0, 4, 0, 4, 4, 0, 4], "04200000<", 16, [0, 0, 4, 4]],
    [[1, 1, 1, 1, 1, 1], "T1", 0, [0, 0, 0, 0]],
    [[0, 0, 10, 0, 10, 10, 0, 10], "0T1", 36, [0, 0, 6, 6]],
    [[-2, -2, 3, -2, 3, 3, -2, 3], "033000b0", 9, [0, 0, 3, 3]],
    [[1, 1, 4, 4, 1, 4], "734O1O9", 6, [1, 1, 3, 3]],
    [[0, 0, 5, 5, 0, 5, 5, 0], "411011O30L113O2", 13, [0, 0, 5, 5]],
    [[1.2, 0.7, 4.9, 2.3, 3.1, 5.4, 0.4, 3.8], "3132010O0N6", 12, [0, 1, 5, 4]],
  ])("%j on 6 x 6 is %s", (polygon, text, area, bbox) => {
    const result = mask.fromPolygons([polygon], 6, 6);
    expect(mask.toString(result)).toBe(text);
    expect(mask.area(result)).toBe(area);
    expect(mask.toBbox(result)).toEqual(bbox);
  });

  test("unions parts, so a second part is no hole", () => {
    const parts = [
      [0, 0, 4, 0, 4, 4, 0, 4],
      [1, 1, 3, 1, 3, 3, 1, 3],
    ];
    expect(mask.area(mask.fromPolygons(parts, 6, 6))).toBe(16);
  });

  test.each([[[1, 1, 2, 2]], [[1, 1, 2, 2, 3, 3, 4]], [[1, 1, 2, 2, 3, Number.NaN]]])("refuses the part %j", (part) => {
    expect(() => mask.fromPolygons([part], 6, 6)).toThrow(expect.objectContaining({ code: "coco/polygon" }));
  });
});

describe("mask.fromBbox", () => {
  test.each([
    [
      [0.4, 0.4, 2, 2],
      [0, 0, 2, 2],
    ],
    [
      [0.6, 0.6, 2, 2],
      [1, 1, 2, 2],
    ],
    [
      [1.5, 1.5, 2, 2],
      [2, 2, 2, 2],
    ],
  ])("%j on 6 x 6 covers %j", (box, covered) => {
    expect(mask.toBbox(mask.fromBbox(box, 6, 6))).toEqual(covered);
  });
});

describe("mask.decode and mask.encode", () => {
  test("runs are column-major, bitmaps row-major", () => {
    expect(Array.from(mask.decode(rle([1, 2, 9])))).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  });

  test("a wrong sum is an error; a short one is filled when lenient", () => {
    expect(() => mask.decode(rle([1, 2]))).toThrow(expect.objectContaining({ code: "coco/rle", reason: "length" }));
    expect(mask.decode(rle([1, 2]), { lenient: true }).length).toBe(12);
    expect(() => mask.decode(rle([1, 12]), { lenient: true })).toThrow(RleError);
  });

  test("values other than 0 and 1 are refused", () => {
    expect(() => mask.encode([0, 255], 1, 2)).toThrow(expect.objectContaining({ reason: "value" }));
  });
});

describe("mask.toBbox", () => {
  test("an empty trailing run is no foreground", () => {
    expect(mask.toBbox(rle([12, 0]))).toEqual([0, 0, 0, 0]);
  });
});

describe("mask.iou, mask.merge, mask.bboxIou", () => {
  const a = mask.fromBbox([0, 0, 4, 4], 8, 8);
  const b = mask.fromBbox([2, 2, 4, 4], 8, 8);

  test("two squares", () => {
    expect(mask.area(mask.merge([a, b]))).toBe(28);
    expect(mask.area(mask.merge([a, b], { intersect: true }))).toBe(4);
    expect(mask.iou([a], [b])[0]).toBe(1 / 7);
    expect(mask.iou([a], [b], [true])[0]).toBe(0.25);
  });

  test("a crowd's denominator is the detection's area", () => {
    const [plain, crowd] = [[false], [true]].map((flag) => mask.bboxIou([[0, 0, 10, 10]], [[5, 0, 100, 100]], flag)[0]);
    expect(plain).toBeCloseTo(0.00497512, 8);
    expect(crowd).toBe(0.5);
  });

  test("masks of different sizes are refused", () => {
    const other = mask.fromBbox([0, 0, 4, 4], 8, 9);
    expect(mask.iou([a], [other], [], { compat: "pycocotools" })[0]).toBe(-1);
    expect(() => mask.iou([a], [other])).toThrow(expect.objectContaining({ code: "coco/rle", reason: "size" }));
    expect(() => mask.merge([a, other])).toThrow(expect.objectContaining({ code: "coco/rle", reason: "size" }));
  });

  test("a zero run at the same place in both does not end the walk", () => {
    const zero = mask.fromUncompressed([1, 1, 0, 0, 0, 2, 8], 3, 4);
    expect(mask.area(mask.merge([zero, zero]))).toBe(3);
    expect(mask.iou([zero], [zero])[0]).toBe(1);
  });
});

describe("mask.toPolygons", () => {
  test("a ring with a hole is one part with a bridge", () => {
    const pixels = [1, 1, 1, 1, 0, 1, 1, 1, 1];
    const parts = mask.toPolygons(mask.encode(pixels, 3, 3));
    expect(parts.map((part) => Array.from(part))).toEqual([
      [0, 0, 3, 0, 3, 3, 0, 3, 1, 2, 2, 2, 2, 1, 1, 1, 1, 2, 0, 3],
    ]);
  });

  test("simplified outlines stay within the tolerance and lose little", () => {
    const pixels = Array.from({ length: 60 * 60 }, (_, i) =>
      Number(Math.hypot((i % 60) - 30, Math.floor(i / 60) - 30) < 22),
    );
    const disc = mask.encode(pixels, 60, 60);
    const [exact] = mask.toPolygons(disc);
    const [rough] = mask.toPolygons(disc, { simplify: 1.5 });
    expect(rough!.length).toBeLessThan(exact!.length / 3);
    expect(mask.iou([mask.fromPolygons([rough!], 60, 60)], [disc])[0]).toBeGreaterThan(0.9);
    // What would lose its area stays.
    expect(mask.toPolygons(mask.encode([1], 1, 1), { simplify: 5 })[0]!.length).toBe(8);
  });

  test("pixels that touch at a corner are two parts", () => {
    expect(mask.toPolygons(mask.encode([1, 0, 0, 1], 2, 2)).length).toBe(2);
  });
});

const bitmaps = fc
  .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }), fc.double({ min: 0, max: 1, noNaN: true }))
  .chain(([height, width, density]) =>
    fc
      .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: height * width, maxLength: height * width })
      .map((values) => ({ height, width, pixels: Uint8Array.from(values, (value) => Number(value < density)) })),
  );

describe("properties", () => {
  test("decode of encode, fromString of toString and fromPolygons of toPolygons restore the mask", () => {
    fc.assert(
      fc.property(bitmaps, ({ height, width, pixels }) => {
        const encoded = mask.encode(pixels, height, width);
        expect(mask.decode(encoded)).toEqual(pixels);
        expect(mask.fromString(mask.toString(encoded), height, width)).toEqual(encoded);
        expect(mask.fromPolygons(mask.toPolygons(encoded), height, width)).toEqual(encoded);
      }),
      { numRuns: 300 },
    );
  });

  test("IoU is symmetric without crowds and merges agree with the pixels", () => {
    fc.assert(
      fc.property(bitmaps, fc.infiniteStream(fc.boolean()), ({ height, width, pixels }, stream) => {
        const other = Uint8Array.from(pixels, () => Number(stream.next().value));
        const [a, b] = [mask.encode(pixels, height, width), mask.encode(other, height, width)];
        expect(mask.iou([a], [b])).toEqual(mask.iou([b], [a]));
        expect(mask.decode(mask.merge([a, b]))).toEqual(pixels.map((value, i) => value | other[i]!));
        expect(mask.decode(mask.merge([a, b], { intersect: true }))).toEqual(
          pixels.map((value, i) => value & other[i]!),
        );
      }),
    );
  });
});
