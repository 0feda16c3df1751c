import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BagAnnotation, type BagDataset, CATEGORIES, generateBagScenes } from "./generate.js";
import { signedArea, simplifyLoop, traceContours } from "./scene/contour.js";
import { coveredArea, hideBehind, type Point, rasterize } from "./scene/raster.js";

const COUNT = 60;
let folder = "";
let dataset: BagDataset;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "seg-bags-"));
  dataset = await generateBagScenes({ count: COUNT, seed: 3, outDir: join(folder, "a") });
});
afterAll(() => rm(folder, { recursive: true }));

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const polygons = ({ segmentation }: BagAnnotation): number[][] => (Array.isArray(segmentation) ? segmentation : []);
const classOf = (name: string): BagAnnotation[] => {
  const { id } = CATEGORIES.find((category) => category.name === name)!;
  return dataset.annotations.filter(({ category_id }) => category_id === id);
};

describe("generateBagScenes", () => {
  test("writes what it returns and leaves no temporary file", async () => {
    const files = (await readdir(join(folder, "a"), { recursive: true })).sort();
    expect(files).toEqual([
      "annotations.json",
      "images",
      ...dataset.images.map(({ file_name }) => join("images", file_name)),
    ]);
    expect(JSON.parse(await readFile(join(folder, "a/annotations.json"), "utf8"))).toEqual(dataset);
    const { width, height, format } = await sharp(join(folder, "a/images", dataset.images[0]!.file_name)).metadata();
    expect({ width, height, format }).toEqual({ width: 320, height: 256, format: "jpeg" });
  });

  test("the same seed gives the same bytes, whatever the count; another seed others", async () => {
    const again = await generateBagScenes({ count: 4, seed: 3, outDir: join(folder, "b") });
    const other = await generateBagScenes({ count: 1, seed: 4, outDir: join(folder, "c") });
    const read = async (run: string, name: string): Promise<string> =>
      sha(await readFile(join(folder, run, "images", name)));
    for (const { file_name } of again.images) expect(await read("b", file_name)).toBe(await read("a", file_name));
    const ids = new Set(again.images.map(({ id }) => id));
    expect(again.annotations).toEqual(dataset.annotations.filter(({ image_id }) => ids.has(image_id)));
    expect(await read("c", other.images[0]!.file_name)).not.toBe(await read("a", other.images[0]!.file_name));
  });

  test("ids: exactly three classes with gaps, unique annotations, existing images", () => {
    expect(dataset.categories.map(({ id, name }) => [id, name])).toEqual([
      [3, "ear"],
      [7, "defect"],
      [12, "label"],
    ]);
    expect(new Set(dataset.annotations.map(({ id }) => id)).size).toBe(dataset.annotations.length);
    const images = new Set(dataset.images.map(({ id }) => id));
    for (const { image_id } of dataset.annotations) expect(images.has(image_id)).toBe(true);
  });

  test("polygons lie inside the image; boxes and areas are theirs", () => {
    for (const annotation of dataset.annotations) {
      let area = 0;
      for (const polygon of polygons(annotation)) {
        expect(polygon.length % 2).toBe(0);
        expect(polygon.length).toBeGreaterThanOrEqual(6);
        const points = Array.from(
          { length: polygon.length / 2 },
          (_, i): Point => [polygon[2 * i]!, polygon[2 * i + 1]!],
        );
        for (const [x, y] of points) expect(x >= 0 && y >= 0 && x <= 320 && y <= 256).toBe(true);
        area += Math.abs(signedArea(points));
        if (annotation.bbox) {
          const [bx, by, bw, bh] = annotation.bbox;
          // One rounding to hundredths.
          for (const [x, y] of points)
            expect(x >= bx && y >= by && x <= bx + bw + 0.01 && y <= by + bh + 0.01).toBe(true);
        }
      }
      if (annotation.area !== undefined) expect(Math.abs(annotation.area - area)).toBeLessThan(2);
    }
  });

  test("run lengths cover the image and come without box and area", () => {
    let count = 0;
    for (const { segmentation, bbox, area } of dataset.annotations) {
      if (Array.isArray(segmentation)) continue;
      count++;
      expect(segmentation.size).toEqual([256, 320]);
      expect(segmentation.counts.reduce((a, b) => a + b, 0)).toBe(320 * 256);
      expect(segmentation.counts.slice(1).every((run) => run > 0)).toBe(true);
      expect([bbox, area]).toEqual([undefined, undefined]);
    }
    expect(count / dataset.annotations.length).toBeGreaterThan(0.05);
    expect(count / dataset.annotations.length).toBeLessThan(0.17);
  });

  test("every kind occurs: polygons without box, several parts, empty pictures, pictures without defects", () => {
    const noBox = dataset.annotations.filter((a) => polygons(a).length > 0 && !a.bbox);
    expect(noBox.length).toBeGreaterThan(5);
    expect(noBox.length / dataset.annotations.length).toBeLessThan(0.12);
    expect(dataset.annotations.filter((a) => polygons(a).length > 1).length).toBeGreaterThan(5);
    const perImage = dataset.images.map(({ id }) => dataset.annotations.filter(({ image_id }) => image_id === id));
    const empty = perImage.filter((list) => list.length === 0).length;
    expect(empty).toBeGreaterThanOrEqual(1);
    expect(empty).toBeLessThanOrEqual(8);
    const withDefect = perImage.filter((list) => list.some(({ category_id }) => category_id === 7)).length;
    expect(withDefect / (COUNT - empty)).toBeGreaterThan(0.7);
    expect(withDefect).toBeLessThan(COUNT - empty);
    for (const list of perImage)
      expect(list.length === 0 || list.some(({ category_id }) => category_id === 3)).toBe(true);
  });

  test.each([
    ["ear", 25],
    ["label", 25],
    ["defect", 16],
  ])("%s: the typical object is at least %i pixels wide", (name, least) => {
    const sizes = classOf(name)
      .flatMap(({ bbox }) => (bbox ? [Math.max(bbox[2], bbox[3])] : []))
      .sort((a, b) => a - b);
    expect(sizes.length).toBeGreaterThan(40);
    expect(sizes[Math.floor(sizes.length * 0.1)]!).toBeGreaterThan(least);
  });

  test("annotations lie where the things are: defects are darker than what surrounds them", async () => {
    let darker = 0;
    let total = 0;
    for (const annotation of classOf("defect").slice(0, 40)) {
      if (!annotation.bbox) continue;
      const image = dataset.images.find(({ id }) => id === annotation.image_id)!;
      const grey = await sharp(join(folder, "a/images", image.file_name))
        .greyscale()
        .raw()
        .toBuffer();
      const inside = new Uint8Array(320 * 256);
      for (const polygon of polygons(annotation)) {
        const points = Array.from(
          { length: polygon.length / 2 },
          (_, i): Point => [polygon[2 * i]!, polygon[2 * i + 1]!],
        );
        const { x0, y0, width, data } = rasterize(points, 320, 256);
        for (const [i, share] of data.entries())
          if (share > 0.5) inside[(y0 + Math.floor(i / width)) * 320 + x0 + (i % width)] = 1;
      }
      const [bx, by, bw, bh] = annotation.bbox;
      const sums = [0, 0];
      const counts = [0, 0];
      for (let y = Math.max(0, Math.floor(by - 5)); y < Math.min(256, by + bh + 5); y++)
        for (let x = Math.max(0, Math.floor(bx - 5)); x < Math.min(320, bx + bw + 5); x++) {
          const side = inside[y * 320 + x]!;
          sums[side]! += grey[y * 320 + x]!;
          counts[side]!++;
        }
      total++;
      if (sums[1]! / counts[1]! < sums[0]! / counts[0]! - 12) darker++;
    }
    expect(total).toBeGreaterThan(20);
    // Beside a dark strap the surroundings may be as dark as the defect.
    expect(darker / total).toBeGreaterThan(0.85);
  });

  test("refuses impossible counts and sizes", async () => {
    await expect(generateBagScenes({ count: -1, seed: 1, outDir: folder })).rejects.toThrow(RangeError);
    await expect(generateBagScenes({ count: 1, seed: 1, size: [32, 256], outDir: folder })).rejects.toThrow(RangeError);
  });
});

describe("rasterize, traceContours", () => {
  const square = (x: number, y: number, size: number): Point[] => [
    [x, y],
    [x + size, y],
    [x + size, y + size],
    [x, y + size],
  ];

  test("coverage of a square is its area, clipped to the image", () => {
    expect(coveredArea(rasterize(square(2.5, 3.25, 4.5), 20, 20))).toBeCloseTo(20.25, 5);
    expect(coveredArea(rasterize(square(-2, -2, 4), 20, 20))).toBeCloseTo(4, 5);
    expect(coveredArea(rasterize(square(30, 30, 4), 20, 20))).toBe(0);
  });

  test("outlines come back, cut things in parts, rings with a hole", () => {
    const cover = rasterize(square(2, 2, 10), 20, 20);
    const { outer, holes } = traceContours(cover);
    expect([outer.length, holes.length]).toEqual([1, 0]);
    // Marching squares cuts each corner by an eighth of a pixel.
    expect(-signedArea(simplifyLoop(outer[0]!, 0.2))).toBeCloseTo(100 - 4 / 8, 5);
    const cut = hideBehind(
      cover,
      rasterize(
        [
          [0, 6],
          [20, 6],
          [20, 8],
          [0, 8],
        ],
        20,
        20,
      ),
    );
    expect(traceContours(cut).outer).toHaveLength(2);
    const ring = traceContours(hideBehind(cover, rasterize(square(5, 5, 4), 20, 20)));
    expect([ring.outer.length, ring.holes.length]).toEqual([1, 1]);
    expect(signedArea(ring.holes[0]!)).toBeCloseTo(16 - 4 / 8, 5);
  });
});
