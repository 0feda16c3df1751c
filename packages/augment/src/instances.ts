import type { Box } from "@seg/coco-dataset";
import { type Affine, composeAffine } from "./affine.js";
import { clipPolygon, polygonArea, polygonBounds, transformPolygon } from "./polygon.js";
import type { SampleInstance } from "./sample.js";

/** What a clipped instance must keep. */
export interface InstanceRules {
  /** Smallest side of the clipped box, pixels. @defaultValue 2 */
  readonly minSide?: number;
  /** Smallest clipped area / transformed area. @defaultValue 0.1 */
  readonly minVisibility?: number;
}

/** Bounds of a box's four transformed corners. */
export function transformBox([x1, y1, x2, y2]: Box, [a, b, c, d, e, f]: Affine): Box {
  const ax1 = Math.min(a * x1, a * x2);
  const ax2 = Math.max(a * x1, a * x2);
  const by1 = Math.min(b * y1, b * y2);
  const by2 = Math.max(b * y1, b * y2);
  const dx1 = Math.min(d * x1, d * x2);
  const dx2 = Math.max(d * x1, d * x2);
  const ey1 = Math.min(e * y1, e * y2);
  const ey2 = Math.max(e * y1, e * y2);
  return [ax1 + by1 + c, dx1 + ey1 + f, ax2 + by2 + c, dx2 + ey2 + f];
}

/**
 * Moves instances by an affine map, without clipping. Boxes are the bounds of their transformed corners; under rotation or shear an
 * instance with polygons gets the tighter bounds of those. `matrix` is continued.
 */
export function transformInstances(instances: readonly SampleInstance[], affine: Affine): SampleInstance[] {
  const turned = affine[1] !== 0 || affine[3] !== 0;
  return instances.map((instance) => {
    const polygons = instance.polygons?.map((polygon) => transformPolygon(polygon, affine));
    const tight = turned && polygons !== undefined ? polygonBounds(polygons) : null;
    return {
      ...instance,
      ...(polygons === undefined ? {} : { polygons }),
      box: tight ?? transformBox(instance.box, affine),
      matrix: composeAffine(instance.matrix, affine),
    };
  });
}

const boxArea = ([x1, y1, x2, y2]: Box): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

/**
 * Limits instances to a rectangle. The box is that of the clipped polygons where there are polygons, else the clipped box. Instances
 * that became too small, or kept less than a tenth of their area, are left out (an ignored region only when it became too small).
 */
export function clipInstances(
  instances: readonly SampleInstance[],
  limits: Box,
  { minSide = 2, minVisibility = 0.1 }: InstanceRules = {},
): SampleInstance[] {
  const kept: SampleInstance[] = [];
  for (const instance of instances) {
    let box: Box | null;
    let visible: number;
    let whole: number;
    let polygons: Float64Array[] | undefined;
    // An empty list of parts says nothing about the shape; the box does.
    if (instance.polygons !== undefined && instance.polygons.length > 0) {
      polygons = [];
      whole = 0;
      visible = 0;
      for (const part of instance.polygons) {
        whole += polygonArea(part);
        const clipped = clipPolygon(part, limits);
        if (clipped === null) continue;
        visible += polygonArea(clipped);
        polygons.push(clipped);
      }
      box = polygonBounds(polygons);
    } else {
      const [x1, y1, x2, y2] = instance.box;
      box = [Math.max(x1, limits[0]), Math.max(y1, limits[1]), Math.min(x2, limits[2]), Math.min(y2, limits[3])];
      whole = boxArea(instance.box);
      visible = boxArea(box);
    }
    if (box === null || !(box[2] - box[0] >= minSide && box[3] - box[1] >= minSide)) continue;
    if (instance.ignore !== true && !(visible >= minVisibility * whole)) continue;
    kept.push({ ...instance, box, ...(polygons === undefined ? {} : { polygons }) });
  }
  return kept;
}
