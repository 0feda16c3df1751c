import { NonFiniteGradientError } from "./errors.js";
import { kernels as commonKernels, type VectorKernels } from "./kernels/kernels.js";

/** `clip.*` of a training configuration. */
export interface ClipOptions {
  /** Largest allowed global norm. By role: LoRA 0.1, full fine-tuning 1, student 10. */
  readonly maxNorm: number;
  /** 1, 2, ... or Infinity. @defaultValue 2 */
  readonly normType?: number;
  /** @defaultValue true */
  readonly errorIfNonfinite?: boolean;
}

/** Norms of all gradients together. */
export interface GradStats {
  readonly norm: number;
  /** Largest magnitude. */
  readonly max: number;
  /** Mean magnitude. */
  readonly mean: number;
}

/** Global norm, largest and mean magnitude, summed in fp64. Not finite if any gradient is not finite. */
export function gradStats(
  grads: ReadonlyMap<string, Float32Array>,
  {
    normType = 2,
    scale = 1,
    kernels = commonKernels,
  }: { normType?: number; scale?: number; kernels?: VectorKernels } = {},
): GradStats {
  const { squares, sum, max } = kernels.magnitudes(grads.values());
  // NaN never wins a comparison, so `max` misses it; the sum does not.
  if (!Number.isFinite(sum)) return { norm: sum, max: sum, mean: sum };
  let count = 0;
  for (const grad of grads.values()) count += grad.length;
  const norm =
    normType === 2 ? Math.sqrt(squares) : normType === Number.POSITIVE_INFINITY ? max : powerNorm(grads, normType);
  return { norm: norm * scale, max: max * scale, mean: count === 0 ? 0 : (sum / count) * scale };
}

function powerNorm(grads: ReadonlyMap<string, Float32Array>, normType: number): number {
  let power = 0;
  for (const grad of grads.values()) for (let i = 0; i < grad.length; i++) power += Math.abs(grad[i]!) ** normType;
  return power ** (1 / normType);
}

/** First element that is NaN or infinite, in map order, or null. */
export function findNonFinite(
  grads: ReadonlyMap<string, Float32Array>,
): { parameter: string; index: number; value: number } | null {
  for (const [parameter, grad] of grads) {
    for (let index = 0; index < grad.length; index++) {
      const value = grad[index]!;
      if (!Number.isFinite(value)) return { parameter, index, value };
    }
  }
  return null;
}

/** min(1, maxNorm / (norm + 1e-6)), the factor of PyTorch's `clip_grad_norm_`. */
export function clipCoefficient(norm: number, maxNorm: number): number {
  return Math.min(1, maxNorm / (norm + 1e-6));
}

/**
 * Scales all gradients, in place, so that their global norm is at most `maxNorm`. An array that occurs twice is scaled once.
 * Hand over arrays you own: engines may share the array of a gradient with another tensor.
 *
 * @returns the norm before clipping
 * @throws {@link NonFiniteGradientError} naming the first bad parameter; nothing is scaled then
 * @example clipGradNorm(new Map([["w", Float32Array.of(3, 4)]]), { maxNorm: 1 }) // 5, w becomes [0.6, 0.8]
 */
export function clipGradNorm(
  grads: ReadonlyMap<string, Float32Array>,
  { maxNorm, normType = 2, errorIfNonfinite = true }: ClipOptions,
): number {
  const { norm } = gradStats(grads, { normType });
  if (errorIfNonfinite && !Number.isFinite(norm)) {
    const bad = findNonFinite(grads);
    if (bad) throw new NonFiniteGradientError(bad);
  }
  const coefficient = clipCoefficient(norm, maxNorm);
  if (coefficient === 1) return norm;
  for (const grad of new Set(grads.values())) {
    for (let i = 0; i < grad.length; i++) grad[i] = grad[i]! * coefficient;
  }
  return norm;
}
