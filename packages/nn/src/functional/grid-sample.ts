import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** How values between pixels and outside the map are read, as `torch.nn.functional.grid_sample` names it. */
export interface GridSampleOptions {
  /** Nearest rounds halves to even, as PyTorch does. @defaultValue "bilinear" */
  readonly mode?: "bilinear" | "nearest";
  /** What lies outside: zeros, or the nearest border pixel. @defaultValue "zeros" */
  readonly paddingMode?: "zeros" | "border";
  /** Whether -1 and 1 are the centres of the corner pixels (true) or their outer edges. @defaultValue false */
  readonly alignCorners?: boolean;
}

/**
 * Samples maps at points, PyTorch's `grid_sample` for NHWC maps: pixel = ((g + 1) size - 1) / 2, or (g + 1) (size - 1) / 2 with
 * `alignCorners`; bilinear weights of the four neighbours, each 0 where it lies outside. Differentiable in both arguments.
 *
 * @param x - [B, H, W, C]
 * @param grid - [B, h, w, 2], (x, y) in [-1, 1]
 * @returns [B, h, w, C]
 */
export function gridSample(
  x: tf.Tensor4D,
  grid: tf.Tensor4D,
  { mode = "bilinear", paddingMode = "zeros", alignCorners = false }: GridSampleOptions = {},
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const [, outHeight, outWidth] = grid.shape;
  return tf.tidy(() => {
    const [gx, gy] = tf.unstack(grid, 3) as [tf.Tensor3D, tf.Tensor3D];
    const toPixels = (g: tf.Tensor, size: number): tf.Tensor => {
      const pixels = alignCorners ? tf.mul(tf.add(g, 1), (size - 1) / 2) : tf.sub(tf.mul(tf.add(g, 1), size / 2), 0.5);
      return paddingMode === "border" ? tf.clipByValue(pixels, 0, size - 1) : pixels;
    };
    const px = toPixels(gx, width);
    const py = toPixels(gy, height);
    const rows = tf.reshape(x, [batch * height * width, channels]);
    const firstRow = tf.reshape(tf.range(0, batch * height * width, height * width, "int32"), [batch, 1, 1]);

    /** Pixels at whole coordinates; outside ones are 0. */
    const at = (cx: tf.Tensor, cy: tf.Tensor): { values: tf.Tensor; inside: tf.Tensor } => {
      const insideX = tf.logicalAnd(tf.greaterEqual(cx, 0), tf.lessEqual(cx, width - 1));
      const insideY = tf.logicalAnd(tf.greaterEqual(cy, 0), tf.lessEqual(cy, height - 1));
      // Clipped before the cast: far coordinates would leave the range of int32.
      const column = tf.cast(tf.clipByValue(cx, 0, width - 1), "int32");
      const row = tf.cast(tf.clipByValue(cy, 0, height - 1), "int32");
      const index = tf.add(tf.add(tf.mul(row, tf.scalar(width, "int32")), column), firstRow);
      const values = tf.gather(rows, tf.reshape(index, [index.size]) as tf.Tensor1D);
      return {
        values: tf.reshape(values, [batch, outHeight, outWidth, channels]),
        inside: tf.cast(tf.logicalAnd(insideX, insideY), "float32"),
      };
    };
    if (mode === "nearest") {
      const { values, inside } = at(ops.stopGradient(tf.round(px)), ops.stopGradient(tf.round(py)));
      return tf.mul(values, tf.expandDims(inside, -1)) as tf.Tensor4D;
    }
    // Detached: tfjs refuses to carry a gradient into integer indices.
    const [left, top] = [ops.stopGradient(tf.floor(px)), ops.stopGradient(tf.floor(py))];
    const [fx, fy] = [tf.sub(px, left), tf.sub(py, top)];
    const [right, bottom] = [tf.add(left, 1), tf.add(top, 1)];
    const [gapX, gapY] = [tf.sub(1, fx), tf.sub(1, fy)];
    const corner = (cx: tf.Tensor, cy: tf.Tensor, wx: tf.Tensor, wy: tf.Tensor): tf.Tensor => {
      const { values, inside } = at(cx, cy);
      return tf.mul(values, tf.expandDims(tf.mul(tf.mul(wx, wy), inside), -1));
    };
    return tf.addN([
      corner(left, top, gapX, gapY),
      corner(right, top, fx, gapY),
      corner(left, bottom, gapX, fy),
      corner(right, bottom, fx, fy),
    ]) as tf.Tensor4D;
  });
}
