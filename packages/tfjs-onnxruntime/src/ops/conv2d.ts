import * as tf from "@tensorflow/tfjs";
import { EngineError } from "../errors.js";
import { isNative, runKernel } from "./engine.js";

/** Operands of {@link conv2d}. */
export interface Conv2dInput {
  /** [N, H, W, C] float32 */
  readonly x: tf.Tensor4D;
  /** [kh, kw, C / groups, O] */
  readonly filter: tf.Tensor4D;
  /** @defaultValue 1 */
  readonly strides?: number | [number, number];
  /** As in `tf.conv2d`: explicit zeros are [[0, 0], [top, bottom], [left, right], [0, 0]]. @defaultValue "valid" */
  readonly pad?: "valid" | "same" | number | tf.backend_util.ExplicitPadding;
  /** Distance of the filter's taps. @defaultValue 1 */
  readonly dilations?: number | [number, number];
  /** Output channels o of group g see the input channels of group g only; O and C are multiples of it. @defaultValue 1 */
  readonly groups?: number;
}

const pair = (value: number | [number, number]): [number, number] =>
  typeof value === "number" ? [value, value] : value;

/** The filter with zeros between its taps, so that a plain convolution computes the dilated one. */
function spread(filter: tf.Tensor4D, [down, across]: [number, number]): tf.Tensor4D {
  const [kh, kw, depth, filters] = filter.shape;
  const wide = tf.pad(tf.reshape(filter, [kh, 1, kw, 1, depth * filters]), [
    [0, 0],
    [0, down - 1],
    [0, 0],
    [0, across - 1],
    [0, 0],
  ]);
  const full = tf.reshape(wide, [kh * down, kw * across, depth, filters]);
  const size = [(kh - 1) * down + 1, (kw - 1) * across + 1, depth, filters];
  return tf.slice(full, [0, 0, 0, 0], size) as tf.Tensor4D;
}

/**
 * Convolution in groups, with dilation, differentiable in both operands: `tf.conv2d` has no groups and refuses the gradient of a
 * dilated one.
 *
 * @returns [N, H', W', O]
 * @throws {@link EngineError} `ENGINE_SHAPE` for channels that do not form the groups
 * @example ops.conv2d({ x: tf.ones([1, 4, 4, 6]), filter: tf.ones([3, 3, 2, 9]), groups: 3 }).shape // [1, 2, 2, 9]
 */
export function conv2d({ x, filter, strides = 1, pad = "valid", dilations = 1, groups = 1 }: Conv2dInput): tf.Tensor4D {
  const [, , depth, filters] = filter.shape;
  if (groups < 1 || x.shape[3] !== depth * groups || filters % groups !== 0) {
    throw new EngineError({
      code: "ENGINE_SHAPE",
      op: "ops.conv2d",
      shapes: [x.shape, filter.shape],
      message: `ops.conv2d: ${x.shape[3]} channels and a filter [${filter.shape}] do not form ${groups} groups.`,
      hint: "The filter is [kh, kw, C / groups, O], and O is a multiple of groups.",
    });
  }
  if (!isNative()) {
    return tf.tidy(() => {
      const full = spread(filter, pair(dilations));
      if (groups === 1) return tf.conv2d(x, full, strides, pad) as tf.Tensor4D;
      const filterParts = tf.split(full, groups, 3);
      return tf.concat(
        tf
          .split(x, groups, 3)
          .map((part, g) => tf.conv2d(part as tf.Tensor4D, filterParts[g] as tf.Tensor4D, strides, pad)),
        3,
      ) as tf.Tensor4D;
    });
  }
  const attrs = { strides, pad, dilations, groups, dataFormat: "NHWC" };
  const op = tf.customGrad((a, b, save) => {
    const [input, weights] = [a as tf.Tensor, b as tf.Tensor];
    (save as tf.GradSaveFunc)([input, weights]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const [sx, sFilter] = saved as [tf.Tensor, tf.Tensor];
      return [
        runKernel<tf.Tensor>("SegConv2dGradInput", { dy, filter: sFilter }, { ...attrs, inputShape: sx.shape }),
        runKernel<tf.Tensor>("SegConv2dGradFilter", { x: sx, dy }, { ...attrs, filterShape: sFilter.shape }),
      ];
    };
    const value = runKernel<tf.Tensor>("SegConv2d", { x: input, filter: weights }, attrs);
    return { value, gradFunc: gradFunc as never };
  });
  return op(x, filter) as tf.Tensor4D;
}

/** Operands of {@link convBnAct}. */
export interface ConvBnActInput extends Conv2dInput {
  /** Of the normalisation, [O] each: y = (conv - mean) / sqrt(variance + eps) * scale + offset. */
  readonly scale: tf.Tensor1D;
  readonly offset: tf.Tensor1D;
  readonly mean: tf.Tensor1D;
  readonly variance: tf.Tensor1D;
  readonly eps: number;
  /** Applied to the result. @defaultValue none */
  readonly activation?: (y: tf.Tensor4D) => tf.Tensor4D;
}

/**
 * Convolution, batch normalisation with given statistics, activation. The normalisation goes into the filter
 * (w scale / sqrt(variance + eps)) and a bias, so that no pass over the map is left of it.
 */
export function convBnAct({
  filter,
  scale,
  offset,
  mean,
  variance,
  eps,
  activation = (y) => y,
  ...rest
}: ConvBnActInput): tf.Tensor4D {
  return tf.tidy(() => {
    const factor = tf.mul(scale, tf.rsqrt(tf.add(variance, eps)));
    const bias = tf.sub(offset, tf.mul(mean, factor));
    return activation(tf.add(conv2d({ ...rest, filter: tf.mul(filter, factor) }), bias));
  });
}
