import type { RgbImage } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { digest, sha256, syn } from "../test/support.js";
import type { PillowFilter } from "./pillow-coefficients.js";
import { resizeCv2Linear } from "./resize-cv2.js";
import { resizeCv2Area } from "./resize-cv2-area.js";
import { resizeCv2Nearest } from "./resize-cv2-nearest.js";
import { resizeNearest, resizePillow } from "./resize-pillow.js";
import { resizeTorchBilinear } from "./resize-torch.js";

/** Spec preprocess.md section 5; Pillow 12.3, OpenCV 5.0 x64. */
const TABLE: [from: [number, number], to: [number, number], pillow: string | null, cv2: string][] = [
  [[640, 427], [1024, 683], "af92ccae8ea1d81b 267198315", "f880ede1ceae4bb4 266936292"],
  [[640, 427], [1199, 800], "8a83d82e47a62562 366464859", "f6b3b32cfca860e9 366080369"],
  [[1920, 1080], [1333, 750], "6aa7540c8983225f 382279987", "4b46111b01c8fa3a 381835219"],
  [[1920, 1080], [640, 360], "0d4e3a531f8b1595 88068748", "bc66854952095122 88081920"],
  [[1920, 1080], [960, 540], null, "469ae0f4696aa7e0 198459008"],
  [[97, 61], [640, 402], "df66cc87fd5d61ad 94428610", "e7712f0eb669b6ec 94326082"],
  [[333, 500], [426, 640], "5604389c4f9281bc 104239093", "604334febe7fd496 104131637"],
];

const ramp: RgbImage = {
  width: 8,
  height: 1,
  data: Uint8Array.from({ length: 24 }, (_, i) => 30 * Math.floor(i / 3)),
};
const red = (image: RgbImage): number[] => Array.from({ length: image.width }, (_, x) => image.data[x * 3]!);

test("syn is the picture of the specification", () => {
  const image = syn(8, 6);
  expect(image.data.reduce((a, b) => a + b, 0)).toBe(4776);
  expect(sha256(image.data).slice(0, 16)).toBe("144e5ecd033b189f");
});

describe("resizePillow", () => {
  test("resamples a ramp as Pillow does", () => {
    expect(red(resizePillow(ramp, 16, 1))).toEqual([
      0, 8, 23, 38, 53, 68, 83, 98, 113, 128, 143, 158, 173, 188, 203, 210,
    ]);
    expect(red(resizePillow(ramp, 5, 1))).toEqual([12, 58, 105, 152, 198]);
    expect(red(resizePillow(ramp, 3, 1))).toEqual([33, 105, 177]);
  });
  test.each(TABLE.filter((row) => row[2] !== null))("%j -> %j equals Pillow byte by byte", (from, to, expected) => {
    expect(digest(resizePillow(syn(...from), ...to))).toBe(expected);
  });
  test("returns a copy when nothing changes", () => {
    const image = syn(5, 4);
    const same = resizePillow(image, 5, 4);
    expect(same.data).toEqual(image.data);
    expect(same.data.buffer).not.toBe(image.data.buffer);
  });
  test("refuses empty sizes and pixels of another length", () => {
    expect(() => resizePillow(ramp, 0, 1)).toThrowError(expect.objectContaining({ code: "zero_dimension" }));
    const short = { width: 8, height: 2, data: ramp.data };
    expect(() => resizePillow(short, 4, 4)).toThrowError(expect.objectContaining({ code: "config_invalid" }));
  });
});

describe("resizeCv2Linear", () => {
  test("resamples a ramp as OpenCV does", () => {
    expect(red(resizeCv2Linear(ramp, 16, 1))).toEqual([
      0, 8, 23, 38, 53, 68, 83, 98, 113, 128, 143, 158, 173, 188, 203, 210,
    ]);
    expect(red(resizeCv2Linear(ramp, 5, 1))).toEqual([9, 57, 105, 153, 201]);
    expect(red(resizeCv2Linear(ramp, 3, 1))).toEqual([25, 105, 185]);
  });
  test.each(TABLE)("%j -> %j equals OpenCV byte by byte", (from, to, _pillow, expected) => {
    expect(digest(resizeCv2Linear(syn(...from), ...to))).toBe(expected);
  });
});

describe("resizeTorchBilinear", () => {
  const data = Float32Array.of(0, 10, 20, 40);
  test.each([
    [7, [0, 3.571429, 9.285714, 15, 21.428571, 32.857143, 40]],
    [3, [1.666667, 15, 36.666667]],
    [8, [0, 2.5, 7.5, 12.5, 17.5, 25, 35, 40]],
  ])("0 10 20 40 -> %i values equals torch", (outWidth, expected) => {
    const out = resizeTorchBilinear({ data, width: 4, height: 1, outWidth, outHeight: 1 });
    expected.forEach((value, i) => {
      expect(out[i]).toBeCloseTo(value, 5);
    });
  });
  test("treats the axes alike", () => {
    const wide = resizeTorchBilinear({ data, width: 4, height: 1, outWidth: 7, outHeight: 1 });
    const tall = resizeTorchBilinear({ data, width: 1, height: 4, outWidth: 1, outHeight: 7 });
    expect(tall).toEqual(wide);
  });
  test("keeps planes apart", () => {
    const two = Float32Array.of(0, 10, 20, 40, 5, 5, 5, 5);
    const out = resizeTorchBilinear({ data: two, planes: 2, width: 4, height: 1, outWidth: 3, outHeight: 2 });
    expect([...out.subarray(6)]).toEqual([5, 5, 5, 5, 5, 5]);
  });
  test("refuses data of another length", () => {
    expect(() => resizeTorchBilinear({ data, width: 3, height: 1, outWidth: 2, outHeight: 1 })).toThrowError(
      expect.objectContaining({ code: "config_invalid" }),
    );
  });
});

describe("every kernel", () => {
  const side = fc.integer({ min: 1, max: 40 });
  const filters: PillowFilter[] = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"];
  const kernels: [string, (image: RgbImage, w: number, h: number) => RgbImage][] = [
    ...filters.map((filter): [string, (image: RgbImage, w: number, h: number) => RgbImage] => [
      filter,
      (image, w, h) => resizePillow(image, w, h, { filter }),
    ]),
    ["cv2", resizeCv2Linear],
    ["nearest", resizeNearest],
  ];
  test.each(kernels)("%s keeps a constant picture constant and is flip-safe in size", (_name, kernel) => {
    fc.assert(
      fc.property(side, side, side, side, fc.integer({ min: 0, max: 255 }), (w, h, toW, toH, value) => {
        const out = kernel({ width: w, height: h, data: new Uint8Array(w * h * 3).fill(value) }, toW, toH);
        return out.data.length === toW * toH * 3 && out.data.every((byte) => byte === value);
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});

/** OpenCV 5.0 x64, `cv2.resize(syn(w, h), (W, H), interpolation=...)`: enlarging, shrinking by whole and other factors, one side each way. */
const OTHER_CV2: ["nearest" | "area", from: [number, number], to: [number, number], expected: string][] = [
  ["nearest", [640, 427], [1024, 683], "4451ca6148ad0673 267176704"],
  ["area", [640, 427], [1024, 683], "119eb3dbcc19895f 267034657"],
  ["nearest", [640, 427], [1199, 800], "b82bede5529acf9b 366472103"],
  ["area", [640, 427], [1199, 800], "98c81614202add9e 366260587"],
  ["nearest", [1920, 1080], [1333, 750], "a868bcc65a4e30d0 382188088"],
  ["area", [1920, 1080], [1333, 750], "87932dc5f3bbdf72 382245848"],
  ["nearest", [1920, 1080], [640, 360], "5cb3d7ac1ae6ee85 88091392"],
  ["area", [1920, 1080], [640, 360], "e029c8a2e695d251 88108052"],
  ["nearest", [1920, 1080], [960, 540], "8cb0c2f748e0f829 197335552"],
  ["area", [1920, 1080], [960, 540], "469ae0f4696aa7e0 198459008"],
  ["nearest", [97, 61], [640, 402], "2ff85ff22ad1fdb4 94363628"],
  ["area", [97, 61], [640, 402], "a18d993d5e66d605 94411594"],
  ["nearest", [333, 500], [426, 640], "a2d5655c992e0fb5 104245088"],
  ["area", [333, 500], [426, 640], "8c1fad3a239a4e9a 104156766"],
  ["nearest", [333, 500], [100, 640], "97c9fdfc4f98192a 24455456"],
  ["area", [333, 500], [100, 640], "469484cee8d25abf 24451917"],
  ["nearest", [97, 61], [13, 11], "fa8638043d24710c 53666"],
  ["area", [97, 61], [13, 11], "a0b321bd6ff96324 52488"],
];

describe.each([
  ["nearest", resizeCv2Nearest],
  ["area", resizeCv2Area],
] as const)("OpenCV's %s kernel", (name, resize) => {
  test.each(OTHER_CV2.filter(([kernel]) => kernel === name))(
    "%s %j -> %j equals OpenCV byte by byte",
    (_, from, to, expected) => {
      expect(digest(resize(syn(...from), ...to))).toBe(expected);
    },
  );
  test("keeps a constant picture, also of one pixel, and never aliases its input", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        fc.nat({ max: 255 }),
        (from, to, level) => {
          const image = { width: from, height: 21 - from, data: new Uint8Array(from * (21 - from) * 3).fill(level) };
          const resized = resize(image, to, 21 - to);
          expect(resized.data).toEqual(new Uint8Array(to * (21 - to) * 3).fill(level));
          expect(resized.data.buffer).not.toBe(image.data.buffer);
        },
      ),
    );
  });
  test("refuses empty sizes", () => {
    expect(() => resize(ramp, 0, 1)).toThrowError(expect.objectContaining({ code: "zero_dimension" }));
  });
});
