/** Index rules that constant folding and shape inference share. */

/** Negative axes counted from the end; null outside the rank. */
export function normalizeAxis(axis: number, rank: number): number | null {
  const normal = axis < 0 ? axis + rank : axis;
  return Number.isInteger(normal) && normal >= 0 && normal < rank ? normal : null;
}

/** Normalised axes without repeats; null if one is outside the rank or repeats. */
export function normalizeAxes(axes: readonly number[], rank: number): number[] | null {
  const normal: number[] = [];
  for (const axis of axes) {
    const n = normalizeAxis(axis, rank);
    if (n === null || normal.includes(n)) return null;
    normal.push(n);
  }
  return normal;
}

/** First index, step and count of one ONNX Slice axis (Slice-13: clamped, negative from the end). */
export function sliceRange({ size, start, end, step }: { size: number; start: number; end: number; step: number }): {
  start: number;
  count: number;
} {
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (value: number, min: number, max: number): number => Math.min(Math.max(value, min), max);
  const from = clamp(start < 0 ? start + size : start, step > 0 ? 0 : 0, step > 0 ? size : size - 1);
  const to = clamp(end < 0 ? end + size : end, low, high);
  return { start: from, count: Math.max(0, Math.ceil((to - from) / step)) };
}

/** Shape after Unsqueeze; null if the axes do not fit. */
export function unsqueezedDims<T>(dims: readonly T[], axes: readonly number[], one: T): T[] | null {
  const rank = dims.length + axes.length;
  const normal = normalizeAxes(axes, rank);
  if (!normal) return null;
  const out: T[] = [];
  let next = 0;
  for (let i = 0; i < rank; i++) out.push(normal.includes(i) ? one : dims[next++]!);
  return out;
}

/** Target of Reshape with 0 (copy) and -1 (rest) resolved against a static shape; null if it does not fit. */
export function reshapedDims(dims: readonly number[], target: readonly number[], allowZero: boolean): number[] | null {
  const out = target.map((dim, i) => (dim === 0 && !allowZero ? (dims[i] ?? -2) : dim));
  if (out.some((dim) => dim < -1) || out.filter((dim) => dim === -1).length > 1) return null;
  const total = dims.reduce((product, dim) => product * dim, 1);
  const known = out.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const rest = out.indexOf(-1);
  if (rest < 0) return known === total ? out : null;
  if (known === 0 || total % known !== 0) return null;
  out[rest] = total / known;
  return out;
}
