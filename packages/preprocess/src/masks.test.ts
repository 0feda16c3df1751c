import { createHash } from "node:crypto";
import { type Box, type CocoAnnotation, mask } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { syn } from "../test/support.js";
import { mapBoxToModel } from "./geometry.js";
import { letterboxGeometry } from "./letterbox.js";
import { mapAnnotations } from "./map-annotations.js";
import { mapMaskToImage, mapMaskToModel } from "./map-mask.js";
import { prepareSam2, sam2Geometry } from "./prepare-sam2.js";
import { resizeTorchBilinear } from "./resize-torch.js";
import { sam2MaskToImage } from "./sam-mask.js";
import { type YoloMaskMode, yoloMaskToImage } from "./yolo-mask.js";

describe("mapMaskToModel", () => {
  test("samples at pixel centres and leaves the padding 0", () => {
    const geometry = letterboxGeometry(4, 2, { size: 8 });
    // Content 8 x 4 at (0, 2): every pixel doubled.
    const out = mapMaskToModel(Uint8Array.of(1, 0, 0, 1, 0, 1, 1, 0), geometry);
    const rows = Array.from({ length: 8 }, (_, y) => [...out.subarray(y * 8, y * 8 + 8)].join(""));
    expect(rows).toEqual([
      "00000000",
      "00000000",
      "11000011",
      "11000011",
      "00111100",
      "00111100",
      "00000000",
      "00000000",
    ]);
  });
  test("refuses a mask of another size", () => {
    expect(() => mapMaskToModel(new Uint8Array(7), letterboxGeometry(4, 2))).toThrowError(
      expect.objectContaining({ code: "config_invalid" }),
    );
  });
  test("identity at the same size", () => {
    const geometry = letterboxGeometry(32, 32, { size: 32 });
    const given = Uint8Array.from({ length: 1024 }, (_, i) => ((i * 7) % 3) & 1);
    expect(mapMaskToModel(given, geometry)).toEqual(given);
    const logits = Float32Array.from(given, (v) => v - 0.5);
    expect(mapMaskToImage(logits, { gridW: 32, gridH: 32, geometry })).toEqual(logits);
  });
  test("forward and back moves a boundary by less than a pixel", () => {
    const side = fc.integer({ min: 20, max: 200 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 4, max: 16 }), (w, h, edge) => {
        const geometry = letterboxGeometry(w, h, { size: 256 });
        const given = Uint8Array.from({ length: w * h }, (_, i) => (i % w < edge ? 1 : 0));
        const logits = Float32Array.from(mapMaskToModel(given, geometry), (v) => v - 0.5);
        const back = mapMaskToImage(logits, { gridW: 256, gridH: 256, geometry });
        return back.every((v, i) => Math.abs((i % w) + 0.5 - edge) <= 1 || v > 0 === (given[i] === 1));
      }),
      { numRuns: 30, seed: 1 },
    );
  });
});

/** Logits sin(x / 7) + cos(y / 5) on 160 x 160. */
const logits = Float32Array.from({ length: 160 * 160 }, (_, i) => {
  return Math.fround(Math.sin((i % 160) / 7)) + Math.fround(Math.cos(Math.floor(i / 160) / 5));
});

describe("yoloMaskToImage", () => {
  // Ultralytics 8.4.190: scale_masks, crop_mask, > 0 (native); process_mask_native (direct). Pixels set, SHA-256 of the bytes (native).
  test.each([
    ["native", 640, 427, 59387, "0aa7d6fde4e2fddf"],
    ["native", 500, 333, 36119, "e038a361287a3b77"],
    ["native", 1242, 375, 110068, "868659429a4fa2e0"],
    ["direct", 640, 427, 59882, null],
    ["direct", 500, 333, 36518, null],
    ["direct", 1242, 375, 110536, null],
  ] as const)("%s equals the reference for %i x %i", (mode, w, h, pixels, hash) => {
    const box = [w * 0.1, h * 0.2, w * 0.8, h * 0.9].map(Math.fround) as unknown as Box;
    const geometry = letterboxGeometry(w, h);
    const out = yoloMaskToImage({ logits, protoW: 160, protoH: 160, box, geometry, mode });
    const sum = out.reduce((a, b) => a + b, 0);
    // The reference samples `direct` at float32 positions: a pixel or two lie on the other side of zero.
    if (hash === null) expect(Math.abs(sum - pixels)).toBeLessThanOrEqual(2);
    else expect([sum, createHash("sha256").update(out).digest("hex").slice(0, 16)]).toEqual([pixels, hash]);
  });
  const modes: YoloMaskMode[] = ["native", "upsample-first", "direct"];
  test.each(modes)("%s: positive logits fill the box, and only it", (mode) => {
    const geometry = letterboxGeometry(97, 61, { size: 64 });
    const box: Box = [10, 8, 70, 50];
    const ones = new Float32Array(16 * 16).fill(1);
    const out = yoloMaskToImage({ logits: ones, protoW: 16, protoH: 16, box, geometry, mode });
    // Upsampling first crops on the network input, whose pixels are 1.5 px of the picture wide, and blends across the edge.
    const slack = mode === "upsample-first" ? 2.5 : 0;
    const wrong = out.findIndex((value, i) => {
      const [x, y] = [i % 97, Math.floor(i / 97)];
      const inside = Math.min(x - box[0], y - box[1], box[2] - 1 - x, box[3] - 1 - y);
      return (inside >= slack && value !== 1) || (inside < -slack && value !== 0);
    });
    expect(wrong).toBe(-1);
  });
  test.each(modes)("%s puts a half plane within a cell of its place", (mode) => {
    const geometry = letterboxGeometry(200, 120, { size: 160 });
    const half = Float32Array.from({ length: 1600 }, (_, i) => (i % 40) + 0.5 - 20);
    const out = yoloMaskToImage({ logits: half, protoW: 40, protoH: 40, box: [0, 0, 200, 120], geometry, mode });
    for (let x = 0; x < 200; x++) if (Math.abs(x + 0.5 - 100) > 1) expect(out[60 * 200 + x]).toBe(x > 100 ? 1 : 0);
  });
  test("refuses logits of another size", () => {
    const geometry = letterboxGeometry(97, 61, { size: 64 });
    expect(() => yoloMaskToImage({ logits, protoW: 16, protoH: 16, box: [0, 0, 1, 1], geometry })).toThrowError(
      expect.objectContaining({ code: "config_invalid" }),
    );
  });
});

describe("SAM 2", () => {
  const at = (data: Float32Array, s: number, x: number, y: number) => [0, 1, 2].map((c) => data[(c * s + y) * s + x]!);
  // torch 2.15: interpolate(size, bilinear, antialias=True) of syn / 255, then torchvision's normalize.
  test.each([
    [97, 61, 32, 421.812, 2608.977, [-1.818941, -1.955511, -1.688128], [0.52859, 0.835569, 2.162631]],
    [20, 15, 32, -1172.453, 3940.23, [-2.117904, -2.035714, -1.804444], [-1.107544, 0.537815, 0.722789]],
    [640, 427, 1024, 704444.785, 4299845.545, [-2.117904, -2.035714, -1.804444], [-1.655536, 2.428571, -1.089847]],
    [1920, 1080, 1024, 709599.632, 3514692.479, [-2.025604, -2.017182, -1.748391], [-1.04572, 0.903365, 0.064246]],
  ])("%i x %i -> %i equals torch's float resize", (w, h, size, sum, squares, first, last) => {
    const { data, geometry } = prepareSam2(syn(w, h), { size });
    let s = 0;
    let q = 0;
    for (const v of data) {
      s += v;
      q += v * v;
    }
    expect(Math.abs(s / sum - 1)).toBeLessThan(1e-5);
    expect(Math.abs(q / squares - 1)).toBeLessThan(1e-5);
    for (const [got, expected] of [
      [at(data, size, 0, 0), first],
      [at(data, size, size - 1, size - 1), last],
    ] as const) {
      got.forEach((v, i) => {
        expect(Math.abs(v - expected[i]!)).toBeLessThan(2e-6);
      });
    }
    expect(geometry).toMatchObject({ contentW: size, contentH: size, padR: 0, padB: 0, scaleX: size / w });
  });
  test("points and masks scale each axis by itself", () => {
    const geometry = sam2Geometry({ width: 200, height: 50 });
    expect(mapBoxToModel([0, 0, 100, 50], geometry)).toEqual([0, 0, 512, 1024]);
    const half = Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 64) + 0.5 - 32);
    const out = sam2MaskToImage(half, 64, geometry);
    expect(out.length).toBe(200 * 50);
    for (let x = 0; x < 200; x++) if (Math.abs(x + 0.5 - 100) > 1) expect(out[20 * 200 + x]! > 0).toBe(x >= 100);
  });
});

describe("resizeTorchBilinear, antialias", () => {
  test.each([
    [2, [7.142857, 27.142857]],
    [3, [3, 15, 34.000004]],
    [7, [0, 3.571429, 9.285715, 15, 21.428576, 32.857147, 40]],
  ])("0 10 20 40 -> %i values equals torch", (outWidth, expected) => {
    const data = Float32Array.of(0, 10, 20, 40);
    const out = resizeTorchBilinear({ data, width: 4, height: 1, outWidth, outHeight: 1, antialias: true });
    expected.forEach((v, i) => {
      expect(Math.abs(out[i]! - v)).toBeLessThan(1e-5);
    });
  });
});

describe("mapAnnotations", () => {
  const geometry = letterboxGeometry(40, 20, { size: 80 });
  const base = { id: 1, image_id: 1, category_id: 3 };
  const map = (annotation: Partial<CocoAnnotation>, options = {}) =>
    mapAnnotations([{ ...base, ...annotation } as CocoAnnotation], geometry, options)[0]!;

  test("box, area, polygon and keypoints follow the letterbox; other fields stay", () => {
    // Scale 2, 20 px of padding above.
    const mapped = map({
      bbox: [5, 2, 10, 4],
      area: 40,
      segmentation: [[5, 2, 15, 2, 15, 6]],
      keypoints: [5, 2, 2, 0, 0, 0],
      num_keypoints: 1,
      iscrowd: 0,
      note: "kept",
    });
    expect(mapped).toEqual({
      ...base,
      bbox: [10, 24, 20, 8],
      area: 160,
      segmentation: [[10, 24, 30, 24, 30, 32]],
      keypoints: [10, 24, 2, 0, 0, 0],
      num_keypoints: 1,
      iscrowd: 0,
      note: "kept",
    });
  });
  test("clips boxes, marks one that lies outside, removes none", () => {
    expect(map({ bbox: [30, 10, 20, 20] }).bbox).toEqual([60, 40, 20, 20]);
    expect(map({ bbox: [50, 0, 5, 5] })).toMatchObject({ bbox: [80, 20, 0, 10], outside: true });
    expect(map({ bbox: [50, 0, 5, 5] }, { clip: false })).not.toHaveProperty("outside");
  });
  test("run lengths stay run lengths of their kind, a crowd keeps its flag", () => {
    const pixels = Uint8Array.from({ length: 800 }, (_, i) => (i % 40 < 10 && i < 400 ? 1 : 0));
    const rle = mask.encode(pixels, 20, 40);
    const expected = mapMaskToModel(pixels, geometry);
    const text = map({ segmentation: { size: [20, 40], counts: mask.toString(rle) }, iscrowd: 1 });
    expect(text.iscrowd).toBe(1);
    const compressed = text.segmentation as { size: [number, number]; counts: string };
    expect(compressed.size).toEqual([80, 80]);
    expect(mask.decode(mask.fromString(compressed.counts, 80, 80))).toEqual(expected);
    const list = map({ segmentation: { size: [20, 40], counts: [...rle.counts] } }).segmentation as unknown as {
      counts: number[];
    };
    expect(mask.decode(mask.fromUncompressed(list.counts, 80, 80))).toEqual(expected);
    const outline = map({ segmentation: { size: [20, 40], counts: [...rle.counts] } }, { maskTarget: "polygon" });
    const polygons = outline.segmentation as number[][];
    expect(mask.decode(mask.fromPolygons(polygons, 80, 80))).toEqual(expected);
  });
  test("nothing in, nothing out", () => {
    expect(mapAnnotations([], geometry)).toEqual([]);
    expect(map({})).toEqual(base);
  });
});
