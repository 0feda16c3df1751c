/** numpy's spacing(1): the distance from 1 to the next double. */
export const EPSILON = 2.220446049250313e-16;

/**
 * Object keypoint similarity of one detection with one ground truth: mean over the labelled keypoints of
 * exp(-(dx^2 + dy^2) / (2 sigma)^2 / (area + eps) / 2). Without labelled keypoints the distance to the box doubled in size is used.
 *
 * @param truth - flat `[x, y, visibility, ...]`
 * @param bbox - `[x, y, width, height]` of the ground truth
 */
export function objectKeypointSimilarity(input: {
  truth: readonly number[];
  detection: readonly number[];
  bbox: ArrayLike<number>;
  area: number;
  sigmas: readonly number[];
}): number {
  const { truth, detection, area, sigmas } = input;
  const [x = 0, y = 0, width = 0, height = 0] = Array.from(input.bbox);
  let labelled = 0;
  for (let k = 0; k < sigmas.length; k++) if (truth[3 * k + 2]! > 0) labelled++;
  const terms: number[] = [];
  for (let k = 0; k < sigmas.length; k++) {
    if (labelled > 0 && !(truth[3 * k + 2]! > 0)) continue;
    const xd = detection[3 * k]!;
    const yd = detection[3 * k + 1]!;
    let dx: number;
    let dy: number;
    if (labelled > 0) {
      dx = xd - truth[3 * k]!;
      dy = yd - truth[3 * k + 1]!;
    } else {
      dx = Math.max(0, x - width - xd) + Math.max(0, xd - (x + width * 2));
      dy = Math.max(0, y - height - yd) + Math.max(0, yd - (y + height * 2));
    }
    const variance = (sigmas[k]! * 2) ** 2;
    terms.push(Math.exp(-((dx ** 2 + dy ** 2) / variance / (area + EPSILON) / 2)));
  }
  return pairwiseSum(terms) / terms.length;
}

/** numpy's summation order (eight running sums up to 128 values, halves above), so that means agree to the last bits. */
export function pairwiseSum(values: ArrayLike<number>, start = 0, count = values.length): number {
  if (count < 8) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[start + i]!;
    return sum;
  }
  if (count > 128) {
    const half = Math.floor(count / 2);
    const left = half - (half % 8);
    return pairwiseSum(values, start, left) + pairwiseSum(values, start + left, count - left);
  }
  const lanes = Array.from({ length: 8 }, (_, lane) => values[start + lane]!);
  let i = 8;
  for (; i + 8 <= count; i += 8) for (let lane = 0; lane < 8; lane++) lanes[lane]! += values[start + i + lane]!;
  let sum = lanes[0]! + lanes[1]! + (lanes[2]! + lanes[3]!) + (lanes[4]! + lanes[5]! + (lanes[6]! + lanes[7]!));
  for (; i < count; i++) sum += values[start + i]!;
  return sum;
}
