/** Quantiles .975 of Student's t for 1 to 10 degrees of freedom (any table of the distribution). */
const TABLE = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
/** The same quantile of the normal distribution, z. */
const Z = 1.96;

/**
 * Standard errors that a mean of few values may lie from its expectation, in 95 % of cases: the quantile .975 of Student's t. Beyond the table z + (z^3 + z) / (4 n) and the next term of
 * Fisher's expansion, at most .002 off.
 *
 * @param degrees - of freedom n: values less one
 * @example studentT(2) // 4.303
 */
export function studentT(degrees: number): number {
  const first = (Z ** 3 + Z) / (4 * degrees);
  const second = (5 * Z ** 5 + 16 * Z ** 3 + 3 * Z) / (96 * degrees ** 2);
  return TABLE[degrees - 1] ?? Z + first + second;
}
