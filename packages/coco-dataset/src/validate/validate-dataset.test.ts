import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
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
import { createImageProbe } from "./image-probe.js";
import { resultFindings } from "./result-findings.js";
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
  // A bridge to the hole is walked in both directions.
  const ring = [[0, 0, 20, 0, 20, 20, 0, 20, 5, 15, 15, 15, 15, 5, 5, 5, 5, 15, 0, 20]];
  const chain = Array.from({ length: 200 }, (_, i) => [
    50 + 10 * Math.cos(i / 31.8),
    40 + 10 * Math.sin(i / 31.8),
  ]).flat();
  test.each([
    ["negative_wh", [box(10, 10, -5, 5)], [1]],
    ["zero_area", [box(10, 10, 0, 5), box(1, 1, 5, 5)], [1]],
    ["bbox_oob", [box(-1, 0, 5, 5), box(0, 0, 100, 80), box(96, 0, 5, 5), box(0, 76, 5, 5)], [1, 3, 4]],
    ["polygon_oob", [{ segmentation: [square(98, 0, 5)] }, { segmentation: [square(90, 0, 10)] }], [1]],
    ["bbox_vs_segmentation", [{ ...box(0, 0, 20, 20), segmentation: [square(5, 5, 20)] }], [1]],
    ["area_vs_segmentation", [{ area: 500, segmentation: [square(5, 5, 20)] }], [1]],
    ["self_intersection", [{ segmentation: [[0, 0, 10, 10, 10, 0, 0, 10]] }, { segmentation: [square(0, 0, 9)] }], [1]],
    ["extreme_aspect", [box(0, 0, 90, 4), box(0, 0, 80, 4)], [1]],
    ["whole_image_box", [box(0, 0, 100, 79.5), box(0, 0, 90, 79)], [1]],
    ["cross_class_duplicate", [box(0, 0, 50, 50), { category_id: 2, ...box(0, 0, 50, 50.5) }, box(9, 9, 9, 9)], [2]],
    [
      "mask_multi_component",
      [{ segmentation: [square(0, 0, 5), square(9, 9, 5)] }, { segmentation: [square(0, 0, 5)] }],
      [1],
    ],
    ["mask_multi_component", [{ segmentation: { size: [80, 100], counts: [0, 5, 9, 5, 7981] } }], [1]],
    ["mask_has_holes", [{ segmentation: ring }, { segmentation: [square(0, 0, 5)] }], [1]],
    ["polygon_too_dense", [{ segmentation: [chain] }, { segmentation: [square(0, 0, 5)] }], [1]],
    ["bbox_normalised_suspected", [box(0.1, 0.1, 0.5, 0.5)], [1]],
    ["bbox_xyxy_suspected", [box(40, 40, 90, 70), box(50, 20, 99, 79)], [1, 2]],
    ["yolo_center_suspected", [box(70, 50, 50, 50), box(60, 40, 70, 60), box(20, 20, 9, 9)], [1, 2, 3]],
    ["tiny", [box(0, 0, 1, 1), box(0, 0, 3, 3)], [1]],
    ["duplicate_annotation", [box(0, 0, 50, 50), box(0, 0, 50, 50.5), { category_id: 2, ...box(0, 0, 50, 50) }], [2]],
    ["masks_are_boxes", [{ segmentation: [square(5, 5, 20)] }], [1]],
    ["suspicious_iscrowd", [{ iscrowd: 1, segmentation: [square(5, 5, 20)] }], [1]],
  ])("%s is a warning that names the ids", async (code, annotations, ids) => {
    const found = await finding(code, dataset(annotations as Partial<CocoAnnotation>[]));
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

describe("validateDataset, options", () => {
  test("only the checks asked for, with other limits", async () => {
    const source = dataset([box(0, 0, 3, 3), box(0, 0, 90, 4)]);
    const { report } = await validateDataset(source, { checks: ["tiny"], thresholds: { tinyArea: 10 } });
    expect(report.findings).toMatchObject([{ code: "tiny", ids: [1] }]);
  });

  test.each([
    [{ checks: ["tiny", "tinny"] }, ["tinny"]],
    [{ thresholds: { tinyAera: 3 } }, ["tinyAera"]],
  ])("a name that does not exist is an error: %j", async (options, unknown) => {
    await expect(validateDataset(dataset([]), options as never)).rejects.toMatchObject({
      code: "coco/check-name",
      unknown,
    });
  });
});

describe("validateDataset, splits and duplicates", () => {
  const source = dataset([box(0, 0, 50, 50), { image_id: 2, category_id: 2, ...box(0, 0, 50, 50) }]);
  const part = (id: number) => ({
    ...source,
    images: source.images.filter((image) => image.id === id),
    annotations: source.annotations.filter((annotation) => annotation.image_id === id),
  });

  test("a class outside training, drift, shared images and shared pictures", async () => {
    const splits = { train: part(1), val: part(2) };
    const { report } = await validateDataset(source, { splits, duplicates: { exact: [[1, 2]], near: [[1, 2]] } });
    const codes = Object.fromEntries(report.findings.map((item) => [item.code, item]));
    expect(codes["class_missing_in_train"]).toMatchObject({ severity: "error", ids: [2], layer: "split" });
    expect(codes["only_in_val_test"]).toMatchObject({ ids: [2] });
    expect(codes["split_drift"]!.message).toContain("class");
    expect(codes["exact_duplicate"]).toMatchObject({ ids: [1, 2], layer: "images" });
    expect(codes["near_duplicate"]).toBeUndefined();
    expect(codes["split_leakage"]).toMatchObject({ severity: "error", ids: [1, 2] });
    const twice = await validateDataset(source, { splits: { train: part(1), val: source } });
    expect(twice.report.findings.find((item) => item.code === "split_leakage")).toMatchObject({ ids: [1] });
  });

  test("a size that a class never has", async () => {
    const small = Array.from({ length: 12 }, (_, i) => box(i, 0, 10, 10));
    const large = Array.from({ length: 12 }, (_, i) => ({ category_id: 2, ...box(0, i, 60, 60 - i) }));
    const { report } = await validateDataset(dataset([...small, ...large]));
    expect(report.findings.find((item) => item.code === "size_bin_gap")).toMatchObject({ ids: [1, 2] });
  });
});

describe("validateDataset, what a probe tells", () => {
  test("orientation, mode and looks", async () => {
    const folder = await mkdtemp(join(tmpdir(), "seg-looks-"));
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) await writeFile(join(folder, name), name);
    const normal = { mean: 120, deviation: 50, laplacianVariance: 300 };
    const probes: Record<string, object> = {
      "1.jpg": { width: 80, height: 100, orientation: 6, gray: { ...normal, laplacianVariance: 3 } },
      "2.jpg": { width: 100, height: 80, mode: ["CMYK"], gray: { ...normal, mean: 250 } },
      "3.jpg": { width: 100, height: 80, gray: { mean: 3, deviation: 1, laplacianVariance: 0 } },
    };
    const probeImage = async (path: string) => probes[path.slice(-5)] as never;
    const { report } = await validateDataset(dataset([]), { imagesDir: folder, probeImage });
    await rm(folder, { recursive: true });
    const found = report.findings.filter((item) => item.layer === "images");
    expect(found.map(({ code, ids }) => [code, ids])).toEqual([
      ["exif_orientation", [1]],
      ["unusual_mode", [2]],
      ["low_information", [3]],
      ["blurry", [1]],
      ["light", [2]],
    ]);
    expect(found[0]!.message).toContain("oriented");
  });

  test("createImageProbe reads size, EXIF, mode and gray of real files", async () => {
    const { default: sharp } = await import("sharp");
    const folder = await mkdtemp(join(tmpdir(), "seg-probe-"));
    const noise = Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => (i * 7919) % 251);
    await sharp(noise, { raw: { width: 64, height: 48, channels: 3 } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toFile(join(folder, "a.jpg"));
    await sharp({ create: { width: 9, height: 5, channels: 4, background: "black" } })
      .png()
      .toFile(join(folder, "b.png"));
    const probe = await createImageProbe();
    expect(await probe(join(folder, "a.jpg"))).toMatchObject({ width: 64, height: 48, orientation: 6, mode: [] });
    expect(await probe(join(folder, "b.png"))).toMatchObject({
      width: 9,
      height: 5,
      orientation: 1,
      mode: ["alpha"],
      gray: { mean: 0, deviation: 0, laplacianVariance: 0 },
    });
    const bytes = await readFile(join(folder, "a.jpg"));
    await writeFile(join(folder, "c.jpg"), bytes.subarray(0, bytes.length / 2));
    await expect(probe(join(folder, "c.jpg"))).rejects.toThrow();
    await rm(folder, { recursive: true });
  });
});

describe("fixDataset, unsafe repairs", () => {
  test.each([
    ["box-from-corners", [box(40, 40, 90, 70), box(50, 20, 99, 79)], [40, 40, 50, 30]],
    ["box-from-center", [box(70, 50, 50, 50), box(60, 40, 70, 60)], [45, 25, 50, 50]],
    ["box-from-normalised", [box(0.1, 0.1, 0.5, 0.5)], [10, 8, 50, 40]],
    ["recompute-box", [{ ...box(0, 0, 20, 20), segmentation: [square(5, 5, 20)] }], [5, 5, 20, 20]],
  ])("%s, and the result is clean", async (_kind, annotations, bbox) => {
    const source = dataset(annotations);
    const { report } = await validateDataset(source);
    expect(fixDataset(source, report).dataset.annotations[0]!.bbox).toEqual(source.annotations[0]!.bbox);
    const { dataset: fixed, patchLog } = fixDataset(source, report, { unsafe: true });
    expect(fixed.annotations[0]!.bbox).toEqual(bbox);
    expect(patchLog[0]).toMatchObject({ id: 1, field: "bbox" });
    const again = await validateDataset(fixed);
    expect(
      again.report.findings.filter((item) => item.fix !== undefined && item.code !== "suspicious_iscrowd"),
    ).toEqual([]);
  });

  test("a placeholder category goes on request", async () => {
    const source = dataset([box(0, 0, 5, 5)], {
      categories: [
        { id: 0, name: "root", supercategory: "none" },
        { id: 1, name: "a" },
      ],
    });
    const { report } = await validateDataset(source);
    const { dataset: fixed } = fixDataset(source, report, { unsafe: true, codes: ["dummy_category"] });
    expect(fixed.categories.map(({ id }) => id)).toEqual([1]);
  });
});

describe("resultFindings", () => {
  test("names the rows", () => {
    const row = { image_id: 1, category_id: 1, bbox: [0, 0, 1, 1], score: 0.5 };
    const rows = [
      row,
      { ...row, score: undefined },
      { ...row, score: Number.NaN },
      { ...row, score: 1.5 },
      { ...row, image_id: 9 },
      { ...row, category_id: 9 },
      { ...row, bbox: [] },
    ];
    const found = resultFindings(dataset([]), rows as never, { maxDetections: 4 });
    expect(found.map(({ code, ids }) => [code, ids])).toEqual([
      ["score_missing", [1]],
      ["score_not_finite", [2]],
      ["unknown_image_id", [4]],
      ["unknown_category_id", [5]],
      ["result_without_geometry", [6]],
      ["score_out_of_range", [3]],
      ["detections_beyond_max", [2]],
    ]);
  });
});
