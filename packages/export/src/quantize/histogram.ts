/** Symmetric-range histogram that grows by whole bins, so that counts of earlier batches stay exact. */
export interface Histogram {
  counts: Float64Array;
  /** Bin i covers [-threshold + i * stride, -threshold + (i + 1) * stride]. */
  threshold: number;
  stride: number;
  /** Observed extremes. */
  min: number;
  max: number;
}

/** Counts `values` in `bins` equal bins over [-threshold, threshold]; the last edge belongs to the last bin. */
function countInto({
  counts,
  values,
  threshold,
}: {
  counts: Float64Array;
  values: Float32Array;
  threshold: number;
}): void {
  const bins = counts.length;
  const perBin = bins / (2 * threshold);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor((values[i]! + threshold) * perBin);
    counts[bin < 0 ? 0 : bin >= bins ? bins - 1 : bin]!++;
  }
}

/**
 * Adds one batch. The first batch fixes the range ±T, T = max|x|, and the bin width; a batch with T' > T adds
 * k = floor((T' - T) / stride) + 1 bins on each side.
 *
 * @param histogram - null for the first batch
 * @param options.bins - number of bins of the first batch. @defaultValue 2048
 * @returns null while nothing but zeros was seen
 */
export function addToHistogram(
  histogram: Histogram | null,
  values: Float32Array,
  { bins = 2048 }: { bins?: number } = {},
): Histogram | null {
  let min = histogram?.min ?? 0;
  let max = histogram?.max ?? 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const largest = Math.max(-min, max);
  if (largest === 0) return null;
  if (histogram === null) {
    const counts = new Float64Array(bins);
    countInto({ counts, values, threshold: largest });
    return { counts, threshold: largest, stride: (2 * largest) / bins, min, max };
  }
  let { counts, threshold } = histogram;
  if (largest > threshold) {
    const added = Math.floor((largest - threshold) / histogram.stride) + 1;
    const grown = new Float64Array(counts.length + 2 * added);
    grown.set(counts, added);
    counts = grown;
    threshold += added * histogram.stride;
  }
  countInto({ counts, values, threshold });
  return { counts, threshold, stride: histogram.stride, min, max };
}

/** Edge i of the bins. */
const edge = ({ threshold, stride }: Histogram, i: number): number => i * stride - threshold;

/**
 * Range that holds `percentile` percent of the values, half of the rest cut on each side; never wider than observed.
 * @param options.percentile - @defaultValue 99.999
 */
export function percentileRange(
  histogram: Histogram,
  { percentile = 99.999 }: { percentile?: number } = {},
): [min: number, max: number] {
  const { counts, min, max } = histogram;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const cut = (100 - percentile) / 200;
  let low = 0;
  let high = 0;
  let cumulated = 0;
  for (let i = 0; i < counts.length; i++) {
    cumulated += counts[i]!;
    if (cumulated / total < cut) low = i + 1;
    if (cumulated / total < 1 - cut) high = i + 1;
  }
  return [Math.max(edge(histogram, low), min), Math.min(edge(histogram, high), max)];
}

/** Mass that a zero bin gets, so that the divergence stays finite. */
const EPSILON = 1e-4;

/** Divergences that agree to this share are ties: the reference adds them up in single precision, where neighbours differ by less than its error. */
const TIE = 2.5e-6;

/** What each non-zero bin gives so that `zeros` zero bins get theirs; null when it would have to come from nothing. */
function smoothing(zeros: number, size: number): number | null {
  const taken = (EPSILON * zeros) / (size - zeros);
  return zeros < size && taken < 1 ? taken : null;
}

/**
 * Range whose quantised distribution is nearest to the observed one in Kullback-Leibler divergence, searched over windows about the zero
 * bin; the narrowest of equal ones; never wider than observed.
 *
 * A window's reference is its counts with the mass outside added to its end bins. Its quantised form merges the counts into equal groups, the
 * remainder into the last one, and spreads each group's sum in whole counts over the group's bins; bins behind the last group stay empty.
 *
 * @param options.quantizedBins - bins that stand for the integers. @defaultValue 128
 */
export function entropyRange(
  histogram: Histogram,
  { quantizedBins = 128 }: { quantizedBins?: number } = {},
): [min: number, max: number] {
  const { counts, min, max } = histogram;
  const bins = counts.length;
  const zero = bins >> 1;
  // Sums over [a, b) are differences of these.
  const mass = new Float64Array(bins + 1);
  const nonZeros = new Float64Array(bins + 1);
  for (let i = 0; i < bins; i++) {
    mass[i + 1] = mass[i]! + counts[i]!;
    nonZeros[i + 1] = nonZeros[i]! + (counts[i]! > 0 ? 1 : 0);
  }
  const total = mass[bins]!;
  const quantized = new Float64Array(bins);
  const windows: { divergence: number; start: number; end: number }[] = [];
  for (let half = quantizedBins >> 1; half <= zero; half++) {
    const start = zero - half;
    const end = Math.min(zero + half + 1, bins);
    const size = end - start;
    const [first, last] = [mass[start + 1]!, total - mass[end - 1]!];
    // The end bins count with what lies outside.
    const used = (from: number, to: number): number => {
      let count = nonZeros[to]! - nonZeros[from]!;
      if (from === start && first > 0 && counts[start] === 0) count++;
      if (to === end && last > 0 && counts[end - 1] === 0) count++;
      return count;
    };
    const group = Math.floor(size / quantizedBins);
    let quantizedMass = 0;
    let quantizedZeros = size - group * quantizedBins;
    quantized.fill(0, 0, size);
    for (let g = 0; g < quantizedBins; g++) {
      const from = start + g * group;
      const to = from + group;
      const share = used(from, to);
      const sum = mass[g === quantizedBins - 1 ? end : to]! - mass[from]!;
      const value = share > 0 ? Math.trunc(sum / share) : 0;
      if (value === 0) quantizedZeros += group;
      else {
        quantized.fill(value, g * group, (g + 1) * group);
        quantizedMass += value * group;
      }
    }
    const taken = smoothing(size - used(start, end), size);
    const quantizedTaken = smoothing(quantizedZeros, size);
    let divergence = Number.POSITIVE_INFINITY;
    if (taken !== null && quantizedTaken !== null) {
      divergence = 0;
      for (let i = 0; i < size; i++) {
        const count = i === 0 ? first : i === size - 1 ? last : counts[start + i]!;
        const p = (count === 0 ? EPSILON : count - taken) / total;
        const value = quantized[i]!;
        const q = (value === 0 ? EPSILON : value - quantizedTaken) / quantizedMass;
        divergence += p * Math.log(p / q);
      }
    }
    windows.push({ divergence, start, end });
  }
  const least = windows.reduce((low, { divergence }) => Math.min(low, divergence), Number.POSITIVE_INFINITY);
  const { start, end } = windows.find(({ divergence }) => divergence <= least * (1 + TIE)) ?? { start: 0, end: bins };
  return [Math.max(edge(histogram, start), min), Math.min(edge(histogram, end), max)];
}

/**
 * Range that loses least in squares: of 100 thresholds 0.3 to 1.0 times max|x|, the one with the smallest
 * sum(count x (x - dequantised(quantised(x)))^2) for `levels` integers; never wider than observed.
 *
 * @param options.levels - @defaultValue 256
 */
export function squaredErrorRange(
  histogram: Histogram,
  { levels = 256 }: { levels?: number } = {},
): [min: number, max: number] {
  const { counts, stride, min, max } = histogram;
  const largest = Math.max(-min, max);
  let best = Number.POSITIVE_INFINITY;
  let range: [number, number] = [min, max];
  for (let step = 99; step >= 0; step--) {
    const threshold = largest * (0.3 + (0.7 * step) / 99);
    const low = Math.max(-threshold, min);
    const high = Math.min(threshold, max);
    const scale = (high - low) / (levels - 1);
    let error = 0;
    for (let i = 0; i < counts.length && error < best; i++) {
      if (counts[i] === 0) continue;
      const x = edge(histogram, i) + stride / 2;
      const inside = Math.min(Math.max(x, low), high);
      error += counts[i]! * (x - (low + Math.round((inside - low) / scale) * scale)) ** 2;
    }
    if (error < best) {
      best = error;
      range = [low, high];
    }
  }
  return range;
}
