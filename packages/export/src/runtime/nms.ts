/** Largest number of candidates that {@link orderByScore} can rank: 30 bits of score and 23 bits of rank fill a double. */
const MAX_CANDIDATES = 2 ** 23;
const ONE_BITS = 0x3f800000;

/**
 * Indices in descending score, equal scores in ascending index. Scores are probabilities: values outside [0, 1] rank as the nearest end.
 *
 * Packs (score, index) into one double, so that the native numeric sort does the work.
 * A positive float32 orders like its bit pattern; 1 is 0x3f800000, hence 30 bits.
 *
 * @param scores - [n], n <= 2^23
 * @throws RangeError above 2^23 scores
 */
export function orderByScore(scores: Float32Array): Uint32Array {
  const count = scores.length;
  if (count > MAX_CANDIDATES) {
    throw new RangeError(
      `${count} candidates, at most ${MAX_CANDIDATES} can be ranked: raise the confidence threshold.`,
    );
  }
  const bits = new Int32Array(scores.buffer, scores.byteOffset, count);
  const keys = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const clamped = Math.min(Math.max(bits[i]!, 0), ONE_BITS);
    keys[i] = (ONE_BITS - clamped) * MAX_CANDIDATES + i;
  }
  keys.sort();
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = keys[i]! % MAX_CANDIDATES;
  return order;
}

/** What {@link nms} needs to know. */
export interface NmsInput {
  /** xyxy, [n * 4], any pixel space. */
  boxes: Float32Array;
  /** [n], probabilities. */
  scores: Float32Array;
  /** [n]; boxes of different classes never suppress each other. Absent: one class. */
  classes?: Int32Array;
  /** A box goes when its IoU with a better one of its class is greater than this. @defaultValue 0.7 */
  iou?: number;
  /** @defaultValue 300 */
  maxDetections?: number;
  /** Only the best this many boxes take part. @defaultValue 30000 */
  maxCandidates?: number;
}

/**
 * Greedy non-maximum suppression per class. Same result as shifting every box by class * 7680 and suppressing once, without the
 * rounding that the shift brings.
 *
 * @returns kept indices, descending score, ties by lower index
 * @example nms({ boxes: Float32Array.of(0, 0, 2, 2, 0, 0, 2, 2), scores: Float32Array.of(0.5, 0.5) }) // Uint32Array [0]
 */
export function nms({
  boxes,
  scores,
  classes,
  iou = 0.7,
  maxDetections = 300,
  maxCandidates = 30_000,
}: NmsInput): Uint32Array {
  const order = orderByScore(scores);
  const limit = Math.min(order.length, maxCandidates);
  const kept = new Uint32Array(Math.min(maxDetections, limit));
  let keptCount = 0;
  // Kept boxes of one class form a linked list through `next`; `heads` holds the latest of each class.
  const next = new Int32Array(kept.length);
  const heads = new Map<number, number>();
  const areas = new Float64Array(kept.length);
  for (let rank = 0; rank < limit && keptCount < maxDetections; rank++) {
    const candidate = order[rank]!;
    const x1 = boxes[candidate * 4]!;
    const y1 = boxes[candidate * 4 + 1]!;
    const x2 = boxes[candidate * 4 + 2]!;
    const y2 = boxes[candidate * 4 + 3]!;
    const area = (x2 - x1) * (y2 - y1);
    const classId = classes === undefined ? 0 : classes[candidate]!;
    const head = heads.get(classId) ?? -1;
    let suppressed = false;
    for (let k = head; k >= 0; k = next[k]!) {
      const other = kept[k]! * 4;
      const width = Math.min(x2, boxes[other + 2]!) - Math.max(x1, boxes[other]!);
      if (width <= 0) continue;
      const height = Math.min(y2, boxes[other + 3]!) - Math.max(y1, boxes[other + 1]!);
      if (height <= 0) continue;
      const intersection = width * height;
      if (intersection > iou * (area + areas[k]! - intersection)) {
        suppressed = true;
        break;
      }
    }
    if (suppressed) continue;
    kept[keptCount] = candidate;
    areas[keptCount] = area;
    next[keptCount] = head;
    heads.set(classId, keptCount);
    keptCount++;
  }
  return kept.slice(0, keptCount);
}
