import { type Homography, invert, project } from "../core/homography.js";
import type { InverseField } from "../core/inverse-field.js";
import { AugmentError } from "../errors.js";
import { findTransform } from "../plan/transform-registry.js";
import { keyedRandom } from "./placed-sources.js";
import type { PlacedMap, PlacedSource } from "./types.js";

/** Points of a source picture and of the result, both ways. */
export interface SourceMap {
  /** Source pixels -> result pixels, `[x, y]`, continuous pixel edges. */
  forward(x: number, y: number): [number, number];
  /** Result pixels -> source pixels. */
  backward(x: number, y: number): [number, number];
}

type Point = [number, number];
interface Step {
  readonly forward: (x: number, y: number) => Point;
  readonly backward: (x: number, y: number) => Point;
}

function matrixStep(matrix: Homography): Step {
  const inverse = invert(matrix);
  return { forward: (x, y) => project(matrix, x, y), backward: (x, y) => project(inverse, x, y) };
}

function fieldOf(map: Extract<PlacedMap, { kind: "field" }>, canvas: { width: number; height: number }): InverseField {
  const transform = findTransform(map.type, map.path);
  if (transform.kind !== "field") {
    throw new AugmentError({
      code: "invalid_option",
      message: `${map.type} displaces nothing (it is of kind ${transform.kind}); take the sources of a result as they are.`,
    });
  }
  return transform.field(map.params, { ...canvas, random: keyedRandom });
}

/**
 * The map between a source picture and the result it became part of: where a cached box goes (`forward`), or where a result pixel's
 * cached mask value lies (`backward`). Where {@link PlacedSource.matrix} is not null that matrix says the same.
 *
 * @param canvas - size of the result
 * @throws UnknownTransformError when a field's transform is not registered here
 * @example
 * const map = sourceMap(result.sources[0]!, result.image);
 * map.backward(...map.forward(10, 20)) // about [10, 20]
 */
export function sourceMap(
  { maps }: Pick<PlacedSource, "maps">,
  { width, height }: { readonly width: number; readonly height: number },
): SourceMap {
  const steps = maps.map(
    (map): Step => (map.kind === "matrix" ? matrixStep(map.matrix) : fieldOf(map, { width, height })),
  );
  const reversed = [...steps].reverse();
  return {
    forward: (x, y) => steps.reduce<Point>(([u, v], step) => step.forward(u, v), [x, y]),
    backward: (x, y) => reversed.reduce<Point>(([u, v], step) => step.backward(u, v), [x, y]),
  };
}
