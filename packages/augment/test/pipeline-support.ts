import type { PipelineSample } from "../src/pipeline/types.js";
import { rasterizePolygons } from "../src/rasterize.js";
import { noise } from "./support.js";

/** Noise with two polygons. */
export function polygonSample(): PipelineSample {
  const { width, height, data } = noise(101, 99);
  return {
    image: { width, height, data, channels: 3 },
    masks: [[[10, 10, 50, 12, 40, 60]], [[60, 60, 95, 60, 95, 95, 60, 95]]],
    bboxes: [
      [10, 10, 40, 50],
      [60, 60, 35, 35],
    ],
    labels: [0, 1],
  };
}

/** Three shapes, each painted in a channel of its own with 200 on black; one keypoint each, at the centroid (pixel index). */
export function inkScene({ shift = 0 }: { shift?: number } = {}): PipelineSample {
  const width = 160;
  const height = 120;
  const data = new Uint8Array(width * height * 3);
  const s = shift;
  const shapes = [
    [20 + s, 20, 60 + s, 20, 60 + s, 56, 20 + s, 56],
    [90, 30 + s, 134, 30 + s, 112, 66 + s],
    [50 + s, 70, 90 + s, 64, 96 + s, 100, 56 + s, 106],
  ];
  const keypoints = shapes.map((shape, k) => {
    const grid = rasterizePolygons({ polygons: [Float64Array.from(shape)], width, height });
    let [sx, sy, n] = [0, 0, 0];
    grid.forEach((inside, p) => {
      if (inside === 0) return;
      data[3 * p + k] = 200;
      sx += p % width;
      sy += Math.floor(p / width);
      n++;
    });
    return [[sx / n, sy / n, 2] as const];
  });
  const bboxes = shapes.map((shape) => {
    const xs = shape.filter((_, i) => i % 2 === 0);
    const ys = shape.filter((_, i) => i % 2 === 1);
    const [x, y] = [Math.min(...xs), Math.min(...ys)];
    return [x, y, Math.max(...xs) - x, Math.max(...ys) - y];
  });
  return {
    image: { width, height, data, channels: 3 },
    masks: shapes.map((shape) => [shape]),
    bboxes,
    keypoints,
    labels: ["square", "triangle", "diamond"],
    ids: [11, 12, 13],
  };
}

/** Whether two pictures hold the same bytes; much faster than a deep comparison. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
