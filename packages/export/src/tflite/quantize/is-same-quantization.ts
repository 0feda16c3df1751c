import type { TfliteQuantization } from "../model.js";

/** True for equal parameters once scales are float32, as they are in a file. */
export function isSameQuantization(a: TfliteQuantization, b: TfliteQuantization): boolean {
  return (
    a.scale.length === b.scale.length &&
    a.scale.every((scale, i) => Math.fround(scale) === Math.fround(b.scale[i]!)) &&
    a.zeroPoint.every((zeroPoint, i) => zeroPoint === b.zeroPoint[i])
  );
}
