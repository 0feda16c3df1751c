import * as tf from "@tensorflow/tfjs";
import { STRIDES } from "./head.js";
import type { Yolov8, Yolov8Output } from "./model.js";

/** Head outputs of all levels side by side; A anchors ordered P3, P4, P5, each row-major (y, then x). */
export interface HeadTensors {
  /** [B, 4 * regMax, A] */
  readonly box: tf.Tensor3D;
  /** [B, classes, A] logits */
  readonly cls: tf.Tensor3D;
  /** [B, 32, A]; segmentation only */
  readonly coef?: tf.Tensor3D;
}

/** Channels first and flattened, [B, C, A]; the engine stores maps as NCHW, so these transposes cost nothing there. */
function flattenLevels(maps: readonly tf.Tensor4D[]): tf.Tensor3D {
  return tf.concat(
    maps.map((map) => {
      const [batch, height, width, channels] = map.shape;
      return tf.reshape<tf.Rank.R3>(tf.transpose(map, [0, 3, 1, 2]), [batch, channels, height * width]);
    }),
    2,
  );
}

/** Joins the levels of a forward pass, for losses and training-time decoding. */
export function headTensors({ levels }: Yolov8Output): HeadTensors {
  const box = flattenLevels(levels.map((level) => level.box));
  const cls = flattenLevels(levels.map((level) => level.cls));
  const coefs = levels.flatMap((level) => (level.coef ? [level.coef] : []));
  return coefs.length > 0 ? { box, cls, coef: flattenLevels(coefs) } : { box, cls };
}

/**
 * Cell centres of an input of height x width pixels (multiples of 32), in units of their own stride: (column + .5, row + .5).
 * @returns points, A pairs x, y; strides, pixels per unit, A; ordered as {@link HeadTensors}
 * @example anchorPoints(640, 640).strides.length // 8400
 */
export function anchorPoints(height: number, width: number): { points: Float32Array; strides: Float32Array } {
  const cells = STRIDES.map((stride) => ({ stride, rows: height / stride, columns: width / stride }));
  const count = cells.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const points = new Float32Array(2 * count);
  const strides = new Float32Array(count);
  let anchor = 0;
  for (const { stride, rows, columns } of cells) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, anchor++) {
        points[2 * anchor] = column + 0.5;
        points[2 * anchor + 1] = row + 0.5;
        strides[anchor] = stride;
      }
    }
  }
  return { points, strides };
}

/**
 * The deployed graph: what export traces. Node for node the graph of published exports, so runtimes and quantisers find what they expect.
 *
 * @param images - [B, 3, H, W] RGB in 0..1; H and W multiples of 32
 * @returns output0 [B, 4 + classes (+ 32), A]: centre x, centre y, width, height in input pixels, class probabilities, raw mask
 * coefficients; output1 [B, 32, H/4, W/4] prototypes, segmentation only
 */
export function deployForward(model: Yolov8, images: tf.Tensor4D): { output0: tf.Tensor3D; output1?: tf.Tensor4D } {
  const [, , height, width] = images.shape;
  const { levels, proto } = model.forward(tf.transpose(images, [0, 2, 3, 1]));
  // One flattening for box and class channels together, then a split, as the published graphs have it.
  const joined = flattenLevels(levels.map(({ box, cls }) => tf.concat([box, cls], 3)));
  const [box, cls] = tf.split(joined, [4 * model.regMax, model.classes], 1) as [tf.Tensor3D, tf.Tensor3D];

  const { points, strides } = anchorPoints(height, width);
  // x row, then y row: a constant, so that tracing bakes it in without a transpose.
  const xy = Float32Array.from(points, (_, i) => points[2 * (i % strides.length) + (i < strides.length ? 0 : 1)]!);
  const anchors = tf.tensor3d(xy, [1, 2, strides.length]);
  const [leftTop, rightBottom] = tf.split(model.head.dfl.forward(box), 2, 1) as [tf.Tensor3D, tf.Tensor3D];
  const topLeftCorner = tf.sub(anchors, leftTop);
  const bottomRightCorner = tf.add(anchors, rightBottom);
  const centre = tf.div(tf.add(topLeftCorner, bottomRightCorner), 2);
  const size = tf.sub(bottomRightCorner, topLeftCorner);
  const boxes = tf.mul(tf.concat([centre, size], 1), tf.tensor3d(strides, [1, 1, strides.length]));

  const parts = [boxes, tf.sigmoid(cls)] as tf.Tensor3D[];
  const coefs = levels.flatMap((level) => (level.coef ? [level.coef] : []));
  if (coefs.length > 0) parts.push(flattenLevels(coefs));
  const output0 = tf.concat(parts, 1);
  return proto ? { output0, output1: tf.transpose(proto, [0, 3, 1, 2]) } : { output0 };
}
