import type { Cell } from "./cell-similarity.js";
import type { DetectionTable } from "./detection-table.js";
import type { TruthTable } from "./truth-table.js";

/** Bits of a detection's status at one threshold. */
export const MATCHED = 1;
export const IGNORED = 2;

/** What matching of one cell in one area range found, for readers that want more than counts; T thresholds. */
export interface CellMatch {
  /** Per ground truth, in cell order. */
  readonly truthIgnored: Uint8Array;
  /** T x detections: position of the ground truth in the cell, -1 unmatched. */
  readonly detectionMatch: Int32Array;
  /** T x ground truths: position of the detection in the cell, -1 unmatched. */
  readonly truthMatch: Int32Array;
}

/**
 * COCOeval's matching. Detections by falling score take the best free ground truth with IoU >= threshold (on equal IoU the later one);
 * ignored ground truth only when no regular one fits; a crowd may take many. Unmatched detections outside the area range are ignored.
 */
export class CellMatcher {
  /** `detections x truths` of the cell; fill it before {@link CellMatcher.load}. */
  ious = new Float64Array(256);
  readonly #truths: TruthTable;
  readonly #detections: DetectionTable;
  readonly #thresholds: Float64Array;
  readonly #floor: number;
  readonly #unmatchedId: number | null;
  #cell: Cell = { truths: new Int32Array(0), detections: new Int32Array(0) };
  /** Pairs above the lowest threshold, per detection: others match nothing. */
  #pairStart = new Int32Array(64);
  #pairTruth = new Int32Array(64);
  #pairIou = new Float64Array(64);
  #ignored = new Uint8Array(64);
  /** Of the area range at hand. */
  #current: Assignment = { found: new Int32Array(640), taken: new Int32Array(640) };
  /** When all ground truths are alike, regular or ignored: who matches whom is the same in all such ranges. */
  #alike: Assignment = { found: new Int32Array(640), taken: new Int32Array(640) };
  #isAlikeKnown = false;

  /**
   * @param unmatchedId - annotation id that a match with does not count (pycocotools writes 0 for "unmatched")
   */
  constructor(input: {
    truths: TruthTable;
    detections: DetectionTable;
    thresholds: readonly number[];
    unmatchedId: number | null;
  }) {
    this.#truths = input.truths;
    this.#detections = input.detections;
    this.#thresholds = Float64Array.from(input.thresholds, (threshold) => Math.min(threshold, 1 - 1e-10));
    this.#floor = Math.min(...this.#thresholds);
    this.#unmatchedId = input.unmatchedId;
  }

  /** Makes room in `ious` for a cell. */
  reserve(numPairs: number): void {
    if (this.ious.length < numPairs) this.ious = new Float64Array(2 * numPairs);
  }

  /** Looks through `ious`; the cell then can be matched in every area range. */
  load(cell: Cell): void {
    this.#cell = cell;
    const numTruths = cell.truths.length;
    const numDetections = cell.detections.length;
    if (this.#pairStart.length <= numDetections) this.#pairStart = new Int32Array(2 * numDetections + 2);
    if (this.#pairTruth.length < numTruths * numDetections) {
      this.#pairTruth = new Int32Array(2 * numTruths * numDetections);
      this.#pairIou = new Float64Array(2 * numTruths * numDetections);
    }
    if (this.#ignored.length < numTruths) this.#ignored = new Uint8Array(2 * numTruths);
    this.#current = withRoom(this.#current, numTruths, numDetections, this.#thresholds.length);
    this.#alike = withRoom(this.#alike, numTruths, numDetections, this.#thresholds.length);
    this.#isAlikeKnown = false;
    let count = 0;
    for (let d = 0; d < numDetections; d++) {
      this.#pairStart[d] = count;
      for (let g = 0; g < numTruths; g++) {
        const iou = this.ious[d * numTruths + g]!;
        if (iou < this.#floor) continue;
        this.#pairTruth[count] = g;
        this.#pairIou[count++] = iou;
      }
    }
    this.#pairStart[numDetections] = count;
  }

  /**
   * Writes `statuses[at + d * T + t]` for every detection and returns the number of ground truths that count.
   *
   * @param match - also filled when given
   */
  match(range: readonly [number, number], statuses: Uint8Array, at: number, match?: CellMatch): number {
    const { truths, detections } = this.#cell;
    const numTruths = truths.length;
    const numThresholds = this.#thresholds.length;
    const [minimum, maximum] = range;
    let numRegular = 0;
    for (let g = 0; g < numTruths; g++) {
      const area = this.#truths.area[truths[g]!]!;
      const isIgnored = this.#truths.isIgnored[truths[g]!] === 1 || area < minimum || area > maximum;
      this.#ignored[g] = isIgnored ? 1 : 0;
      if (!isIgnored) numRegular++;
    }
    match?.truthIgnored.set(this.#ignored.subarray(0, numTruths));
    const isAlike = numRegular === 0 || numRegular === numTruths;
    const assignment = isAlike ? this.#alike : this.#current;
    if (!isAlike || !this.#isAlikeKnown) this.#assign(assignment);
    if (isAlike) this.#isAlikeKnown = true;
    const { found, taken } = assignment;
    for (let d = 0; d < detections.length; d++) {
      const area = this.#detections.area[detections[d]!]!;
      const isExcused = this.#detections.isIgnoredUnmatched?.[detections[d]!] === 1;
      const unmatched = isExcused || area < minimum || area > maximum ? IGNORED : 0;
      const place = at + d * numThresholds;
      if (this.#pairStart[d] === this.#pairStart[d + 1]) {
        statuses.fill(unmatched, place, place + numThresholds);
        continue;
      }
      for (let t = 0; t < numThresholds; t++) {
        const g = found[d * numThresholds + t]!;
        if (g < 0) {
          statuses[place + t] = unmatched;
          continue;
        }
        const isLost = this.#unmatchedId !== null && this.#truths.annotations[truths[g]!]!.id === this.#unmatchedId;
        statuses[place + t] = (this.#ignored[g] === 1 ? IGNORED : 0) | (isLost ? unmatched : MATCHED);
        if (match !== undefined) match.detectionMatch[t * detections.length + d] = g;
      }
    }
    match?.truthMatch.set(taken.subarray(0, numTruths * numThresholds));
    return numRegular;
  }

  /** Matches every detection that has a pair, at every threshold, under the present ignore flags. */
  #assign({ found, taken }: Assignment): void {
    const numTruths = this.#cell.truths.length;
    const numThresholds = this.#thresholds.length;
    taken.fill(-1, 0, numTruths * numThresholds);
    for (let d = 0; d < this.#cell.detections.length; d++) {
      const from = this.#pairStart[d]!;
      const to = this.#pairStart[d + 1]!;
      if (from === to) continue;
      for (let t = 0; t < numThresholds; t++) {
        const g = this.#best(taken, t, from, to);
        found[d * numThresholds + t] = g;
        if (g >= 0) taken[t * numTruths + g] = d;
      }
    }
  }

  /** Regular ground truths first; ignored ones only when none of those fits. -1 when nothing does. */
  #best(taken: Int32Array, t: number, from: number, to: number): number {
    const numTruths = this.#cell.truths.length;
    let best = this.#thresholds[t]!;
    let found = -1;
    for (let pass = 0; pass < 2 && found < 0; pass++) {
      for (let i = from; i < to; i++) {
        const g = this.#pairTruth[i]!;
        if (this.#ignored[g] !== pass) continue;
        const isFree = taken[t * numTruths + g]! < 0 || this.#truths.isCrowd[this.#cell.truths[g]!] === 1;
        const iou = this.#pairIou[i]!;
        if (!isFree || iou < best) continue;
        best = iou;
        found = g;
      }
    }
    return found;
  }
}

interface Assignment {
  /** D x T: position of the ground truth in the cell, -1 unmatched; undefined for detections without any pair. */
  readonly found: Int32Array;
  /** T x G: position of the detection in the cell, -1 free. */
  readonly taken: Int32Array;
}

function withRoom(assignment: Assignment, numTruths: number, numDetections: number, numThresholds: number): Assignment {
  const { found, taken } = assignment;
  const [foundSize, takenSize] = [numDetections * numThresholds, numTruths * numThresholds];
  if (found.length >= foundSize && taken.length >= takenSize) return assignment;
  return {
    found: found.length >= foundSize ? found : new Int32Array(2 * foundSize),
    taken: taken.length >= takenSize ? taken : new Int32Array(2 * takenSize),
  };
}
