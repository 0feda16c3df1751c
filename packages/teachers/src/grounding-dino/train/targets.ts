import type { Box } from "@seg/coco-dataset";

/** What one image asks of the detector. */
export interface DetectionTarget {
  /** Phrase of the caption that each object answers. */
  readonly phrases: readonly number[];
  /** cxcywh relative to the unpadded picture. */
  readonly boxes: readonly (readonly [cx: number, cy: number, w: number, h: number])[];
}

/**
 * xyxy pixels of a `width` x `height` picture -> cxcywh in [0, 1].
 * @throws RangeError for a box without an area
 * @example toCxcywh([10, 20, 30, 60], { width: 100, height: 200 }) // [0.2, 0.2, 0.2, 0.2]
 */
export function toCxcywh(
  [x1, y1, x2, y2]: Box,
  { width, height }: { readonly width: number; readonly height: number },
): [number, number, number, number] {
  if (!(x2 > x1 && y2 > y1)) {
    throw new RangeError(
      `Box [${[x1, y1, x2, y2].join(", ")}] has no area or is inverted; corners are x1 < x2, y1 < y2.`,
    );
  }
  return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
}

/** Targets of a batch in fixed shapes: T objects per image at most, of which the first ones are real. */
export interface TargetArrays {
  /** [B, T, 4] cxcywh; a unit box in unused rows, so that no quotient is 0 / 0. */
  readonly boxes: Float32Array;
  /** [B, T], 1 for real objects. */
  readonly valid: Float32Array;
  /** [B, T, N]: 1 on the tokens of the object's phrase. */
  readonly tokens: Float32Array;
  /** Real objects of the batch, at least 1: the divisor of the losses. */
  readonly normalizer: number;
}

/**
 * @param phraseTokens - per image and phrase: columns of its tokens, without the delimiter
 * @param rows - T @param columns - N
 * @throws RangeError when an image has more than `rows` objects
 */
export function targetArrays({
  targets,
  phraseTokens,
  rows,
  columns,
}: {
  readonly targets: readonly DetectionTarget[];
  readonly phraseTokens: readonly (readonly (readonly number[])[])[];
  readonly rows: number;
  readonly columns: number;
}): TargetArrays {
  const count = targets.length;
  const boxes = new Float32Array(count * rows * 4);
  const valid = new Float32Array(count * rows);
  const tokens = new Float32Array(count * rows * columns);
  let objects = 0;
  for (let b = 0; b < count; b++) {
    const { phrases, boxes: given } = targets[b]!;
    if (given.length > rows)
      throw new RangeError(`Image ${b} has ${given.length} objects, the batch has ${rows} rows.`);
    objects += given.length;
    for (let t = 0; t < rows; t++) {
      const at = b * rows + t;
      boxes.set(given[t] ?? [0.5, 0.5, 1, 1], 4 * at);
      if (t >= given.length) continue;
      valid[at] = 1;
      for (const column of phraseTokens[b]![phrases[t]!]!) tokens[at * columns + column] = 1;
    }
  }
  return { boxes, valid, tokens, normalizer: Math.max(objects, 1) };
}
