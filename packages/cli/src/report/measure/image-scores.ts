import type { MatchedCell } from "./matched-objects.js";

/** How well one image went. */
export interface ImageScore {
  readonly imageId: number;
  readonly found: number;
  readonly missed: number;
  readonly wrong: number;
  /** 2 found / (2 found + missed + wrong). */
  readonly f1: number;
}

/**
 * Images with an annotated object from the worst F1 to the best; of equals the one with more objects is the more telling and stands
 * nearer to its end.
 */
export function imageScores(cells: readonly MatchedCell[]): ImageScore[] {
  const byImage = new Map<number, { found: number; missed: number; wrong: number }>();
  for (const { imageId, found, missed, wrong } of cells) {
    const sum = byImage.get(imageId) ?? { found: 0, missed: 0, wrong: 0 };
    sum.found += found.length;
    sum.missed += missed.length;
    sum.wrong += wrong;
    byImage.set(imageId, sum);
  }
  const scores = [...byImage].flatMap(([imageId, { found, missed, wrong }]) =>
    found + missed === 0 ? [] : [{ imageId, found, missed, wrong, f1: (2 * found) / (2 * found + missed + wrong) }],
  );
  const errors = ({ missed, wrong }: ImageScore) => missed + wrong;
  return scores.sort(
    (a, b) => a.f1 - b.f1 || errors(b) - errors(a) || a.found + a.missed - b.found - b.missed || a.imageId - b.imageId,
  );
}

/** The images to look at: the worst, worst first, and the best, best first, without an overlap. */
export function bestAndWorst(
  scores: readonly ImageScore[],
  count: number,
): { worst: readonly ImageScore[]; best: readonly ImageScore[] } {
  const total = Math.min(count, scores.length);
  const worst = scores.slice(0, Math.ceil(total / 2));
  const best = scores.slice(scores.length - Math.floor(total / 2)).reverse();
  return { worst, best };
}
