import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CocoDataset,
  type CocoResult,
  type EvalParams,
  type EvalResult,
  evaluate,
  type ImageMatches,
  type IouType,
  mask,
} from "@seg/coco-dataset";
import { type Check, compareArrays } from "../check.js";
import { type FixtureTensor, readFixtureTensors } from "../safetensors.js";

const TOLERANCE = 1e-12;

/** Masks EQUAL to pycocotools 2.0.11, evaluation within 1e-12. */
export async function run(dir: string, check: Check): Promise<void> {
  compareMasks(join(dir, "mask"), check);
  compareEvaluations(join(dir, "eval"), check, dir);
}

function json<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), "utf8")) as T;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

interface PolygonCase {
  kind: string;
  size: [number, number];
  polygons: number[][];
  parts: string[];
  merged: string;
  area: number;
  bbox: number[];
  pixels_sha256: string;
}
interface RleCase {
  size: [number, number];
  rows?: string[];
  uncompressed: number[];
  counts: string;
  area: number;
  bbox: number[];
  pixels_sha256?: string;
}
interface BoxCase {
  size: [number, number];
  bbox: number[];
  counts: string;
  area: number;
  to_bbox: number[];
}
interface PairCase {
  size: [number, number];
  dt: string[];
  gt: string[];
  iscrowd: number[];
  iou: number[][];
  union: string;
  intersection: string;
  dt_boxes: number[][];
  gt_boxes: number[][];
  box_iou: number[][];
}

function compareMasks(dir: string, check: Check): void {
  const same = (name: string, actual: unknown, expected: unknown) => {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
    check.ok(name, a === b, `${a.slice(0, 120)}, expected ${b.slice(0, 120)}`);
  };
  json<PolygonCase[]>(dir, "polygons.json").forEach((item, i) => {
    const [height, width] = item.size;
    const name = `polygons[${i}] ${item.kind}`;
    const parts = item.polygons.map((part) => mask.fromPolygons([part], height, width));
    same(`${name} parts`, parts.map(mask.toString), item.parts);
    const rle = mask.fromPolygons(item.polygons, height, width);
    same(`${name} union`, mask.toString(rle), item.merged);
    same(`${name} area and box`, [mask.area(rle), ...mask.toBbox(rle)], [item.area, ...item.bbox]);
    same(`${name} pixels`, sha256(mask.decode(rle)), item.pixels_sha256);
  });
  json<RleCase[]>(dir, "rles.json").forEach((item, i) => {
    const [height, width] = item.size;
    const rle = mask.fromUncompressed(item.uncompressed, height, width);
    same(`rles[${i}] string`, mask.toString(rle), item.counts);
    same(`rles[${i}] runs`, Array.from(mask.fromString(item.counts, height, width).counts), item.uncompressed);
    same(`rles[${i}] area and box`, [mask.area(rle), ...mask.toBbox(rle)], [item.area, ...item.bbox]);
    const pixels = mask.decode(rle);
    if (item.rows !== undefined) {
      same(`rles[${i}] pixels`, Array.from(pixels).join(""), item.rows.join(""));
      same(`rles[${i}] encode`, mask.toString(mask.encode(pixels, height, width)), item.counts);
    } else same(`rles[${i}] pixels`, sha256(pixels), item.pixels_sha256);
  });
  json<BoxCase[]>(dir, "boxes.json").forEach((item, i) => {
    const rle = mask.fromBbox(item.bbox, item.size[0], item.size[1]);
    same(`boxes[${i}]`, [mask.toString(rle), mask.area(rle), mask.toBbox(rle)], [item.counts, item.area, item.to_bbox]);
  });
  json<PairCase[]>(dir, "pairs.json").forEach((item, i) => {
    const read = (text: string) => mask.fromString(text, item.size[0], item.size[1]);
    const detections = item.dt.map(read);
    compareArrays(
      check,
      `pairs[${i}] iou`,
      mask.iou(detections, item.gt.map(read), item.iscrowd),
      item.iou.flat(),
      TOLERANCE,
    );
    compareArrays(
      check,
      `pairs[${i}] box iou`,
      mask.bboxIou(item.dt_boxes, item.gt_boxes, item.iscrowd),
      item.box_iou.flat(),
      TOLERANCE,
    );
    same(`pairs[${i}] union`, mask.toString(mask.merge(detections)), item.union);
    same(`pairs[${i}] intersection`, mask.toString(mask.merge(detections, { intersect: true })), item.intersection);
  });
}

interface ExpectedRun {
  iou_type: IouType;
  params: {
    maxDets: number[];
    useCats: number;
    catIds: number[];
    imgIds: number[];
    areaRng: [number, number][];
    areaRngLbl: string[];
    /** Absent: COCO's. */
    iouThrs?: number[];
    recThrs?: number[];
  };
  stats: number[];
  map_at_last_max_dets: number;
  stats_all_categories?: number[];
  per_category: Record<
    string,
    { ap: number; ap50: number; ap75: number; ap_per_iou: number[]; ar: number; recall_per_iou: number[] }
  >;
}

/** Files of a run: `boxes-subset` shares `boxes.*`, `real-bbox` has `real.bbox.dt.json` and the coco-tiny ground truth. */
function readRun(
  dir: string,
  fixtures: string,
  run: string,
  type: string,
): { gt: CocoDataset; dt: CocoResult[] } | null {
  const base = run.split("-")[0]!;
  if (base === "real") {
    const candidates = [
      process.env["SEG_SHARED"],
      join(fixtures, "../.."),
      join(import.meta.dirname, "../../../../shared"),
    ];
    const file = candidates
      .filter((shared) => shared !== undefined)
      .map((shared) => join(shared, "data/coco-tiny/instances_val.json"))
      .find(existsSync);
    if (file === undefined) return null;
    return { gt: json(file), dt: json(dir, `real.${type}.dt.json`) };
  }
  return { gt: json(dir, `${base}.gt.json`), dt: json(dir, `${base}.dt.json`) };
}

function compareEvaluations(dir: string, check: Check, fixtures: string): void {
  for (const [run, expected] of Object.entries(json<Record<string, ExpectedRun>>(dir, "expected.json"))) {
    const type = expected.iou_type;
    const input = readRun(dir, fixtures, run, type);
    if (input === null) {
      check.skip(run, "../data/coco-tiny is not there");
      continue;
    }
    const { params } = expected;
    const tensors = run.startsWith("real-") ? `real.${type}.safetensors` : `${run}.${type}.safetensors`;
    const evalParams: EvalParams = {
      ...(params.iouThrs === undefined ? {} : { iouThresholds: params.iouThrs }),
      ...(params.recThrs === undefined ? {} : { recallThresholds: params.recThrs }),
      imageIds: params.imgIds,
      useCategories: params.useCats === 1,
      maxDetections: params.maxDets,
      areaRanges: params.areaRng.map((range, i) => ({ label: params.areaRngLbl[i]!, range })),
      ...(params.useCats === 1 ? { categoryIds: params.catIds } : {}),
    };
    const base = { groundTruth: input.gt, detections: input.dt, iouType: type };
    const result = evaluate({ ...base, params: evalParams, matches: true });
    // COCOeval prints -1 for AP unless the last maxDets is 100; the documented deviation is the real value.
    compareArrays(
      check,
      `${run} stats`,
      result.stats,
      [expected.map_at_last_max_dets, ...expected.stats.slice(1)],
      TOLERANCE,
    );
    if (expected.stats_all_categories !== undefined) {
      compareArrays(
        check,
        `${run} stats, all categories`,
        evaluate(base).stats,
        expected.stats_all_categories,
        TOLERANCE,
      );
    }
    for (const [k, row] of result.perClass.entries()) {
      const want = expected.per_category[String(row.categoryId)];
      compareArrays(
        check,
        `${run} category ${row.categoryId}`,
        [row.ap, row.ap50, row.ap75, row.ar],
        want === undefined ? [] : [want.ap, want.ap50, want.ap75, want.ar],
        TOLERANCE,
      );
      if (want !== undefined) compareThresholds(check, `${run} category ${row.categoryId}`, result, k, want);
    }
    check.ok(
      `${run} categories`,
      result.perClass.length === Object.keys(expected.per_category).length,
      `${result.perClass.length} categories`,
    );
    compareTensors(check, run, result, readFixtureTensors(join(dir, tensors)));
    const matches = join(dir, `${run}.${type}.images.json`);
    if (existsSync(matches)) compareMatches(check, run, result.matches ?? [], json(matches));
  }
}

/** AP and recall of one category at each IoU threshold, area "all", largest number of detections. */
function compareThresholds(
  check: Check,
  name: string,
  { precision, recall, shape }: EvalResult,
  k: number,
  want: ExpectedRun["per_category"][string],
): void {
  const [T, R, K, A, M] = shape;
  const aps = Array.from({ length: T }, (_, t) => {
    const values = Array.from({ length: R }, (_unused, r) => precision[(((t * R + r) * K + k) * A + 0) * M + M - 1]!);
    const counted = values.filter((value) => value > -1);
    return counted.length === 0 ? -1 : counted.reduce((sum, value) => sum + value, 0) / counted.length;
  });
  compareArrays(check, `${name} AP per IoU`, aps, want.ap_per_iou, TOLERANCE);
  const recalls = Array.from({ length: T }, (_, t) => recall[((t * K + k) * A + 0) * M + M - 1]!);
  compareArrays(check, `${name} recall per IoU`, recalls, want.recall_per_iou, TOLERANCE);
}

function compareTensors(check: Check, run: string, result: EvalResult, tensors: Record<string, FixtureTensor>): void {
  const [T, R, K, A, M] = result.shape;
  const pick = (inner: number, a: (area: number) => boolean, source: Float64Array) => {
    const values: number[] = [];
    for (let i = 0; i < T * inner * K; i++) {
      for (let area = 0; area < A; area++) if (a(area)) values.push(source[(i * A + area) * M + M - 1]!);
    }
    return values;
  };
  for (const [name, tensor] of Object.entries(tensors)) {
    let actual: ArrayLike<number>;
    if (name === "recall_by_area") actual = pick(1, () => true, result.recall);
    else if (name === "precision")
      actual = tensor.shape.length === 5 ? result.precision : pick(R, (a) => a === 0, result.precision);
    else if (name === "scores") actual = result.scores;
    else if (name === "recall")
      actual = tensor.shape.length === 4 ? result.recall : pick(1, (a) => a === 0, result.recall);
    else {
      check.skip(`${run} ${name}`, "unknown array");
      continue;
    }
    compareArrays(check, `${run} ${name}`, actual, tensor.data as Float64Array, TOLERANCE);
  }
}

interface ExpectedMatches {
  image_id: number;
  category_id: number;
  dt_ids: number[];
  gt_ids: number[];
  dt_scores: number[];
  dt_matches: number[][];
  gt_matches: number[][];
  gt_ignore: number[];
  dt_ignore: number[][];
}

function compareMatches(
  check: Check,
  run: string,
  actual: readonly ImageMatches[],
  expected: readonly ExpectedMatches[],
): void {
  const key = (image: number, category: number) => `${image}/${category}`;
  const byKey = new Map(actual.map((cell) => [key(cell.imageId, cell.categoryId), cell]));
  for (const want of expected) {
    const cell = byKey.get(key(want.image_id, want.category_id));
    const name = `${run} image ${want.image_id} category ${want.category_id}`;
    if (cell === undefined) {
      check.ok(name, false, "no matches for it");
      continue;
    }
    const ids = cell.detectionRows.map((row) => row + 1);
    const got: ExpectedMatches = {
      image_id: cell.imageId,
      category_id: cell.categoryId,
      dt_ids: ids,
      gt_ids: [...cell.groundTruthIds],
      dt_scores: [...cell.scores],
      dt_matches: cell.detectionMatches.map((row) => row.map((g) => (g < 0 ? 0 : cell.groundTruthIds[g]!))),
      gt_matches: cell.groundTruthMatches.map((row) => row.map((d) => (d < 0 ? 0 : ids[d]!))),
      gt_ignore: cell.groundTruthIgnored.map(Number),
      dt_ignore: cell.detectionIgnored.map((row) => row.map(Number)),
    };
    for (const field of Object.keys(got) as (keyof ExpectedMatches)[]) {
      const [a, b] = [JSON.stringify(got[field]), JSON.stringify(want[field])];
      check.ok(`${name} ${field}`, a === b, `${a}, expected ${b}`);
    }
  }
  check.ok(`${run} cells`, actual.length === expected.length, `${actual.length}, expected ${expected.length}`);
}
