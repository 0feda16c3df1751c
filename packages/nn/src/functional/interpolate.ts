import * as tf from "@tensorflow/tfjs";

/** Size and method of a resize, as `torch.nn.functional.interpolate` names it. */
export interface InterpolateOptions {
  /** Height and width of the result. */
  readonly size: readonly [number, number];
  /** @defaultValue "bilinear" */
  readonly mode?: "nearest" | "bilinear" | "bicubic" | "area";
  /** Whether the centres of the corner pixels meet (true) or their outer edges; for bilinear and bicubic. @defaultValue false */
  readonly alignCorners?: boolean;
}

/**
 * Resizes maps as PyTorch's `interpolate` does, without antialiasing: nearest = floor(i in / out), bilinear and bicubic (a = -0.75) at
 * (i + .5) in / out - .5, area = mean of the covered pixels. Differentiable: two matrix products, since tfjs's own gradients of resizing are wrong for
 * maps that are not square.
 * @param x - [B, H, W, C] @returns [B, h, w, C]
 */
export function interpolate(
  x: tf.Tensor4D,
  { size, mode = "bilinear", alignCorners = false }: InterpolateOptions,
): tf.Tensor4D {
  const [, height, width] = x.shape;
  const [outHeight, outWidth] = size;
  if (height === outHeight && width === outWidth) return x.clone();
  const weights = { nearest: nearestWeights, bilinear: linearWeights, bicubic: cubicWeights, area: areaWeights }[mode];
  return tf.tidy(() => {
    const rows = tf.tensor2d(weights(height, outHeight, alignCorners), [outHeight, height]);
    const columns = tf.tensor2d(weights(width, outWidth, alignCorners), [outWidth, width]);
    return applyAxes(x, rows, columns);
  });
}

/** y[b, i, j, c] = sum over h, w of rows[i, h] columns[j, w] x[b, h, w, c], as two matrix products. */
function applyAxes(x: tf.Tensor4D, rows: tf.Tensor2D, columns: tf.Tensor2D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const [outHeight, outWidth] = [rows.shape[0], columns.shape[0]];
  const tall = tf.matMul(
    tf.broadcastTo(tf.expandDims(rows, 0), [batch, outHeight, height]),
    tf.reshape(x, [batch, height, width * channels]),
  );
  const wide = tf.matMul(
    tf.broadcastTo(tf.expandDims(columns, 0), [batch * outHeight, outWidth, width]),
    tf.reshape(tall, [batch * outHeight, width, channels]),
  );
  return tf.reshape<tf.Rank.R4>(wide, [batch, outHeight, outWidth, channels]);
}

/** Source coordinate of output pixel `i`. */
function sourceOf(i: number, size: number, outSize: number, alignCorners: boolean): number {
  if (alignCorners) return outSize === 1 ? 0 : (i * (size - 1)) / (outSize - 1);
  return ((i + 0.5) * size) / outSize - 0.5;
}

function nearestWeights(size: number, outSize: number): Float32Array {
  const matrix = new Float32Array(outSize * size);
  for (let i = 0; i < outSize; i++) matrix[i * size + Math.min(Math.floor((i * size) / outSize), size - 1)] = 1;
  return matrix;
}

function linearWeights(size: number, outSize: number, alignCorners: boolean): Float32Array {
  const matrix = new Float32Array(outSize * size);
  for (let i = 0; i < outSize; i++) {
    const at = Math.max(0, sourceOf(i, size, outSize, alignCorners));
    const low = Math.min(Math.floor(at), size - 1);
    const high = Math.min(low + 1, size - 1);
    matrix[i * size + low]! += 1 - (at - low);
    matrix[i * size + high]! += at - low;
  }
  return matrix;
}

/** Keys' cubic kernel with a = -0.75, border pixels repeated. */
function cubicWeights(size: number, outSize: number, alignCorners: boolean): Float32Array {
  const a = -0.75;
  const kernel = (distance: number): number => {
    const d = Math.abs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };
  const matrix = new Float32Array(outSize * size);
  for (let i = 0; i < outSize; i++) {
    const at = sourceOf(i, size, outSize, alignCorners);
    const low = Math.floor(at);
    for (let tap = low - 1; tap <= low + 2; tap++) {
      matrix[i * size + Math.min(Math.max(tap, 0), size - 1)]! += kernel(at - tap);
    }
  }
  return matrix;
}

/** Mean over floor(i in / out) to ceil((i + 1) in / out), PyTorch's adaptive average pooling. */
function areaWeights(size: number, outSize: number): Float32Array {
  const matrix = new Float32Array(outSize * size);
  for (let i = 0; i < outSize; i++) {
    const begin = Math.floor((i * size) / outSize);
    const end = Math.ceil(((i + 1) * size) / outSize);
    matrix.fill(1 / (end - begin), i * size + begin, i * size + end);
  }
  return matrix;
}
