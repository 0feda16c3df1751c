import type { Box } from "@seg/coco-dataset";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** One image's detections with the text that each matches. */
export interface GroundedResult {
  readonly scores: number[];
  /** Corners in pixels of `size`. */
  readonly boxes: Box[];
  /** Ids of the tokens above the text threshold, in caption order. */
  readonly tokenIds: number[][];
}

/**
 * Detections as `transformers` reports them: the queries whose best token scores above `threshold`, with every token above `textThreshold` as
 * their text, the first and last of the T columns left out. To find classes use phrase scores instead: this text mixes phrases.
 *
 * @param logits - [Q, T], -Infinity where there is no token @param boxes - cxcywh relative to the image, [Q, 4]
 * @param inputIds - ids of the caption, at least as many as there are finite columns
 */
export function groundedResults({
  logits,
  boxes,
  inputIds,
  columns,
  size,
  threshold = 0.25,
  textThreshold = 0.25,
}: {
  readonly logits: Float32Array;
  readonly boxes: Float32Array;
  readonly inputIds: ArrayLike<number>;
  /** T. */
  readonly columns: number;
  readonly size: { readonly width: number; readonly height: number };
  readonly threshold?: number;
  readonly textThreshold?: number;
}): GroundedResult {
  const result: GroundedResult = { scores: [], boxes: [], tokenIds: [] };
  for (let q = 0; q < logits.length / columns; q++) {
    const row = logits.subarray(q * columns, (q + 1) * columns);
    const score = sigmoid(row.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY));
    if (!(score > threshold)) continue;
    const [cx, cy, w, h] = boxes.subarray(4 * q, 4 * q + 4) as unknown as [number, number, number, number];
    const { width, height } = size;
    result.scores.push(score);
    result.boxes.push([(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]);
    const tokens: number[] = [];
    for (let t = 1; t < columns - 1; t++) if (sigmoid(row[t]!) > textThreshold) tokens.push(inputIds[t]!);
    result.tokenIds.push(tokens);
  }
  return result;
}
