import * as tf from "@tensorflow/tfjs";

/** logical NDHWC over base NCDHW */
export const NCDHW: readonly number[] = [0, 2, 3, 4, 1];

/** Geometry of a pooling, per spatial axis. */
export interface PoolWindow {
  readonly strides: readonly number[];
  /** All before, then all after; those after are what the last window needs, whatever the rounding. */
  readonly pads: readonly number[];
  readonly kernel: readonly number[];
  readonly input: readonly number[];
  readonly out: readonly number[];
}

/** Geometry of tfjs's pooling kernels for 4-D NHWC and 5-D NDHWC inputs, with the output shape. */
export function poolWindow(
  shape: readonly number[],
  attrs: Record<string, unknown>,
): { shape: number[]; window: PoolWindow } {
  const { filterSize, strides, pad, dimRoundingMode } = attrs as {
    filterSize: number;
    strides: number;
    pad: number;
    dimRoundingMode?: "floor";
  };
  if (shape.length === 5) {
    const info = tf.backend_util.computePool3DInfo(
      shape as [number, number, number, number, number],
      filterSize,
      strides,
      1,
      pad,
      dimRoundingMode,
    );
    const before = [info.padInfo.front, info.padInfo.top, info.padInfo.left];
    return withEnds(info.outShape, shape, before, {
      strides: [info.strideDepth, info.strideHeight, info.strideWidth],
      kernel: [info.filterDepth, info.filterHeight, info.filterWidth],
    });
  }
  const info = tf.backend_util.computePool2DInfo(
    shape as [number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  return withEnds(info.outShape, shape, [info.padInfo.top, info.padInfo.left], {
    strides: [info.strideHeight, info.strideWidth],
    kernel: [info.filterHeight, info.filterWidth],
  });
}

function withEnds(
  outShape: readonly number[],
  inShape: readonly number[],
  before: readonly number[],
  { strides, kernel }: { strides: readonly number[]; kernel: readonly number[] },
): { shape: number[]; window: PoolWindow } {
  const input = inShape.slice(1, -1);
  const out = outShape.slice(1, -1);
  const after = out.map((o, i) => Math.max(0, (o - 1) * strides[i]! + kernel[i]! - input[i]! - before[i]!));
  return { shape: [...outShape], window: { strides, pads: [...before, ...after], kernel, input, out } };
}

/** Whether every window touches a real element, which the ONNX operators demand. */
export function windowFits({ pads, kernel }: PoolWindow): boolean {
  return pads.every((p, i) => p < kernel[i % kernel.length]!);
}

/** Number of real elements under each window, row-major over `out`. */
export function realElements({ strides, pads, kernel, input, out }: PoolWindow): number[] {
  const spans = out.map((size, axis) =>
    Array.from({ length: size }, (_, o) => {
      const start = o * strides[axis]! - pads[axis]!;
      return Math.max(0, Math.min(start + kernel[axis]!, input[axis]!) - Math.max(start, 0));
    }),
  );
  return spans.reduce<number[]>((counts, span) => counts.flatMap((count) => span.map((s) => count * s)), [1]);
}
