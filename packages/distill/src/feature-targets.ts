import type { PointMap } from "./targets.js";
import { cornersAt } from "./teacher/sample-grid.js";
import type { FeatureMap } from "./teacher/teacher-record.js";

/** Teacher features on the student's grid of one level, `[height, width, channels]`, and where they are valid. */
export interface WarpedFeatures {
  readonly values: Float32Array;
  readonly valid: Float32Array;
}

/**
 * Looks up the teacher's features for every cell of a student level: the cell's centre goes back through the picture's map to the original image, on to the teacher's map, and is
 * interpolated between the four nearest cells. Cells that fall outside of the original image have weight 0: padding of either network teaches nothing.
 *
 * @param map - original image to network input
 * @param imageSize - width and height of the original image, pixels
 */
export function warpFeatures({
  feature: { data, toMap, width, height, channels },
  map,
  imageSize,
  cells,
  stride,
}: {
  feature: FeatureMap;
  map: Pick<PointMap, "backward">;
  imageSize: readonly [width: number, height: number];
  /** Student cells along one axis. */
  cells: number;
  /** Network pixels per student cell. */
  stride: number;
}): WarpedFeatures {
  const values = new Float32Array(cells * cells * channels);
  const valid = new Float32Array(cells * cells);
  const [a, b, c, d, e, f] = toMap;
  for (let i = 0; i < cells; i++) {
    for (let j = 0; j < cells; j++) {
      const [x, y] = map.backward((j + 0.5) * stride, (i + 0.5) * stride);
      if (!(x >= 0 && y >= 0 && x < imageSize[0] && y < imageSize[1])) continue;
      const { u0, u1, v0, v1, fu, fv } = cornersAt(a * x + b * y + c, d * x + e * y + f, width, height);
      const cell = i * cells + j;
      valid[cell] = 1;
      for (let k = 0; k < channels; k++) {
        const top = data[(v0 * width + u0) * channels + k]! * (1 - fu) + data[(v0 * width + u1) * channels + k]! * fu;
        const low = data[(v1 * width + u0) * channels + k]! * (1 - fu) + data[(v1 * width + u1) * channels + k]! * fu;
        values[cell * channels + k] = top * (1 - fv) + low * fv;
      }
    }
  }
  return { values, valid };
}
