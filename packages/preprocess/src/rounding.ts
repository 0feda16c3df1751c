/**
 * Python's `round(x)` for doubles: to the nearest integer, halves to even. `Math.round` sends x.5 up and must not be used for size maths.
 *
 * @example pyRound(0.5) // 0
 * @example pyRound(1.5) // 2
 */
export function pyRound(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** C's `rint` in the default rounding mode: the same rule as {@link pyRound}, named for the kernels that follow C code. */
export const rintEven = pyRound;
