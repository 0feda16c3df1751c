import type { EvalCell } from "./cells.js";

/** Outcome of greedy matching in one cell and area range; T thresholds, D detections, G ground truths. */
export interface CellMatch {
  /** Position in `cell.truths` of each ground truth in matching order: ignored ones last. */
  readonly order: Int32Array;
  /** In matching order. */
  readonly truthIgnored: Uint8Array;
  /** T x D: position in the matching order, -1 unmatched. */
  readonly detectionMatch: Int32Array;
  /** T x D. */
  readonly detectionIgnored: Uint8Array;
  /** T x G: position of the detection, -1 unmatched. */
  readonly truthMatch: Int32Array;
}

/**
 * COCOeval's matching. Detections by falling score take the best free ground truth with IoU >= threshold (on equal IoU the later one);
 * ignored ground truth only when no regular one fits; a crowd may take many. Unmatched detections outside the area range are ignored.
 */
export function matchCell(
  cell: EvalCell,
  [minimum, maximum]: readonly [number, number],
  thresholds: readonly number[],
): CellMatch {
  const { truths, detections, ious } = cell;
  const numTruths = truths.length;
  const numDetections = detections.length;
  const isOutside = (area: number) => area < minimum || area > maximum;
  const order = new Int32Array(numTruths);
  const truthIgnored = new Uint8Array(numTruths);
  const crowd = new Uint8Array(numTruths);
  // Two passes are the stable sort: regular ones in file order, then the ignored.
  let filled = 0;
  for (let pass = 0; pass < 2; pass++) {
    for (let g = 0; g < numTruths; g++) {
      const truth = truths[g]!;
      if (Number(truth.isIgnored || isOutside(truth.area)) !== pass) continue;
      order[filled] = g;
      truthIgnored[filled] = pass;
      crowd[filled] = Number(truth.isCrowd);
      filled++;
    }
  }
  const detectionMatch = new Int32Array(thresholds.length * numDetections).fill(-1);
  const detectionIgnored = new Uint8Array(thresholds.length * numDetections);
  const truthMatch = new Int32Array(thresholds.length * numTruths).fill(-1);

  for (let t = 0; t < thresholds.length; t++) {
    const threshold = Math.min(thresholds[t]!, 1 - 1e-10);
    for (let d = 0; d < numDetections; d++) {
      let best = threshold;
      let match = -1;
      for (let g = 0; g < numTruths; g++) {
        if (truthMatch[t * numTruths + g]! >= 0 && crowd[g] === 0) continue;
        if (match >= 0 && truthIgnored[match] === 0 && truthIgnored[g] === 1) break;
        const value = ious[d * numTruths + order[g]!]!;
        if (value < best) continue;
        best = value;
        match = g;
      }
      if (match < 0) continue;
      detectionIgnored[t * numDetections + d] = truthIgnored[match]!;
      detectionMatch[t * numDetections + d] = match;
      truthMatch[t * numTruths + match] = d;
    }
    for (let d = 0; d < numDetections; d++) {
      if (detectionMatch[t * numDetections + d]! < 0 && isOutside(detections[d]!.area)) {
        detectionIgnored[t * numDetections + d] = 1;
      }
    }
  }
  return { order, truthIgnored, detectionMatch, detectionIgnored, truthMatch };
}
