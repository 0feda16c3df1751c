import type { DetectionTarget } from "./targets.js";

/** Size of the smallest and largest box that a level answers for, relative to the image: the bands overlap. */
const BANDS = [
  [0, 0.2],
  [0.13, 0.4],
  [0.3, 0.8],
  [0.6, Number.POSITIVE_INFINITY],
] as const;
/** Share of the sides of a box inside which a token is a positive. */
const CENTRAL = 0.55;

/** Encoder tokens that are trained to predict an object directly. */
export interface DenseTargets {
  /** [B, S], row of the object in the image's targets, -1 for background. */
  readonly objects: Int32Array;
  /** Positive tokens of the batch, at least 1. */
  readonly positives: number;
}

/**
 * One-to-many assignment over all encoder tokens, for pre-training only: positive is every token whose centre lies inside the central 55 % of a box on a level whose
 * band holds the longer side, and at least the nearest token of the finest such level. Where boxes compete the smaller one wins.
 *
 * @param levels - height and width of each level's map, finest first; further levels than four share the last band
 */
export function denseTargets(
  targets: readonly DetectionTarget[],
  levels: readonly (readonly [height: number, width: number])[],
): DenseTargets {
  const offsets: number[] = [];
  let tokens = 0;
  for (const [height, width] of levels) {
    offsets.push(tokens);
    tokens += height * width;
  }
  const objects = new Int32Array(targets.length * tokens).fill(-1);
  for (let b = 0; b < targets.length; b++) {
    const { boxes } = targets[b]!;
    // Larger boxes first, so that smaller ones overwrite.
    const order = boxes
      .map((_, i) => i)
      .sort((i, j) => boxes[j]![2] * boxes[j]![3] - boxes[i]![2] * boxes[i]![3] || j - i);
    for (const object of order) {
      const [cx, cy, w, h] = boxes[object]!;
      const side = Math.max(w, h);
      let hasAny = false;
      let finest = levels.length - 1;
      for (let level = levels.length - 1; level >= 0; level--) {
        const [low, high] = BANDS[Math.min(level, BANDS.length - 1)]!;
        if (side < low || side > high) continue;
        finest = level;
        const [rows, columns] = levels[level]!;
        for (let y = 0; y < rows; y++) {
          if (Math.abs((y + 0.5) / rows - cy) > (CENTRAL * h) / 2) continue;
          for (let x = 0; x < columns; x++) {
            if (Math.abs((x + 0.5) / columns - cx) > (CENTRAL * w) / 2) continue;
            objects[b * tokens + offsets[level]! + y * columns + x] = object;
            hasAny = true;
          }
        }
      }
      if (hasAny) continue;
      const [rows, columns] = levels[finest]!;
      const y = Math.min(Math.max(Math.floor(cy * rows), 0), rows - 1);
      const x = Math.min(Math.max(Math.floor(cx * columns), 0), columns - 1);
      objects[b * tokens + offsets[finest]! + y * columns + x] = object;
    }
  }
  let positives = 0;
  for (const object of objects) if (object >= 0) positives++;
  return { objects, positives: Math.max(positives, 1) };
}
