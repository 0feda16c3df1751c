import { describe, expect, test } from "vitest";
import { boxIou, xywhToXyxy, xyxyToXywh } from "./boxes.js";
import { createClassMapping } from "./class-mapping.js";
import { completeDataset } from "./complete-dataset.js";
import type { CocoAnnotation, CocoDataset } from "./document.js";
import { inspectDataset } from "./inspect-dataset.js";
import { instancesOf, usableAnnotations } from "./instances.js";
import { mask } from "./mask/index.js";
import { annotationPolygons, segmentationToRle } from "./segmentation.js";

const TRIANGLE = [
  [1, 1, 5, 1, 1, 5],
  [6, 6, 8, 6, 8, 8],
];
const RLE = { size: [10, 10] as [number, number], counts: [11, 2, 8, 2, 77] };

function dataset(annotations: Partial<CocoAnnotation>[]): CocoDataset {
  return {
    images: [
      { id: 1, width: 10, height: 10, file_name: "a.jpg" },
      { id: 2, width: 10, height: 10, file_name: "b.jpg" },
    ],
    categories: [
      { id: 9, name: "nut" },
      { id: 4, name: "bolt" },
    ],
    annotations: annotations.map((item, i) => ({ id: i + 1, image_id: 1, category_id: 4, ...item })),
  };
}

describe("boxes", () => {
  test("conversions and IoU", () => {
    expect(xywhToXyxy([1, 2, 3, 4])).toEqual([1, 2, 4, 6]);
    expect(xyxyToXywh([1, 2, 4, 6])).toEqual([1, 2, 3, 4]);
    expect(boxIou([0, 0, 2, 2], [1, 1, 3, 3])).toBe(1 / 7);
    expect(boxIou([0, 0, 0, 0], [0, 0, 0, 0])).toBe(0);
  });
});

describe("createClassMapping", () => {
  test("index is the rank of the ascending category id, never id - 1", () => {
    expect(createClassMapping(dataset([])).classes).toEqual([
      { index: 0, categoryId: 4, name: "bolt" },
      { index: 1, categoryId: 9, name: "nut" },
    ]);
    expect(createClassMapping(dataset([{ category_id: 9 }]), { dropUnused: true }).classes).toEqual([
      { index: 0, categoryId: 9, name: "nut" },
    ]);
  });
});

describe("completeDataset", () => {
  test("polygons: float min/max and the sum of the parts' areas", () => {
    const { dataset: completed, report } = completeDataset(dataset([{ segmentation: TRIANGLE }]));
    expect(completed.annotations[0]).toMatchObject({ bbox: [1, 1, 7, 7], area: 10, iscrowd: 0 });
    expect(completed.annotations[0]!.seg_generated?.toSorted()).toEqual(["area", "bbox", "iscrowd"]);
    expect(report).toMatchObject({ bbox: { fromPolygons: 1 }, area: { fromPolygons: 1 }, iscrowd: 1 });
  });

  test("run lengths, boxes, missing ids", () => {
    const source = dataset([{ segmentation: RLE, iscrowd: 0 }, { bbox: [0, 0, 2, 3] }, {}]);
    const annotations = source.annotations.map(({ id, ...rest }, i) => (i === 1 ? rest : { id, ...rest }));
    const { dataset: completed, report } = completeDataset({ ...source, annotations: annotations as CocoAnnotation[] });
    expect(completed.annotations[0]).toMatchObject({ bbox: [1, 1, 2, 2], area: 4 });
    expect(completed.annotations[1]).toMatchObject({ id: 4, area: 6 });
    expect(report).toMatchObject({
      bbox: { fromRle: 1 },
      area: { fromRle: 1, fromBox: 1 },
      id: 1,
      missingGeometry: [3],
    });
  });

  test("overwrites nothing, mutates nothing, and doing it again changes nothing", () => {
    const source = dataset([
      { segmentation: TRIANGLE, bbox: [0, 0, 9, 9], area: 3, iscrowd: 1 },
      { segmentation: RLE },
    ]);
    const before = structuredClone(source);
    const once = completeDataset(source).dataset;
    expect(source).toEqual(before);
    expect(once.annotations[0]).toBe(source.annotations[0]);
    expect(completeDataset(once).dataset).toEqual(once);
  });
});

describe("inspectDataset", () => {
  test("masks only: generated boxes do not count", () => {
    const source = dataset([{ segmentation: TRIANGLE }, { segmentation: RLE }]);
    const plain = inspectDataset(source);
    expect(plain).toMatchObject({ hasBoxes: false, hasMasks: true, task: "segmentation", boxesGenerated: 0 });
    expect(plain.counts).toEqual({ bbox: 0, polygon: 1, rle: 1, keypoints: 0, none: 0 });
    expect(plain.derivable).toEqual({ boxes: 2, areas: 2 });
    const completed = inspectDataset(completeDataset(source).dataset);
    expect(completed).toEqual({ ...plain, boxesGenerated: 2, areasGenerated: 2 });
  });

  test.each([
    ["detection", [{ bbox: [0, 0, 1, 1] }]],
    ["mixed", [{ bbox: [0, 0, 1, 1] }, { segmentation: TRIANGLE }]],
    ["segmentation", [{ bbox: [0, 0, 1, 1], iscrowd: 1 }, { segmentation: TRIANGLE }]],
    ["keypoints", [{ bbox: [0, 0, 1, 1], keypoints: [1, 1, 2] }]],
    ["caption", [{ caption: "a bolt" }]],
    ["none", []],
    ["none", [{ bbox: [], segmentation: [[]] }]],
    ["none", [{ bbox: [1, 2, 3], segmentation: [[1, 2, 3, 4]] }]],
  ] as [string, Partial<CocoAnnotation>[]][])("task %s", (task, annotations) => {
    expect(inspectDataset(dataset(annotations)).task).toBe(task);
  });

  test("an image without annotations is a negative", () => {
    expect(inspectDataset(dataset([{ bbox: [0, 0, 1, 1] }])).numNegatives).toBe(1);
  });
});

describe("instancesOf and usableAnnotations", () => {
  const source = dataset([
    { bbox: [1, 1, 2, 3], category_id: 9 },
    { segmentation: RLE },
    { bbox: [0, 0, 0, 5] },
    { bbox: [0, 0, 5, 5], iscrowd: 1 },
    { bbox: [0, 0, 5, 5], category_id: 77 },
    { bbox: [0, 0, 5, 5], image_id: 33 },
  ]);

  test("zero-size, crowd and orphan annotations are left out", () => {
    expect(usableAnnotations(source).map((annotation) => annotation.id)).toEqual([1, 2]);
    expect(usableAnnotations(source, { crowd: true }).map((annotation) => annotation.id)).toEqual([1, 2, 4]);
  });

  test("boxes are xyxy, masks run lengths of the image", () => {
    const [first, second, ...rest] = instancesOf(source, 1, createClassMapping(source));
    expect(rest).toEqual([]);
    expect(first).toEqual({ classId: 1, box: [1, 1, 3, 4] });
    expect(second).toMatchObject({ classId: 0, box: [1, 1, 3, 3] });
    expect(mask.area(second!.mask!)).toBe(4);
    expect(instancesOf(source, 2, createClassMapping(source))).toEqual([]);
  });
});

describe("segmentationToRle and annotationPolygons", () => {
  test("run lengths of a wrong length name the annotation", () => {
    const short = { size: [10, 10] as [number, number], counts: [11, 2] };
    expect(() => segmentationToRle(short, 10, 10, { annotationId: 5 })).toThrow(
      expect.objectContaining({ code: "coco/rle", reason: "length", annotationId: 5 }),
    );
  });

  test("a swapped size says so", () => {
    const swapped = { size: [4, 3] as [number, number], counts: [12] };
    expect(() => segmentationToRle(swapped, 3, 4)).toThrow(
      expect.objectContaining({ reason: "size", message: expect.stringContaining("swapped") }),
    );
  });

  test("polygons of polygons are themselves, those of run lengths rasterise to the same mask", () => {
    const [polygon, runs] = dataset([{ segmentation: [...TRIANGLE, [1, 2]] }, { segmentation: RLE }]).annotations;
    expect(annotationPolygons(polygon!, 10, 10).map((part) => Array.from(part))).toEqual(TRIANGLE);
    const restored = mask.fromPolygons(annotationPolygons(runs!, 10, 10), 10, 10);
    expect(restored).toEqual(segmentationToRle(RLE, 10, 10));
  });
});
