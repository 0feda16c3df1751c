/** The frozen kernel 0, 1, ..., n - 1 that takes the expectation over the bins of a box side. */
export function isRamp(values: Float32Array): boolean {
  return values.length > 1 && values.every((value, i) => value === i);
}
