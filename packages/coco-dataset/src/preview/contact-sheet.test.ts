import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grayImage, makeFolder, removeFolders } from "../../test/make-folder.js";
import type { CocoAnnotation, CocoDataset } from "../document.js";
import type { Finding } from "../findings.js";
import { loadDataset } from "../load/load-dataset.js";
import { mask } from "../mask/index.js";
import { validateDataset } from "../validate/validate-dataset.js";
import { annotationInstances } from "./annotation-instances.js";
import { chooseImages } from "./choose-images.js";
import { classColor } from "./class-color.js";
import { contactSheet } from "./contact-sheet.js";
import { findingTiles } from "./finding-tiles.js";
import { htmlReport } from "./html-report.js";
import { readImage } from "./read-image.js";
import { renderPreview } from "./render-preview.js";

afterAll(removeFolders);

const [WIDTH, HEIGHT] = [600, 450];
const GRAY = [136, 136, 136];

/** A frame 100 px wide with a hole of 100 x 50 px. */
const FRAME = mask.encode(
  Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => {
    const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)];
    const isOuter = x >= 100 && x < 400 && y >= 100 && y < 350;
    return Number(isOuter && !(x >= 200 && x < 300 && y >= 200 && y < 250));
  }),
  HEIGHT,
  WIDTH,
);

function dataset(annotations: Partial<CocoAnnotation>[], numImages = 1): CocoDataset {
  return {
    images: Array.from({ length: numImages }, (_, i) => ({
      id: i + 1,
      width: WIDTH,
      height: HEIGHT,
      file_name: `${i + 1}.png`,
    })),
    categories: [
      { id: 1, name: "frame" },
      { id: 2, name: "nut" },
      { id: 3, name: "bolt" },
    ],
    annotations: annotations.map((item, i) => ({ id: i + 1, image_id: 1, category_id: 1, ...item })),
  };
}

async function pixelsOf(bytes: Uint8Array) {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  return {
    ...info,
    at: (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)],
  };
}

let folder: string;
beforeAll(async () => {
  folder = await makeFolder({ "1.png": await grayImage(WIDTH, HEIGHT), "2.png": "no picture" });
});

describe("contactSheet", () => {
  const framed = dataset([{ segmentation: { size: [HEIGHT, WIDTH], counts: mask.toString(FRAME) } }]);

  test("masks are translucent with an outline, and a hole stays open", async () => {
    const { at, width, channels } = await pixelsOf(await contactSheet({ dataset: framed, imagesDir: folder }));
    expect([width, channels]).toEqual([WIDTH + 2 * 16, 3]);
    // The picture begins below title and legend; in a frame of one row their height is 74.
    const [left, top] = [16, 16 + 74];
    const color = classColor(0);
    const blend = (share: number) => color.map((c, i) => Math.round(GRAY[i]! * (1 - share) + c * share));
    expect(at(left + 150, top + 150)).toEqual(blend(0.38));
    expect(at(left + 250, top + 225)).toEqual(GRAY);
    expect(at(left + 199, top + 225)).toEqual(blend(0.95));
    expect(at(left + 50, top + 50)).toEqual(GRAY);
  });

  test("a file that cannot be shown keeps its place and says why; nothing to show is an error", async () => {
    const { width, height } = await pixelsOf(await contactSheet({ dataset: dataset([], 3), imagesDir: folder }));
    expect([width, height]).toEqual([3 * WIDTH + 4 * 16, 16 + 44 + HEIGHT + 54]);
    await expect(contactSheet({ dataset: dataset([], 0), imagesDir: folder })).rejects.toMatchObject({
      code: "coco/preview",
      reason: "empty",
    });
  });

  test("the same bytes again; hostile names are text", async () => {
    const hostile = { ...framed, categories: [{ id: 1, name: "<script>\u0000&\ud800" }] };
    const options = { dataset: hostile, imagesDir: folder, title: "</text>" };
    const [a, b] = [await contactSheet(options), await contactSheet(options)];
    expect(Buffer.from(a).equals(Buffer.from(b))).toBe(true);
  });

  test("can be stopped", async () => {
    const signal = AbortSignal.abort();
    await expect(contactSheet({ dataset: framed, imagesDir: folder, signal })).rejects.toThrow("abort");
  });
});

describe("annotationInstances", () => {
  test("crowds are dashed, broken geometry is counted, a box without area is marked only when asked for", () => {
    const source = dataset([
      { bbox: [0, 0, 10, 10], iscrowd: 1 },
      { bbox: [5, 5, 0, 10] },
      { segmentation: { size: [1, 1], counts: [5] } },
      { bbox: [0, 0, 10, 10], category_id: 99 },
    ]);
    const mapping = { classes: [{ index: 0, categoryId: 1, name: "frame" }] };
    const image = source.images[0]!;
    const all = annotationInstances({ dataset: source, image, mapping });
    expect(all.numUndrawable).toBe(2);
    expect(all.instances).toMatchObject([
      { name: "frame (crowd)", isDashed: true },
      { name: "category 99?", isDashed: false },
    ]);
    const one = annotationInstances({ dataset: source, image, mapping, only: new Set([2]) });
    expect(one.instances).toMatchObject([{ name: "frame (no area)", box: [-10, -5, 20, 25], isDashed: true }]);
  });
});

describe("readImage", () => {
  const record = (file_name: string, width: number, height: number) => ({ id: 1, file_name, width, height });

  test("turns upright only where the record has the upright size; any mode becomes RGB", async () => {
    const half = sharp({ create: { width: 4, height: 2, channels: 3, background: "#f00" } });
    const turned = await half.png().withMetadata({ orientation: 6 }).toBuffer();
    const gray16 = await sharp(Uint16Array.from([0, 65535]), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    const clear = await sharp({ create: { width: 1, height: 1, channels: 4, background: "#0000" } })
      .png()
      .toBuffer();
    const files = await makeFolder({ "t.png": turned, "g.png": gray16, "c.png": clear });
    expect(await readImage(files, record("t.png", 2, 4))).toMatchObject({ width: 2, height: 4 });
    expect(await readImage(files, record("t.png", 4, 2))).toMatchObject({ width: 4, height: 2 });
    expect([...(await readImage(files, record("g.png", 2, 1))).data]).toEqual([0, 0, 0, 255, 255, 255]);
    expect([...(await readImage(files, record("c.png", 1, 1))).data]).toEqual([255, 255, 255]);
  });

  test.each([
    ["missing.png", "is missing"],
    ["2.png", "cannot be read as a picture"],
    ["1.png", "is 600 x 450, the document says 5 x 5"],
    ["../1.png", "lies outside"],
  ])("%s: %s", async (name, message) => {
    await expect(readImage(folder, record(name, 5, 5))).rejects.toMatchObject({
      code: "coco/preview",
      reason: "image",
      message: expect.stringContaining(message),
    });
  });
});

describe("renderPreview", () => {
  test("one image at its size, and no other", async () => {
    const bytes = await renderPreview({ dataset: dataset([{ bbox: [9, 9, 50, 50] }]), imageId: 1, imagesDir: folder });
    expect(await sharp(bytes).metadata()).toMatchObject({ width: WIDTH, height: HEIGHT, format: "png" });
    await expect(renderPreview({ dataset: dataset([]), imageId: 5, imagesDir: folder })).rejects.toMatchObject({
      reason: "empty",
    });
  });
});

describe("chooseImages", () => {
  test("rare classes choose first, at most half of the places; the rest is spread evenly", () => {
    const annotations = [
      { image_id: 90, category_id: 2 },
      { image_id: 40, category_id: 1 },
      { image_id: 41, category_id: 1 },
    ];
    const chosen = chooseImages(dataset(annotations, 100), 4);
    expect(chosen).toHaveLength(4);
    expect(chosen).toContain(90);
    expect(chosen).toContain(40);
    expect(chooseImages(dataset(annotations, 3), 4)).toEqual([1, 2, 3]);
  });

  test("always that many different images, the same for shuffled input", () => {
    const input = fc.record({
      pairs: fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 3 }))),
      count: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(input, ({ pairs, count }) => {
        const source = dataset(
          pairs.map(([image_id, category_id]) => ({ image_id, category_id })),
          30,
        );
        const chosen = chooseImages(source, count);
        expect(new Set(chosen).size).toBe(Math.min(count, 30));
        const reversed = {
          ...source,
          images: source.images.toReversed(),
          annotations: source.annotations.toReversed(),
        };
        expect(chooseImages(reversed, count)).toEqual(chosen);
      }),
    );
  });
});

describe("findingTiles", () => {
  test("worst first, a few of each kind, with the annotations concerned; no picture for classes", () => {
    const finding = (code: string, severity: Finding["severity"], ids: number[], layer: Finding["layer"]): Finding => ({
      ...{ code, severity, layer, message: "", count: ids.length, ids },
    });
    const source = dataset([{ image_id: 1 }, { image_id: 1 }, { image_id: 2 }], 3);
    const findings = [
      finding("low_instances", "warn", [1], "distribution"),
      finding("tiny", "warn", [1, 2, 3], "geometry"),
      finding("note", "info", [1], "geometry"),
      { ...finding("corrupt", "error", [3], "images"), files: ["3.png"] },
    ];
    expect(findingTiles(findings, source)).toEqual([
      { imageId: 3, caption: "error corrupt" },
      { imageId: 1, caption: "warn tiny: annotation 1, 2", annotationIds: [1, 2] },
      { imageId: 2, caption: "warn tiny: annotation 3", annotationIds: [3] },
    ]);
    expect(findingTiles(findings, source, 1)).toHaveLength(1);
  });
});

describe("htmlReport", () => {
  test("tables and pictures in one file, every text escaped", async () => {
    const source = {
      ...dataset([{ bbox: [0, 0, 5, 0] }, { segmentation: [[1, 1, 9, 1, 9, 9]] }]),
      categories: [{ id: 1, name: "<script>alert(1)</script>" }],
    };
    const { report } = await validateDataset(source);
    const bytes = await grayImage(2, 2);
    const page = htmlReport({ title: "a & b", report, pictures: [{ title: "Preview", bytes, mime: "image/png" }] });
    expect(page).toContain("<title>a &amp; b</title>");
    expect(page).not.toContain("<script");
    expect(page).toContain("&lt;script&gt;");
    expect(page).toContain("1 annotated, 1 generated from masks");
    expect(page).toContain("zero_area");
    expect(page).toContain(`src="data:image/png;base64,${Buffer.from(bytes).toString("base64")}"`);
    // Self-contained: nothing is fetched.
    expect(page).not.toMatch(/(?:src|href)="(?!data:)/);
  });
});

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../shared");
describe.skipIf(!existsSync(join(shared, "data/coco-tiny")))("shared/data/coco-tiny", () => {
  test("every image of the validation split is drawn", async () => {
    const source = await loadDataset(join(shared, "data/coco-tiny/instances_val.json"));
    const imagesDir = join(shared, "data/coco-tiny/images");
    for (const image of source.images) {
      const bytes = await renderPreview({ dataset: source, imageId: image.id, imagesDir });
      expect((await sharp(bytes).stats()).isOpaque).toBe(true);
    }
  });
});
