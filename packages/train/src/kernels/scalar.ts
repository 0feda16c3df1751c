import type { AdamwStep, Magnitudes, SgdStep, VectorKernels } from "./kernels.js";

function adamw({ value, grad, m, v, next, scale, beta1, beta2, keep, stepSize, inverseRoot, eps }: AdamwStep): void {
  const rest1 = 1 - beta1;
  const rest2 = 1 - beta2;
  for (let i = 0; i < value.length; i++) {
    const g = grad[i]! * scale;
    const mean = beta1 * m[i]! + rest1 * g;
    const square = beta2 * v[i]! + rest2 * g * g;
    m[i] = mean;
    v[i] = square;
    next[i] = value[i]! * keep - (stepSize * mean) / (Math.sqrt(square) * inverseRoot + eps);
  }
}

function sgd({ value, grad, buffer, next, scale, decay, carry, mu, lr, nesterov }: SgdStep): void {
  for (let i = 0; i < value.length; i++) {
    const d = grad[i]! * scale + decay * value[i]!;
    let b = d;
    if (buffer !== null) {
      b = carry * buffer[i]! + d;
      buffer[i] = b;
    }
    next[i] = value[i]! - lr * (nesterov ? d + mu * b : b);
  }
}

function moveTowards(average: Float32Array, current: Float32Array, rate: number): void {
  for (let i = 0; i < average.length; i++) {
    const e = average[i]!;
    average[i] = e + rate * (current[i]! - e);
  }
}

function magnitudes(arrays: Iterable<Float32Array>): Magnitudes {
  const squares = [0, 0, 0, 0];
  const sums = [0, 0, 0, 0];
  let max = 0;
  for (const values of arrays) {
    for (let i = 0; i < values.length; i++) {
      const g = Math.abs(values[i]!);
      const lane = i & 3;
      squares[lane] = squares[lane]! + g * g;
      sums[lane] = sums[lane]! + g;
      if (g > max) max = g;
    }
  }
  return { squares: addLanes(squares), sum: addLanes(sums), max };
}

/** (l0 + l1) + (l2 + l3) */
export function addLanes(lanes: ArrayLike<number>): number {
  return lanes[0]! + lanes[1]! + (lanes[2]! + lanes[3]!);
}

/** The kernels in TypeScript. */
export const scalarKernels: VectorKernels = { adamw, sgd, moveTowards, magnitudes };
