import type { CocoDataset, CocoResult } from "../document.js";
import { envelopeAp } from "./envelope-ap.js";
import { type ImageCell, type ImageCells, imageCells } from "./image-cells.js";
import { EPSILON } from "./oks.js";
import type { IouType } from "./params.js";
import { byFallingScore, identityOrder } from "./stable-order.js";

/** Kinds of errors, of which each false detection (or missed object) has exactly one. */
export type DetectionErrorType = "Cls" | "Loc" | "Both" | "Dupe" | "Bkg" | "Miss";

/** What each kind of error costs (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", 2020). */
export interface ErrorBreakdown {
  /** AP at the foreground IoU, in [0, 1], -1 without ground truth. */
  readonly ap: number;
  readonly counts: Readonly<Record<DetectionErrorType, number>>;
  /** AP gained when all errors of this kind alone are repaired; the gains do not add up. */
  readonly deltaAp: Readonly<Record<DetectionErrorType, number>>;
  readonly foregroundIou: number;
  readonly backgroundIou: number;
}

const TYPES: readonly DetectionErrorType[] = ["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"];

interface Verdict {
  readonly type: "hit" | "ignored" | Exclude<DetectionErrorType, "Miss">;
  /** Ground truth that the detection meant, -1 where none. */
  readonly truth: number;
}

/**
 * False detections by kind, tested in this order: `Dupe` would match a ground truth that a more confident one took; `Loc` right class,
 * IoU in [background, foreground); `Cls` wrong class, IoU >= foreground; `Both` wrong class, IoU in between; `Bkg` nothing there. `Miss`:
 * a ground truth that neither a hit nor a Cls or Loc error points at. Repairs: Cls and Loc become the hit they meant (deleted when that is
 * taken), Both, Dupe and Bkg are deleted, missed objects leave the count.
 *
 * @throws EvalInputError as `evaluate`
 */
export function errorBreakdown({
  groundTruth,
  detections,
  iouType = "bbox",
  foregroundIou = 0.5,
  backgroundIou = 0.1,
}: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  iouType?: Exclude<IouType, "keypoints">;
  foregroundIou?: number;
  backgroundIou?: number;
}): ErrorBreakdown {
  const cells = imageCells({ groundTruth, detections, iouType, floor: backgroundIou });
  const verdicts = new Array<Verdict>(cells.detections.count);
  for (const cell of cells.cells()) judgeImage(cells, cell, { foregroundIou, backgroundIou }, verdicts);
  const taken = new Set(verdicts.flatMap(({ type, truth }) => (type === "hit" ? [truth] : [])));
  const pointedAt = new Set(verdicts.flatMap(({ type, truth }) => (type === "Cls" || type === "Loc" ? [truth] : [])));
  const missed = Array.from({ length: cells.truths.count }, (_, g) => g).filter(
    (g) => cells.truths.isCrowd[g] === 0 && !taken.has(g) && !pointedAt.has(g),
  );
  const ap = meanAp(cells, verdicts, null, missed);
  const counts = Object.fromEntries(
    TYPES.map((type) => [type, type === "Miss" ? missed.length : verdicts.filter((v) => v.type === type).length]),
  ) as Record<DetectionErrorType, number>;
  const deltaAp = Object.fromEntries(
    TYPES.map((type) => [type, ap < 0 ? 0 : Math.max(0, meanAp(cells, verdicts, type, missed)) - ap]),
  ) as Record<DetectionErrorType, number>;
  return { ap, counts, deltaAp, foregroundIou, backgroundIou };
}

function judgeImage(
  { truths, detections }: ImageCells,
  cell: ImageCell,
  { foregroundIou, backgroundIou }: { foregroundIou: number; backgroundIou: number },
  verdicts: Verdict[],
): void {
  const columns = cell.truths.length;
  const taken = new Uint8Array(columns);
  for (const [row, d] of cell.detections.entries()) verdicts[d] = judge(row, d);

  function judge(row: number, d: number): Verdict {
    const best = (test: (column: number) => boolean): { column: number; iou: number } => {
      let found = { column: -1, iou: 0 };
      for (let column = 0; column < columns; column++) {
        const iou = cell.ious[row * columns + column]!;
        if (iou > 0 && iou >= found.iou && test(column)) found = { column, iou };
      }
      return found;
    };
    const isCrowd = (column: number) => truths.isCrowd[cell.truths[column]!] === 1;
    const isSame = (column: number) => truths.categoryRank[cell.truths[column]!] === detections.categoryRank[d];
    const verdict = (type: Verdict["type"], column: number): Verdict => ({
      type,
      truth: column < 0 ? -1 : cell.truths[column]!,
    });
    const free = best((column) => isSame(column) && !isCrowd(column) && taken[column] === 0);
    if (free.iou >= foregroundIou) {
      taken[free.column] = 1;
      return verdict("hit", free.column);
    }
    if (best((column) => isSame(column) && isCrowd(column)).iou >= foregroundIou) return verdict("ignored", -1);
    const same = best((column) => isSame(column) && !isCrowd(column));
    if (same.iou >= foregroundIou) return verdict("Dupe", same.column);
    if (same.iou >= backgroundIou) return verdict("Loc", same.column);
    const other = best((column) => !isSame(column) && !isCrowd(column));
    if (other.iou >= foregroundIou) return verdict("Cls", other.column);
    return verdict(other.iou >= backgroundIou ? "Both" : "Bkg", other.column);
  }
}

/** COCO's 101-point AP at the one IoU, meaned over classes with ground truth, after repairing one kind of error. */
function meanAp(
  { truths, detections, categoryIds }: ImageCells,
  verdicts: readonly Verdict[],
  repaired: DetectionErrorType | null,
  missed: readonly number[],
): number {
  const total = new Int32Array(categoryIds.length);
  for (let g = 0; g < truths.count; g++) if (truths.isCrowd[g] === 0) total[truths.categoryRank[g]!]!++;
  if (repaired === "Miss") for (const g of missed) total[truths.categoryRank[g]!]!--;
  const taken = new Set(verdicts.flatMap(({ type, truth }) => (type === "hit" ? [truth] : [])));
  const ranked: boolean[][] = categoryIds.map(() => []);
  for (const d of byFallingScore(identityOrder(detections.count), detections.score)) {
    const { type, truth } = verdicts[d]!;
    if (type === "ignored") continue;
    if (type !== repaired) {
      ranked[detections.categoryRank[d]!]!.push(type === "hit");
      continue;
    }
    // Repaired: the hit it meant, once; everything else disappears.
    if ((type === "Cls" || type === "Loc") && !taken.has(truth)) {
      taken.add(truth);
      ranked[truths.categoryRank[truth]!]!.push(true);
    }
  }
  const values = ranked.flatMap((hits, k) => (total[k]! > 0 ? [averagePrecision(hits, total[k]!)] : []));
  return values.length === 0 ? -1 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function averagePrecision(hits: readonly boolean[], numTruths: number): number {
  const precision: number[] = [];
  hits.forEach((isHit, i) => {
    if (isHit) precision.push((precision.length + 1) / (i + 1 + EPSILON));
  });
  return envelopeAp(
    precision.map((_, i) => (i + 1) / numTruths),
    precision,
  );
}
