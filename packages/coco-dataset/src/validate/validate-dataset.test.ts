import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CocoAnnotation, CocoDataset } from "../document.js";
import { evaluate } from "../evaluate/evaluate.js";
import { formatSummary } from "../format-summary.js";
import { usableAnnotations } from "../instances.js";
import { loadDataset } from "../load/load-dataset.js";
import { splitDataset } from "../split/split-dataset.js";
import { fixDataset } from "./fix-dataset.js";
import { assertUsable, validateDataset } from "./validate-dataset.js";

function dataset(annotations: Partial<CocoAnnotation>[], fields: Partial<CocoDataset> = {}): CocoDataset {
  return {
    images: [1, 2, 3].map((id) => ({ id, width: 100, height: 80, file_name: `${id}.jpg` })),
    categories: [1, 2].map((id) => ({ id, name: `class ${id}` })),
    annotations: annotations.map((item, i) => ({ id: i + 1, image_id: 1, category_id: 1, iscrowd: 0, ...item })),
    ...fields,
  };
}
const box = (...bbox: number[]) => ({ bbox });
const square = (x: number, y: number, side: number) => [x, y, x + side, y, x + side, y + side, x, y + side];

async function finding(code: string, source: CocoDataset) {
  const { report } = await validateDataset(source);
  return report.findings.filter((item) => item.code === code);
}

describe("validateDataset, structural", () => {
  const image = { id: 1, width: 100, height: 80, file_name: "1.jpg" };
  test.each([
    ["dup_image_id", dataset([], { images: [image, { ...image, file_name: "2.jpg" }] }), [1]],
    ["dup_file_name", dataset([], { images: [image, { ...image, id: 2 }] }), [2]],
    ["zero_dimensions", dataset([], { images: [{ ...image, width: 0 }] }), [1]],
    [
      "dup_category_id",
      dataset([], {
        categories: [
          { id: 1, name: "a" },
          { id: 1, name: "b" },
        ],
      }),
      [1],
    ],
    [
      "dup_category_name",
      dataset([], {
        categories: [
          { id: 1, name: "a" },
          { id: 2, name: "a" },
        ],
      }),
      [2],
    ],
    [
      "dup_ann_id",
      dataset([
        { id: 5, ...box(0, 0, 1, 1) },
        { id: 5, ...box(9, 9, 1, 1) },
      ]),
      [5],
    ],
    ["orphan_image", dataset([{ image_id: 9, ...box(0, 0, 5, 5) }]), [1]],
    ["orphan_category", dataset([{ category_id: 9, ...box(0, 0, 5, 5) }]), [1]],
    ["missing_geometry", dataset([{}]), [1]],
    ["bad_bbox_len", dataset([box(0, 0, 5)]), [1]],
    ["non_finite", dataset([box(0, 0, 5, Number.NaN)]), [1]],
    ["bad_polygon", dataset([{ segmentation: [square(0, 0, 5), [1, 2, 3, 4]] }]), [1]],
    ["bad_rle", dataset([{ segmentation: { size: [80, 100], counts: [5, 5] } }]), [1]],
    ["bad_rle", dataset([{ segmentation: { size: [80, 100], counts: "~~" } }]), [1]],
    ["rle_size_mismatch", dataset([{ segmentation: { size: [100, 80], counts: [8000] } }]), [1]],
  ])("%s is an error that names the ids", async (code, source, ids) => {
    const before = structuredClone(source);
    const [found, ...rest] = await finding(code, source);
    expect(rest).toEqual([]);
    expect(found).toMatchObject({ severity: "error", layer: "structural", ids, count: ids.length });
    expect(source).toEqual(before);
  });

  test("an unknown category id makes the dataset unusable", async () => {
    const { report } = await validateDataset(dataset([{ category_id: 9, ...box(0, 0, 5, 5) }]));
    expect(report.ok).toBe(false);
    expect(() => assertUsable(report)).toThrow(
      expect.objectContaining({ code: "coco/unusable", codes: ["orphan_category"], ids: [1] }),
    );
  });

  test("a document of the wrong shape is a finding", async () => {
    const { report } = await validateDataset({ images: [], categories: [] } as never);
    expect(report.findings).toMatchObject([{ code: "json_shape", severity: "error" }]);
  });

  test("id 0 is legal and mentioned", async () => {
    const source = dataset([{ id: 0, category_id: 0, ...box(0, 0, 5, 5) }], { categories: [{ id: 0, name: "a" }] });
    expect((await validateDataset(source)).report.findings.map((item) => item.code)).toEqual(
      expect.arrayContaining(["ann_id_zero", "category_id_zero"]),
    );
  });
});

describe("validateDataset, geometry", () => {
  test.each([
    ["negative_wh", [box(10, 10, -5, 5)], [1]],
    ["zero_area", [box(10, 10, 0, 5), box(1, 1, 5, 5)], [1]],
    ["bbox_oob", [box(-1, 0, 5, 5), box(0, 0, 100, 80), box(96, 0, 5, 5), box(0, 76, 5, 5)], [1, 3, 4]],
    ["polygon_oob", [{ segmentation: [square(98, 0, 5)] }, { segmentation: [square(90, 0, 10)] }], [1]],
    ["bbox_vs_segmentation", [{ ...box(0, 0, 20, 20), segmentation: [square(5, 5, 20)] }], [1]],
    ["area_vs_segmentation", [{ area: 500, segmentation: [square(5, 5, 20)] }], [1]],
    ["tiny", [box(0, 0, 1, 1), box(0, 0, 3, 3)], [1]],
    ["duplicate_annotation", [box(0, 0, 50, 50), box(0, 0, 50, 50.5), { category_id: 2, ...box(0, 0, 50, 50) }], [2]],
    ["masks_are_boxes", [{ segmentation: [square(5, 5, 20)] }], [1]],
    ["suspicious_iscrowd", [{ iscrowd: 1, segmentation: [square(5, 5, 20)] }], [1]],
  ])("%s is a warning that names the ids", async (code, annotations, ids) => {
    const found = await finding(code, dataset(annotations));
    expect(found).toMatchObject([{ severity: "warn", layer: "geometry", ids }]);
  });

  test("a zero-area box names its file, stays usable and can be dropped", async () => {
    const source = dataset([box(10, 10, 0, 0), box(1, 1, 5, 5)]);
    const { report } = await validateDataset(source);
    const found = report.findings.find((item) => item.code === "zero_area")!;
    expect(found.files).toEqual(["1.jpg"]);
    expect(found.message).toContain("1.jpg");
    expect(() => assertUsable(report)).not.toThrow();
    expect(usableAnnotations(source).map((annotation) => annotation.id)).toEqual([2]);
    const fixed = fixDataset(source, report);
    expect(fixed.dataset.annotations.map((annotation) => annotation.id)).toEqual([2]);
    expect(fixed.patchLog).toMatchObject([{ id: 1, field: null, code: "zero_area", after: null }]);
  });

  test("two masks in one box are no duplicates unless the masks agree", async () => {
    const one = { ...box(0, 0, 50, 50), segmentation: [[0, 0, 50, 0, 0, 50]] };
    const two = { ...box(0, 0, 50, 50), segmentation: [[50, 50, 50, 0, 0, 50]] };
    expect(await finding("duplicate_annotation", dataset([one, two]))).toEqual([]);
    expect(await finding("duplicate_annotation", dataset([one, one]))).toMatchObject([{ ids: [2] }]);
  });

  test("boxes that completion derived are not compared with their own mask", async () => {
    const { report } = await validateDataset(dataset([{ segmentation: [[0, 0, 50, 0, 0, 50]] }]));
    expect(report.findings.filter((item) => item.layer === "geometry")).toEqual([]);
    expect(report.inspection).toMatchObject({ hasBoxes: false, task: "segmentation" });
  });
});

describe("validateDataset, distribution", () => {
  test("a category that is never present, few instances, images without annotations", async () => {
    const { report } = await validateDataset(dataset([box(0, 0, 50, 50)]));
    const codes = Object.fromEntries(report.findings.map((item) => [item.code, item]));
    expect(codes["zero_instances"]).toMatchObject({ severity: "warn", ids: [2] });
    expect(codes["low_instances"]).toMatchObject({ severity: "warn", ids: [1] });
    expect(codes["images_without_annotations"]).toMatchObject({ severity: "info", ids: [2, 3] });
    expect(report.ok).toBe(true);
    expect((await validateDataset(dataset([box(0, 0, 50, 50)]), { strict: true })).report.ok).toBe(false);
  });

  test("imbalance and no negatives", async () => {
    const many = Array.from({ length: 102 }, (_, i) => ({
      image_id: 1 + (i % 3),
      ...box(i % 50, i % 30, 10 + i / 7, 10),
    }));
    const { report } = await validateDataset(dataset([...many, { category_id: 2, ...box(0, 0, 9, 9) }]));
    expect(report.findings.map((item) => item.code)).toEqual(
      expect.arrayContaining(["imbalance_ratio", "dominance", "no_negatives"]),
    );
  });
});

describe("validateDataset, image files", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "seg-images-"));
    for (const name of ["1.jpg", "2.jpg", "other.png"]) await writeFile(join(folder, name), name);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test("missing, corrupt, of another size, not referenced", async () => {
    const probeImage = async (path: string) => {
      if (path.endsWith("2.jpg")) throw new Error("truncated");
      return { width: 80, height: 100 };
    };
    const { report } = await validateDataset(dataset([box(0, 0, 5, 5)]), { imagesDir: folder, probeImage });
    const found = report.findings.filter((item) => item.layer === "images");
    expect(found.map(({ code, files }) => [code, files])).toEqual([
      ["missing_file", ["3.jpg"]],
      ["corrupt", ["2.jpg"]],
      ["dim_mismatch", ["1.jpg"]],
      ["unreferenced_file", ["other.png"]],
    ]);
    expect(report.imagesChecked).toBe("decoded");
  });

  test("a file name that leads out of the folder counts as missing", async () => {
    const source = dataset([], { images: [{ id: 1, width: 1, height: 1, file_name: "../../etc/passwd" }] });
    const { report } = await validateDataset(source, { imagesDir: folder });
    expect(report.findings.find((item) => item.code === "missing_file")).toMatchObject({ ids: [1] });
  });
});

describe("fixDataset", () => {
  test("safe fixes clip and drop; the result has none of the fixed findings", async () => {
    const source = dataset([
      box(-5, 0, 10, 10),
      box(200, 0, 10, 10),
      {
        segmentation: [
          [0, 0, 50, 0, 0, 50],
          [1, 2],
        ],
      },
      { iscrowd: 1, segmentation: [[0, 0, 50, 0, 0, 60]] },
      box(10, 10, -5, 5),
    ]);
    const { report } = await validateDataset(source);
    const { dataset: fixed } = fixDataset(source, report);
    expect(fixed.annotations.map((annotation) => annotation.id)).toEqual([1, 3, 4, 5]);
    expect(fixed.annotations[0]).toMatchObject({ bbox: [0, 0, 5, 10], area: 50 });
    const again = (await validateDataset(fixed)).report.findings.map((item) => item.code);
    for (const code of ["bbox_oob", "bad_polygon", "suspicious_iscrowd"]) expect(again).not.toContain(code);
    expect(again).toContain("negative_wh");
    const all = fixDataset(source, report, { unsafe: true }).dataset;
    expect(all.annotations.at(-1)!.bbox).toEqual([5, 10, 5, 5]);
  });
});

describe("formatSummary", () => {
  test("is short, names every class and gives a verdict", async () => {
    const { dataset: completed, report } = await validateDataset(dataset([box(0, 0, 50, 50), box(0, 0, 0, 1)]));
    const split = splitDataset(completed, { ratios: "train:0.5,val:0.5" });
    const text = formatSummary(report, { split });
    expect(text).toMatch(/class 2 +0 +0 +0\.0% +0 +0 +0 +never present/);
    expect(text).toMatch(/split +train +val/);
    expect(text).toMatch(/zero_area \(1\).*\[fix: drop-annotation\]/);
    expect(text.split("\n").at(-1)).toMatch(/^verdict +usable/);
    expect(text.split("\n").length).toBeLessThan(40);
  });
});

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../shared");

describe.skipIf(!existsSync(join(shared, "data/bccd")))("shared/data/bccd", () => {
  test("names the files of the two zero-size boxes", async () => {
    const source = await loadDataset(join(shared, "data/bccd/annotations.json"));
    const { report } = await validateDataset(source, { imagesDir: join(shared, "data/bccd/images") });
    expect(report.ok).toBe(true);
    expect(report.inspection).toMatchObject({ task: "detection", numImages: 364, numAnnotations: 4888 });
    const found = report.findings.find((item) => item.code === "zero_area");
    expect(found).toMatchObject({ ids: [3951, 4005], files: ["BloodImage_00338.jpg", "BloodImage_00343.jpg"] });
    expect(usableAnnotations(source).length).toBe(4886);
  });
});

describe.skipIf(!existsSync(join(shared, "data/coco-tiny")))("shared/data/coco-tiny", () => {
  test.each(["train", "val"])("instances_%s.json has no errors", async (name) => {
    const source = await loadDataset(join(shared, `data/coco-tiny/instances_${name}.json`));
    const { report } = await validateDataset(source, { imagesDir: join(shared, "data/coco-tiny/images") });
    expect(report.findings.filter((item) => item.severity === "error")).toEqual([]);
    expect(report.inspection.task).toBe("segmentation");
  });

  test("its own annotations as detections are perfect", async () => {
    const groundTruth = await loadDataset(join(shared, "data/coco-tiny/instances_val.json"));
    const detections = groundTruth.annotations
      .filter((annotation) => annotation.iscrowd !== 1)
      .map(({ image_id, category_id, bbox, segmentation }) => ({
        image_id,
        category_id,
        bbox: bbox!,
        segmentation: segmentation!,
        score: 1,
      }));
    for (const iouType of ["bbox", "segm"] as const) {
      expect(evaluate({ groundTruth, detections, iouType }).stats[0]).toBeCloseTo(1, 12);
    }
  });
});
