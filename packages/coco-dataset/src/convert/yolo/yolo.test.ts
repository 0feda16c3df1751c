import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { grayImage, makeFolder, removeFolders } from "../../../test/make-folder.js";
import type { CocoAnnotation, CocoDataset } from "../../document.js";
import { mask } from "../../mask/index.js";
import { annotationPolygons, segmentationToRle } from "../../segmentation.js";
import { maskIou } from "../audit-masks.js";
import { convert } from "../convert.js";
import { importDataset } from "../import-dataset.js";
import { ImportIssues } from "../import-issues.js";
import { joinRings } from "../join-rings.js";
import { writeConversion } from "../write-conversion.js";
import { parseDataYaml } from "./data-yaml.js";
import { boxRow, parseLabelRows, polygonRow } from "./label-rows.js";

afterAll(removeFolders);

const [WIDTH, HEIGHT] = [37, 23];

function dataset(annotations: Partial<CocoAnnotation>[], more: Partial<CocoDataset> = {}): CocoDataset {
  return {
    images: [
      { id: 7, width: WIDTH, height: HEIGHT, file_name: "a.png" },
      { id: 3, width: WIDTH, height: HEIGHT, file_name: "sub/b.png" },
    ],
    categories: [
      { id: 90, name: "nut: M8" },
      { id: 4, name: "bolt" },
    ],
    annotations: annotations.map((item, i) => ({ id: i + 1, image_id: 7, category_id: 4, ...item })),
    ...more,
  };
}

const read = (text: string, options: { numClasses?: number; keypointShape?: [number, number] } = {}) => {
  const issues = new ImportIssues();
  const rows = parseLabelRows({ text, file: "x.txt", width: 100, height: 50, numClasses: 2, issues, ...options });
  issues.throwIfAny("YOLO");
  return rows;
};

describe("parseLabelRows", () => {
  test("boxes, polygons, pose rows, empty lines and Windows line ends", () => {
    expect(read("")).toEqual([]);
    expect(read("1 0.5 0.5 0.2 0.4\r\n\r\n0 0 0 1 0 1 1\n")).toEqual([
      { kind: "box", classIndex: 1, bbox: [40, 15, 20, 20] },
      { kind: "polygon", classIndex: 0, ring: [0, 0, 100, 0, 100, 50] },
    ]);
    expect(read("0 0.5 0.5 0.2 0.4 0.1 0.2 0 0", { keypointShape: [2, 2] })).toEqual([
      { kind: "pose", classIndex: 0, bbox: [40, 15, 20, 20], keypoints: [10, 10, 2, 0, 0, 0] },
    ]);
  });

  test.each([
    ["0 0.5 0.5 0.2", "4 columns"],
    ["0 0.5 0.5 0.2 0.4 0.9", "Rows with a confidence are predictions"],
    ["0 0.1 0.1 0.2 0.2 0.3 0.3 0.9", "8 columns"],
    ["2 0.5 0.5 0.2 0.4", "not one of the 2 classes 0 to 1"],
    ["0.5 0.5 0.5 0.2 0.4", "class 0.5"],
    ["-1 0.5 0.5 0.2 0.4", "class -1"],
    ["0 0.5 a 0.2 0.4", 'column 3 is "a"'],
    ["0 0.5 NaN 0.2 0.4", 'column 3 is "NaN"'],
    ["0 320 240 20 40", "320 is outside 0 to 1"],
    ["0 0.5 0.5 -0.2 0.4", "outside 0 to 1"],
  ])("%s is an issue", (row, message) => {
    expect(() => read(`0 0.5 0.5 0.1 0.1\n${row}`)).toThrow(message);
    expect(() => read(`0 0.5 0.5 0.1 0.1\n${row}`)).toThrow("x.txt:2");
  });
});

describe("parseDataYaml", () => {
  test("names as list or mapping; valid means val", () => {
    const text = "path: /x\ntrain: [a, b]\nvalid: c\nnc: 2\nnames: {1: dog, 0: cat}\n";
    expect(parseDataYaml(text)).toEqual({
      names: ["cat", "dog"],
      path: "/x",
      splits: { train: ["a", "b"], val: ["c"] },
      keypointShape: null,
    });
  });

  test.each([
    ["names: [a]\nnc: 2", "nc: 2"],
    ["names: {0: a, 2: b}", "no class 1"],
    ["names: [a, a]", "twice"],
    ["train: x", "has no names"],
    ["names: [a]\ntrain: 3", "has train: 3"],
    ["names: [a", "is not YAML"],
    ["- 1", "no mapping"],
    ["names: [a]\nkpt_shape: [17]", "kpt_shape"],
  ])("%j is refused", (text, message) => {
    expect(parseDataYaml(text)).toContain(message);
  });
});

describe("joinRings", () => {
  test("rings that do not overlap fill as their union", () => {
    const squares = fc.uniqueArray(fc.tuple(fc.nat(5), fc.nat(5)), {
      minLength: 1,
      maxLength: 8,
      selector: ([x, y]) => `${x} ${y}`,
    });
    fc.assert(
      fc.property(squares, (cells) => {
        const parts = cells.map(([x, y]) => [6 * x, 6 * y, 6 * x + 5, 6 * y + 1, 6 * x + 4, 6 * y + 5]);
        const union = mask.fromPolygons(parts, 40, 40);
        expect(mask.fromPolygons([joinRings(parts)], 40, 40).counts).toEqual(union.counts);
      }),
    );
  });
});

describe("convert to YOLO", () => {
  test("boxes: rows, data.yaml, the class mapping, an empty file for a negative", () => {
    const source = dataset([{ bbox: [1, 2, 10, 5] }, { bbox: [0, 0, WIDTH, HEIGHT], category_id: 90 }]);
    const { files, images, lossReport } = convert(source, { to: "yolo", splits: { train: [7], val: [3] } });
    expect(Object.fromEntries(files)).toEqual({
      // 6 / 37, 4.5 / 23, 10 / 37, 5 / 23 to 15 decimals.
      "labels/train/a.txt": "0 0.162162162162162 0.195652173913044 0.27027027027027 0.217391304347826\n1 0.5 0.5 1 1\n",
      "labels/val/sub/b.txt": "",
      "data.yaml": 'train: images/train\nval: images/val\nnc: 2\nnames:\n  0: bolt\n  1: "nut: M8"\n',
      "class_mapping.json": `${JSON.stringify(
        {
          version: 1,
          classes: [
            { index: 0, categoryId: 4, name: "bolt" },
            { index: 1, categoryId: 90, name: "nut: M8" },
          ],
        },
        null,
        2,
      )}\n`,
    });
    expect(images).toEqual([
      { fileName: "a.png", path: "images/train/a.png" },
      { fileName: "sub/b.png", path: "images/val/sub/b.png" },
    ]);
    expect(lossReport).toMatchObject({ numWritten: 2, losses: [] });
  });

  test("several parts, holes, run lengths and polygons beyond the image stay one row with every pixel", () => {
    const ring = mask.encode(
      Array.from({ length: WIDTH * HEIGHT }, (_, i) => {
        const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)];
        return Number(x >= 3 && x < 15 && y >= 2 && y < 12 && !(x >= 6 && x < 9 && y >= 5 && y < 9));
      }),
      HEIGHT,
      WIDTH,
    );
    const source = dataset([
      {
        segmentation: [
          [1, 1, 5, 1, 5, 5],
          [10.5, 3.25, 20, 3.25, 20, 9.1],
        ],
      },
      {
        segmentation: [
          [1, 1, 9, 1, 9, 9, 1, 9],
          [4, 4, 12, 4, 12, 12, 4, 12],
        ],
      },
      { segmentation: { size: [HEIGHT, WIDTH], counts: mask.toString(ring) } },
      { segmentation: [[-5, -5, 50, 3, 20, 40]] },
    ]);
    const { files, lossReport } = convert(source, { to: "yolo" });
    expect(files.get("labels/train/a.txt")!.toString().trim().split("\n")).toHaveLength(4);
    expect(lossReport.losses).toEqual([]);
    expect(lossReport.audit).toMatchObject({ numCompared: 4, numLossless: 4, minIou: 1, numRle: 1, numMultiPart: 2 });
  });

  test("a simplified outline is shorter, and its IoU decides whether it is a loss", () => {
    const disc = mask.encode(
      Array.from({ length: WIDTH * HEIGHT }, (_, i) =>
        Number(Math.hypot((i % WIDTH) - 18, Math.floor(i / WIDTH) - 11) < 9),
      ),
      HEIGHT,
      WIDTH,
    );
    const source = dataset([{ segmentation: { size: [HEIGHT, WIDTH], counts: mask.toString(disc) } }]);
    const length = (options: object) =>
      convert(source, { to: "yolo", ...options })
        .files.get("labels/train/a.txt")!
        .toString()
        .split(" ").length;
    expect(() => length({ simplify: 1 })).toThrow(expect.objectContaining({ code: "coco/conversion-loss", ids: [1] }));
    const { audit } = convert(source, { to: "yolo", simplify: 1, minIou: 0.8 }).lossReport;
    expect(audit.minIou).toBeGreaterThan(0.8);
    expect(audit.minIou).toBeLessThan(1);
    expect(length({ simplify: 1, minIou: 0.8 })).toBeLessThan(length({}) / 2);
  });

  test("crowds are left out and counted, not refused; attributes are named", () => {
    const source = dataset([
      { bbox: [0, 0, 4, 4], occluded: 1 },
      { bbox: [0, 0, 4, 4], iscrowd: 1 },
    ]);
    const { lossReport } = convert(source, { to: "yolo" });
    expect(lossReport.numWritten).toBe(1);
    expect(lossReport.losses.map(({ code, ids, needsConsent }) => [code, ids, needsConsent])).toEqual([
      ["attributes_dropped", [1], false],
      ["crowd_skipped", [2], false],
    ]);
  });

  test("what would be lost is refused by id, and written with allowLoss", () => {
    const losses: [string, Partial<CocoAnnotation>][] = [
      ["box_changed", { bbox: [-3, 0, 9, 4] }],
      ["empty_dropped", { bbox: [3, 3, 0, 4] }],
      ["empty_dropped", { bbox: [50, 3, 4, 4] }],
      ["empty_dropped", {}],
      ["keypoints_dropped", { bbox: [0, 0, 4, 4], keypoints: [1, 1, 2] }],
    ];
    for (const [code, annotation] of losses) {
      const source = dataset([{ bbox: [1, 1, 2, 2] }, annotation]);
      expect(() => convert(source, { to: "yolo" })).toThrow(
        expect.objectContaining({
          code: "coco/conversion-loss",
          ids: [2],
          losses: [expect.objectContaining({ code })],
        }),
      );
      expect(convert(source, { to: "yolo", allowLoss: true }).lossReport.losses).toMatchObject([{ code, count: 1 }]);
    }
    const empty = dataset([{ segmentation: [[1, 1, 1, 1, 1, 1]] }]);
    expect(() => convert(empty, { to: "yolo" })).toThrow(
      expect.objectContaining({ code: "coco/conversion-loss", ids: [1] }),
    );
    const unlisted = { to: "yolo", splits: { train: [7] } } as const;
    expect(() => convert(dataset([]), unlisted)).toThrow(expect.objectContaining({ ids: [3] }));
  });

  test("boxes among masks need a choice, allowLoss is none", () => {
    const source = dataset([{ segmentation: [[1, 1, 9, 1, 9, 9]] }, { bbox: [2, 3, 4, 5] }]);
    expect(() => convert(source, { to: "yolo", allowLoss: true })).toThrow(expect.objectContaining({ ids: [2] }));
    const polygons = convert(source, { to: "yolo", onMixed: "box-polygon" });
    expect(polygons.files.get("labels/train/a.txt")!.toString().split("\n")[1]!.split(" ")).toHaveLength(9);
    expect(polygons.lossReport.losses).toMatchObject([{ code: "box_as_polygon", ids: [2], needsConsent: false }]);
    expect(() => convert(source, { to: "yolo", onMixed: "boxes" })).toThrow("mask_dropped");
  });

  test("file names cannot lead out or share a label file", () => {
    const images = (...names: string[]) => names.map((file_name, i) => ({ id: i + 1, width: 4, height: 4, file_name }));
    for (const names of [["../a.png"], ["/etc/a.png"], ["C:\\a.png"], ["a.png", "a.jpg"], ["train/a.png", "a.jpg"]]) {
      expect(() => convert(dataset([], { images: images(...names) }), { to: "yolo" })).toThrow(
        expect.objectContaining({ code: "coco/schema", path: `/images/${names.length - 1}/file_name` }),
      );
    }
    expect(() => convert(dataset([]), { to: "yolo", splits: { holdout: [7, 3] } })).toThrow("train, val or test");
  });

  test("the input is not changed", () => {
    const source = dataset([{ segmentation: [[1, 1, 9, 1, 9, 9]] }]);
    const before = structuredClone(source);
    convert(source, { to: "yolo" });
    expect(source).toEqual(before);
  });
});

describe("importYolo", () => {
  test("the written folder comes back with ids, splits and pictures", async () => {
    const pictures = await makeFolder({
      "a.png": await grayImage(WIDTH, HEIGHT),
      "sub/b.png": await grayImage(WIDTH, HEIGHT),
    });
    const source = dataset([{ bbox: [1, 2, 10, 5], category_id: 90 }]);
    const target = await makeFolder();
    const conversion = convert(source, { to: "yolo", splits: { train: [7], test: [3] } });
    const { missingImages } = await writeConversion(conversion, target, { imagesDir: pictures });
    expect(missingImages).toEqual([]);
    expect(await readFile(join(target, "images/test/sub/b.png"))).toEqual(await readFile(join(pictures, "sub/b.png")));
    const { dataset: back, format, imagesDir, splits, findings } = await importDataset(target);
    expect(format).toBe("yolo");
    expect(imagesDir).toBe(join(target, "images"));
    expect(back.images.map(({ file_name, width, height }) => [file_name, width, height])).toEqual([
      ["train/a.png", WIDTH, HEIGHT],
      ["test/sub/b.png", WIDTH, HEIGHT],
    ]);
    expect(back.categories.map(({ id, name }) => [id, name])).toEqual([
      [4, "bolt"],
      [90, "nut: M8"],
    ]);
    expect(back.annotations).toEqual([{ id: 1, image_id: 1, category_id: 90, bbox: [1, 2, 10, 5], iscrowd: 0 }]);
    expect([splits, findings]).toEqual([{ train: [1], test: [2] }, []]);
    // Writing what was read gives the same texts: leading folders that repeat the split are dropped.
    expect([...convert(back, { to: "yolo", splits }).files]).toEqual([...conversion.files]);
  });

  test("without data.yaml: names from classes.txt or from the rows, splits from folders", async () => {
    const image = await grayImage(10, 10);
    const files = { "train/images/a.png": image, "train/labels/a.txt": "1 .5 .5 .2 .2\n", "valid/images/b.png": image };
    const named = await importDataset(await makeFolder({ ...files, "classes.txt": "cat\nblack dog\n" }));
    expect(named.dataset.categories.map(({ name }) => name)).toEqual(["cat", "black dog"]);
    expect(named.splits).toEqual({ train: [1], val: [2] });
    expect(named.findings).toMatchObject([{ code: "image_without_label", severity: "info", count: 1 }]);
    const unnamed = await importDataset(await makeFolder(files));
    expect(unnamed.dataset.categories.map(({ name }) => name)).toEqual(["class_0", "class_1"]);
    expect(unnamed.findings.map(({ code }) => code)).toContain("names_missing");
  });

  test("label files without image and images in two splits are named", async () => {
    const folder = await makeFolder({
      "data.yaml": "path: /on/another/machine\ntrain: ../images\nval: list.txt\nnames: [x]\n",
      "list.txt": "./images/a.png\n",
      "images/a.png": await grayImage(4, 4),
      "labels/a.txt": "0 0 0 1 0 1 1\n",
      "labels/lost.txt": "0 .5 .5 .1 .1\n",
    });
    const { findings, splits } = await importDataset(folder);
    expect(findings.map(({ code, files }) => [code, files])).toEqual([
      ["image_in_two_splits", ["images/a.png"]],
      ["label_without_image", ["labels/lost.txt"]],
    ]);
    expect(splits).toEqual({ train: [1] });
  });

  test("bad rows, pictures and folders are errors that name the place", async () => {
    const yaml = "train: images\nnames: [x]\n";
    const bad = await makeFolder({
      "data.yaml": yaml,
      "images/a.png": await grayImage(4, 4),
      "labels/a.txt": "0 1 2\n9 .5 .5 .1 .1\n",
    });
    await expect(importDataset(bad)).rejects.toMatchObject({
      code: "coco/import",
      count: 2,
      issues: [
        { file: "labels/a.txt", line: 1 },
        { file: "labels/a.txt", line: 2 },
      ],
    });
    const broken = await makeFolder({ "data.yaml": yaml, "images/a.png": "no picture" });
    await expect(importDataset(broken)).rejects.toMatchObject({ issues: [{ file: "images/a.png" }] });
    const lost = await makeFolder({ "data.yaml": yaml });
    await expect(importDataset(lost)).rejects.toMatchObject({ code: "coco/format", reason: "missing" });
    const nc = await makeFolder({ "data.yaml": `${yaml}nc: 3\n` });
    await expect(importDataset(nc)).rejects.toThrow("data.yaml: says nc: 3 but lists 1 names");
  });
});

/** Coordinates as annotation tools write them: halves, tenths, hundredths, arbitrary doubles. */
const coordinate = (side: number) =>
  fc.oneof(
    fc.integer({ min: 0, max: 10 * side }).map((v) => v / 10),
    fc.integer({ min: 0, max: 100 * side }).map((v) => v / 100),
    fc.double({ min: 0, max: side, noNaN: true }),
  );
const polygon = fc
  .array(fc.tuple(coordinate(WIDTH), coordinate(HEIGHT)), { minLength: 3, maxLength: 9 })
  .map((points) => points.flat());
const bitmap = fc.array(fc.constantFrom(0, 1), { minLength: WIDTH * HEIGHT, maxLength: WIDTH * HEIGHT });

describe("round trips", () => {
  test("YOLO -> COCO -> YOLO keeps the text of rows with up to eight decimals", () => {
    const value = fc.integer({ min: 0, max: 1e8 }).map((v) => v / 1e8);
    const box = fc.tuple(value, value, value, value);
    const points = fc.array(fc.tuple(value, value), { minLength: 3, maxLength: 6 }).map((list) => list.flat());
    const size = fc.integer({ min: 1, max: 8000 });
    fc.assert(
      fc.property(fc.oneof(box, points), size, size, (numbers, width, height) => {
        const text = `0 ${numbers.map(String).join(" ")}`;
        const [row] = parseLabelRows({ text, file: "x", width, height, numClasses: 1, issues: new ImportIssues() });
        if (row?.kind === "polygon") expect(polygonRow(0, row.ring, width, height)).toBe(text);
        if (row?.kind === "box") {
          const back = boxRow(0, row.bbox, width, height).split(" ").map(Number);
          for (const [i, v] of numbers.entries()) expect(Math.abs(back[i + 1]! - v)).toBeLessThan(1e-13);
        }
      }),
    );
  });

  test("COCO -> YOLO -> COCO restores boxes of up to four decimals exactly", () => {
    const pixel = (side: number) => fc.integer({ min: 0, max: side * 1e4 }).map((v) => v / 1e4);
    fc.assert(
      fc.property(pixel(640), pixel(480), pixel(640), pixel(480), (x1, y1, x2, y2) => {
        const bbox = [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x1 - x2), Math.abs(y1 - y2)].map((v) =>
          Number(v.toFixed(4)),
        );
        const text = boxRow(0, bbox, 640, 480);
        const [row] = parseLabelRows({
          text,
          file: "x",
          width: 640,
          height: 480,
          numClasses: 1,
          issues: new ImportIssues(),
        });
        expect(row).toEqual({ kind: "box", classIndex: 0, bbox });
      }),
    );
  });

  test("COCO -> YOLO -> COCO keeps every pixel of any polygons", () => {
    fc.assert(
      fc.property(fc.array(polygon, { minLength: 1, maxLength: 4 }), (segmentation) => {
        const before = mask.fromPolygons(segmentation, HEIGHT, WIDTH);
        fc.pre(mask.area(before) > 0);
        const { lossReport } = convert(dataset([{ segmentation }]), { to: "yolo" });
        expect(lossReport.audit).toMatchObject({ numCompared: 1, numLossless: 1, minIou: 1 });
      }),
    );
  });

  test("a corner beside the rasteriser's grid keeps its pixels too", () => {
    const below = 0.1 - 2 ** -56;
    const { lossReport } = convert(dataset([{ segmentation: [[below, below, 9.1 - 2 ** -49, below, 5, 20]] }]), {
      to: "yolo",
    });
    expect(lossReport.audit).toMatchObject({ numLossless: 1 });
  });

  test("COCO -> YOLO -> COCO keeps every pixel of any run lengths: specks, holes, islands in holes", () => {
    fc.assert(
      fc.property(bitmap, (pixels) => {
        fc.pre(pixels.includes(1));
        const counts = mask.toString(mask.encode(pixels, HEIGHT, WIDTH));
        const source = dataset([{ segmentation: { size: [HEIGHT, WIDTH], counts } }]);
        expect(convert(source, { to: "yolo" }).lossReport.audit).toMatchObject({ numRle: 1, numLossless: 1 });
      }),
      { numRuns: 50 },
    );
  });

  test("the audit's IoU: 1 exactly for equal masks, symmetric, falls with each removed pixel", () => {
    fc.assert(
      fc.property(bitmap, fc.nat(), (pixels, at) => {
        const before = mask.encode(pixels, HEIGHT, WIDTH);
        expect(maskIou(before, before)).toBe(1);
        const on = [...pixels.keys()].filter((i) => pixels[i] === 1);
        fc.pre(on.length > 0);
        const less = mask.encode(pixels.with(on[at % on.length]!, 0), HEIGHT, WIDTH);
        expect(maskIou(before, less)).toBe((on.length - 1) / on.length);
        expect(maskIou(less, before)).toBe(maskIou(before, less));
      }),
      { numRuns: 30 },
    );
  });
});

describe("convert to COCO", () => {
  const RLE = { size: [HEIGHT, WIDTH] as [number, number], counts: [30, 5, 18, 5, WIDTH * HEIGHT - 58] };

  test("area, bbox and iscrowd present, keys in one order, unknown keys kept", () => {
    const source = dataset([{ segmentation: [[1, 1, 5, 1, 5, 5]], note: "x" }], { info: { year: 2026 } });
    const document = convert(source, { to: "coco" }).files.get("annotations.json") as CocoDataset;
    expect(document.info).toEqual({ year: 2026 });
    expect(Object.keys(document.annotations[0]!)).toEqual(
      "id image_id category_id bbox area iscrowd segmentation note seg_generated".split(" "),
    );
  });

  test("polygons and run lengths in both directions are lossless and audited", () => {
    for (const masks of ["polygon", "rle"] as const) {
      const source = dataset([
        { segmentation: RLE },
        {
          segmentation: [
            [1, 1, 5, 1, 5, 5],
            [8, 8, 12, 8, 9, 14],
          ],
        },
      ]);
      const { files, lossReport } = convert(source, { to: "coco", masks });
      const document = files.get("annotations.json") as CocoDataset;
      for (const annotation of document.annotations) {
        expect(Array.isArray(annotation.segmentation)).toBe(masks === "polygon");
        const original = source.annotations[annotation.id - 1]!.segmentation!;
        expect(segmentationToRle(annotation.segmentation!, HEIGHT, WIDTH)).toEqual(
          segmentationToRle(original, HEIGHT, WIDTH),
        );
        expect(annotationPolygons(annotation, HEIGHT, WIDTH).length).toBeGreaterThan(0);
      }
      expect(lossReport.audit).toMatchObject({ numLossless: lossReport.audit.numCompared, minIou: 1 });
    }
  });

  test("rounding that changes a mask is refused with its IoU", () => {
    const source = dataset([{ segmentation: [[1.6, 1.4, 9.4, 1.4, 9.4, 9.7, 3.2, 9.7]] }]);
    const lossy = { to: "coco", decimals: 0 } as const;
    expect(() => convert(source, lossy)).toThrow(expect.objectContaining({ code: "coco/conversion-loss", ids: [1] }));
    const { lossReport } = convert(source, { ...lossy, allowLoss: true });
    expect(lossReport.audit.changed).toMatchObject([
      { id: 1, pixelsBefore: expect.any(Number), pixelsAfter: expect.any(Number) },
    ]);
    expect(lossReport.audit.minIou).toBeLessThan(1);
    expect(convert(source, { ...lossy, minIou: 0.5 }).lossReport.losses).toEqual([]);
  });

  test("splits become documents; renumbering starts at 1 and keeps the class order", () => {
    const source = dataset([{ bbox: [0, 0, 4, 4], id: 0, category_id: 90 }]);
    const { files } = convert(source, { to: "coco", splits: { train: [7], val: [3] }, renumber: true });
    const train = files.get("train.json") as CocoDataset;
    expect([...files.keys()]).toEqual(["train.json", "val.json"]);
    expect(train.images.map(({ id }) => id)).toEqual([1]);
    expect(train.categories.map(({ id, name }) => [id, name])).toEqual([
      [1, "bolt"],
      [2, "nut: M8"],
    ]);
    expect(train.annotations).toMatchObject([{ id: 1, image_id: 1, category_id: 2 }]);
  });
});
