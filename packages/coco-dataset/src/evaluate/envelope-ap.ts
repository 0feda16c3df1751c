import { RECALL_POINTS } from "./params.js";

/**
 * COCO's AP of one class: mean over the 101 recall points of the best precision at or beyond them, 0 where none is reached.
 *
 * @param recall - ascending, at each true positive
 * @param precision - there
 */
export function envelopeAp(recall: ArrayLike<number>, precision: ArrayLike<number>): number {
  const envelope = Float64Array.from(precision);
  for (let i = envelope.length - 1; i > 0; i--) envelope[i - 1] = Math.max(envelope[i - 1]!, envelope[i]!);
  let sum = 0;
  let at = 0;
  for (const point of RECALL_POINTS) {
    while (at < recall.length && recall[at]! < point) at++;
    sum += envelope[at] ?? 0;
  }
  return sum / RECALL_POINTS.length;
}
