import { CounterRandom } from "@seg/augment";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { engineInfo, ops } from "./index.js";

type Fn = (...x: tf.Tensor[]) => tf.Tensor;

interface Case {
  name: string;
  fn: Fn;
  shapes: number[][];
  /** Moves inputs into the domain of fn. */
  map?: (x: number) => number;
  /** Not differentiable, or tfjs cpu has no gradient. */
  forwardOnly?: boolean;
  /** The cpu backend's gradient is wrong: only central differences decide. */
  numericOnly?: boolean;
}

const values = (shape: number[], path: string, map: (x: number) => number = (x) => x): Float32Array => {
  const random = new CounterRandom({ seed: 7, path });
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => map(random.uniform(-2, 2)));
};

const positive = (x: number) => Math.abs(x) + 0.3;
const distinct = (x: number) => x;
const asMap = (x: tf.Tensor) => x as tf.Tensor4D;

const cases: Case[] = [
  ...(
    [
      "abs",
      "sin",
      "cos",
      "tanh",
      "sigmoid",
      "exp",
      "erf",
      "neg",
      "square",
      "relu",
      "elu",
      "selu",
      "softplus",
      "expm1",
      "relu6",
      "leakyRelu",
    ] as const
  ).map((name) => ({ name, fn: ((x: tf.Tensor) => tf[name](x)) as Fn, shapes: [[3, 4]] })),
  ...(["log", "sqrt", "rsqrt", "reciprocal", "log1p"] as const).map((name) => ({
    name,
    fn: ((x: tf.Tensor) => tf[name](x)) as Fn,
    shapes: [[3, 4]],
    map: positive,
  })),
  ...(["add", "sub", "mul", "div"] as const).flatMap((name) =>
    [
      [
        [2, 3, 4],
        [2, 3, 4],
      ],
      [[2, 3, 4], [4]],
      [
        [3, 1],
        [1, 4],
      ],
      [[], [2, 3]],
    ].map((shapes) => ({
      name: `${name} ${JSON.stringify(shapes)}`,
      fn: ((a: tf.Tensor, b: tf.Tensor) => tf[name](a, b)) as Fn,
      shapes,
      map: positive,
    })),
  ),
  { name: "pow", fn: (a, b) => tf.pow(a!, b!), shapes: [[5], [5]], map: positive },
  {
    name: "maximum",
    fn: (a, b) => tf.maximum(a!, b!),
    shapes: [
      [5, 2],
      [5, 2],
    ],
  },
  {
    name: "minimum",
    fn: (a, b) => tf.minimum(a!, b!),
    shapes: [
      [5, 2],
      [5, 2],
    ],
  },
  { name: "clip", fn: (x) => tf.clipByValue(x!, -0.5, 1), shapes: [[12]] },
  {
    name: "where",
    fn: (a, b) => tf.where(tf.greater(ops.stopGradient(a!), 0), a!, b!),
    shapes: [
      [3, 4],
      [3, 4],
    ],
  },
  { name: "softmax", fn: (x) => tf.softmax(x!), shapes: [[3, 5]] },
  { name: "logSoftmax", fn: (x) => tf.logSoftmax(x!), shapes: [[3, 5]] },
  { name: "sum all", fn: (x) => tf.sum(x!), shapes: [[3, 4]] },
  { name: "sum axis", fn: (x) => tf.sum(x!, [0, 2]), shapes: [[2, 3, 4]] },
  { name: "mean keep", fn: (x) => tf.mean(x!, 1, true), shapes: [[2, 3, 4]] },
  { name: "max axis", fn: (x) => tf.max(x!, 1), shapes: [[3, 7]], map: distinct },
  { name: "min axis", fn: (x) => tf.min(x!, -1), shapes: [[3, 7]], map: distinct },
  { name: "prod", fn: (x) => tf.prod(x!, 1), shapes: [[3, 4]], map: positive },
  {
    name: "matMul",
    fn: (a, b) => tf.matMul(a!, b!),
    shapes: [
      [3, 4],
      [4, 5],
    ],
  },
  {
    name: "matMul tA",
    fn: (a, b) => tf.matMul(a!, b!, true),
    shapes: [
      [4, 3],
      [4, 5],
    ],
  },
  {
    name: "matMul tB",
    fn: (a, b) => tf.matMul(a!, b!, false, true),
    shapes: [
      [3, 4],
      [5, 4],
    ],
  },
  {
    name: "batch matMul tA tB",
    fn: (a, b) => tf.matMul(a!, b!, true, true),
    shapes: [
      [2, 4, 3],
      [2, 5, 4],
    ],
  },
  {
    name: "attention heads",
    fn: (a, b) =>
      tf.matMul(
        tf.transpose(tf.reshape(a!, [2, 5, 2, 3]), [0, 2, 1, 3]),
        tf.transpose(tf.reshape(b!, [2, 5, 2, 3]), [0, 2, 1, 3]),
        false,
        true,
      ),
    shapes: [
      [2, 5, 6],
      [2, 5, 6],
    ],
  },
  { name: "transpose", fn: (x) => tf.mul(tf.transpose(x!, [2, 0, 1]), 2), shapes: [[2, 3, 4]] },
  {
    name: "transpose then reshape",
    fn: (x) => tf.reshape(tf.transpose(x!, [0, 3, 1, 2]), [2, 4, 9]),
    shapes: [[2, 3, 3, 4]],
  },
  {
    name: "concat",
    fn: (a, b) => tf.concat([a!, b!], 1),
    shapes: [
      [2, 3],
      [2, 2],
    ],
  },
  { name: "split", fn: (x) => tf.mul(tf.split(x!, [1, 3], 1)[1]!, 3), shapes: [[2, 4]] },
  { name: "slice", fn: (x) => tf.slice(x!, [0, 1], [2, 2]), shapes: [[3, 4]] },
  {
    name: "stridedSlice",
    fn: (x) => tf.stridedSlice(x!, [0, 3], [3, 0], [2, -1]),
    shapes: [[3, 4]],
    numericOnly: true,
  },
  { name: "tile", fn: (x) => tf.tile(x!, [2, 3]), shapes: [[2, 3]] },
  { name: "broadcastTo", fn: (x) => tf.broadcastTo(x!, [3, 2, 4]), shapes: [[2, 1]], map: (x) => x },
  {
    name: "stack",
    fn: (a, b) => tf.stack([a!, b!], 1),
    shapes: [
      [2, 3],
      [2, 3],
    ],
  },
  { name: "unstack", fn: (x) => tf.unstack(x!, 1)[2]!, shapes: [[2, 3]] },
  { name: "reverse", fn: (x) => tf.reverse(x!, [1]), shapes: [[2, 3]] },
  {
    name: "pad",
    fn: (x) =>
      tf.pad(
        x!,
        [
          [1, 0],
          [2, 1],
        ],
        0.5,
      ),
    shapes: [[2, 3]],
  },
  { name: "cumsum", fn: (x) => tf.cumsum(x!, 1, true, true), shapes: [[2, 4]] },
  { name: "gather", fn: (x) => tf.gather(x!, tf.tensor1d([2, 0, 2], "int32")), shapes: [[3, 4]] },
  { name: "gather axis 1", fn: (x) => tf.gather(x!, tf.tensor1d([2, 0], "int32"), 1), shapes: [[2, 3, 2]] },
  {
    name: "gather batched",
    fn: (x) =>
      tf.gather(
        x!,
        tf.tensor2d(
          [
            [2, 0],
            [1, 1],
          ],
          [2, 2],
          "int32",
        ),
        1,
        1,
      ),
    shapes: [[2, 3, 4]],
    forwardOnly: true,
  },
  { name: "topk values", fn: (x) => tf.topk(x!, 2).values, shapes: [[3, 5]], numericOnly: true },
  { name: "topkMask", fn: (x) => ops.topkMask(x!, 2), shapes: [[3, 5]], forwardOnly: true },
  { name: "oneHot", fn: (x) => tf.oneHot(tf.cast(x!, "int32"), 3), shapes: [[5]], forwardOnly: true },
  { name: "argMax", fn: (x) => tf.argMax(x!, 1), shapes: [[3, 5]], forwardOnly: true },
  {
    name: "floorDiv int",
    fn: (a, b) => tf.floorDiv(tf.cast(a!, "int32"), tf.cast(tf.add(b!, 5), "int32")),
    shapes: [[5], [5]],
    forwardOnly: true,
  },
  { name: "sign", fn: (x) => tf.sign(x!), shapes: [[5]] },
  {
    name: "logical",
    fn: (a, b) => tf.cast(tf.logicalAnd(tf.greater(a!, 0), tf.logicalNot(tf.lessEqual(b!, 0))), "float32"),
    shapes: [[9], [9]],
    forwardOnly: true,
  },
  {
    name: "any all",
    fn: (a) => tf.cast(tf.logicalOr(tf.any(tf.greater(a!, 1), 1), tf.all(tf.greater(a!, -1), 1)), "float32"),
    shapes: [[4, 5]],
    forwardOnly: true,
  },
  ...[
    { k: 1, s: 1, p: 0 },
    { k: 3, s: 1, p: 1 },
    { k: 3, s: 2, p: 1 },
    { k: 2, s: 2, p: 0 },
    { k: 5, s: 1, p: 2 },
    { k: 3, s: 1, p: 0 },
  ].map(({ k, s, p }) => ({
    name: `conv2d k${k} s${s} p${p}`,
    fn: ((x: tf.Tensor, w: tf.Tensor) =>
      tf.conv2d(asMap(x), tf.transpose(w, [2, 3, 1, 0]) as tf.Tensor4D, s, p, "NHWC", 1, "floor")) as Fn,
    shapes: [
      [2, 7, 6, 3],
      [4, 3, k, k],
    ],
  })),
  {
    name: "conv2d same s2",
    fn: (x, w) => tf.conv2d(asMap(x!), w as tf.Tensor4D, 2, "same"),
    shapes: [
      [1, 6, 5, 2],
      [3, 3, 2, 3],
    ],
  },
  {
    name: "conv2dTranspose",
    fn: (x, w) =>
      tf.conv2dTranspose(asMap(x!), tf.transpose(w!, [2, 3, 1, 0]) as tf.Tensor4D, [2, 6, 8, 2], 2, "valid"),
    shapes: [
      [2, 3, 4, 3],
      [3, 2, 2, 2],
    ],
  },
  {
    name: "conv chain",
    fn: (x, w) => {
      const f = tf.transpose(w!, [2, 3, 1, 0]) as tf.Tensor4D;
      const y = tf.conv2d(asMap(x!), f, 1, 1);
      const z = tf.conv2d(asMap(tf.add(tf.relu(y), tf.mean(y, [1, 2], true))), f, 1, 1);
      return tf.concat([z, y], 3);
    },
    shapes: [
      [2, 5, 5, 3],
      [3, 3, 3, 3],
    ],
  },
  { name: "maxPool 5 s1", fn: (x) => tf.maxPool(asMap(x!), 5, 1, "same"), shapes: [[2, 6, 7, 2]] },
  { name: "maxPool 2 s2", fn: (x) => tf.maxPool(asMap(x!), 2, 2, "valid"), shapes: [[2, 6, 6, 2]] },
  { name: "avgPool 3 s2", fn: (x) => tf.avgPool(asMap(x!), 3, 2, "valid"), shapes: [[1, 7, 5, 2]] },
  // tfjs cpu divides by the whole window in the gradient, also where the forward pass counts real pixels only.
  {
    name: "avgPool 3 s2 same",
    fn: (x) => tf.avgPool(asMap(x!), 3, 2, "same"),
    shapes: [[1, 5, 5, 2]],
    numericOnly: true,
  },
  { name: "resizeNearest x2", fn: (x) => tf.image.resizeNearestNeighbor(asMap(x!), [6, 8]), shapes: [[1, 3, 4, 2]] },
  // tfjs cpu is wrong for batches in this gradient.
  {
    name: "resizeNearest x2 batch",
    fn: (x) => tf.image.resizeNearestNeighbor(asMap(x!), [6, 8]),
    shapes: [[2, 3, 4, 2]],
    numericOnly: true,
  },
  {
    name: "resizeBilinear",
    fn: (x) => tf.image.resizeBilinear(asMap(x!), [7, 5], false, true),
    shapes: [[1, 4, 4, 2]],
    forwardOnly: true,
  },
  {
    name: "batchNorm inference",
    fn: (x, m) =>
      tf.batchNorm(asMap(x!), m as tf.Tensor1D, tf.abs(m!) as tf.Tensor1D, m as tf.Tensor1D, m as tf.Tensor1D, 1e-3),
    shapes: [[2, 3, 3, 4], [4]],
    forwardOnly: true,
    map: positive,
  },
  { name: "silu", fn: (x) => ops.silu(x!), shapes: [[3, 4]] },
  { name: "gelu", fn: (x) => ops.gelu(x!), shapes: [[3, 4]] },
  {
    name: "sigmoidCrossEntropy",
    fn: (x, t) => ops.sigmoidCrossEntropy({ logits: x!, targets: t! }),
    shapes: [
      [3, 4],
      [3, 4],
    ],
  },
  {
    name: "softmaxCrossEntropy",
    fn: (x, t) => ops.softmaxCrossEntropy({ logits: x!, targets: t! }),
    shapes: [
      [2, 3, 4],
      [2, 3, 4],
    ],
  },
  {
    // Few pixels, many channels: images and pixels are one axis of the filter's gradient.
    name: "conv2d of small maps",
    fn: (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same"),
    shapes: [
      [3, 2, 2, 5],
      [3, 3, 5, 4],
    ],
  },
  {
    name: "strided conv2d of small maps",
    fn: (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 2, 1, "NHWC", 1, "floor"),
    shapes: [
      [2, 4, 4, 3],
      [3, 3, 3, 8],
    ],
  },
  {
    // The normalisation's gradient leaves a factor per channel to whoever reads it: convolutions or, here, also a sum.
    name: "conv2d, batchNormTrain, and a second reader",
    fn: (x, w) => {
      const y = tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same");
      const scale = tf.tensor1d([1.5, -0.5]);
      const norm = ops.batchNormTrain({ x: y, scale, offset: tf.tensor1d([0.1, 0.2]), eps: 1e-3 }).y;
      return tf.sin(tf.add(norm, tf.mul(y, 0.3)));
    },
    shapes: [
      [2, 4, 3, 2],
      [3, 3, 2, 2],
    ],
  },
  {
    name: "ops.conv2d in groups, strided",
    fn: (x, w) => ops.conv2d({ x: x as tf.Tensor4D, filter: w as tf.Tensor4D, strides: 2, pad: "same", groups: 3 }),
    shapes: [
      [2, 5, 6, 6],
      [3, 2, 2, 9],
    ],
  },
  {
    name: "ops.conv2d in groups, dilated, with pads of its own",
    fn: (x, w) =>
      ops.conv2d({
        x: x as tf.Tensor4D,
        filter: w as tf.Tensor4D,
        strides: [1, 2],
        dilations: [2, 3],
        groups: 2,
        pad: [
          [0, 0],
          [2, 1],
          [3, 0],
          [0, 0],
        ],
      }),
    shapes: [
      [2, 6, 7, 4],
      [3, 3, 2, 4],
    ],
  },
  {
    name: "ops.conv2d without groups, dilated",
    fn: (x, w) => ops.conv2d({ x: x as tf.Tensor4D, filter: w as tf.Tensor4D, dilations: 2, pad: "same" }),
    shapes: [
      [1, 7, 6, 3],
      [3, 3, 3, 2],
    ],
  },
  {
    name: "ops.convBnAct",
    fn: (x, w, scale, offset) =>
      ops.convBnAct({
        x: x as tf.Tensor4D,
        filter: w as tf.Tensor4D,
        pad: "same",
        scale: scale as tf.Tensor1D,
        offset: offset as tf.Tensor1D,
        mean: tf.tensor1d([0.2, -0.3]),
        variance: tf.tensor1d([0.8, 1.7]),
        eps: 1e-3,
        activation: (y) => ops.silu(y),
      }),
    shapes: [[1, 4, 5, 3], [3, 3, 3, 2], [2], [2]],
  },
  {
    name: "ops.attention with a bias",
    fn: (q, k, v, bias) => ops.attention({ query: q!, key: k!, value: v!, bias: bias! }),
    shapes: [
      [2, 3, 4, 5],
      [2, 3, 6, 5],
      [2, 3, 6, 2],
      [3, 1, 6],
    ],
  },
  {
    name: "ops.attention",
    fn: (q, k, v) => ops.attention({ query: q!, key: k!, value: v!, scale: 0.7 }),
    shapes: [
      [3, 4, 5],
      [3, 6, 5],
      [3, 6, 2],
    ],
  },
  {
    name: "layerNorm",
    fn: (x, s, o) => ops.layerNorm({ x: x!, scale: s!, offset: o!, eps: 1e-5 }),
    shapes: [[2, 3, 6], [6], [6]],
  },
  {
    // Two layers of one width: the runtime must not let them share statistics.
    name: "batchNormTrain twice",
    fn: (x, s, o) => {
      const params = { scale: s as tf.Tensor1D, offset: o as tf.Tensor1D, eps: 1e-3 };
      return ops.batchNormTrain({ x: tf.sin(ops.batchNormTrain({ x: x!, ...params }).y), ...params }).y;
    },
    shapes: [[2, 3, 4, 5], [5], [5]],
  },
  {
    name: "batchNormTrain",
    fn: (x, s, o) => ops.batchNormTrain({ x: x!, scale: s as tf.Tensor1D, offset: o as tf.Tensor1D, eps: 1e-3 }).y,
    shapes: [[2, 3, 4, 5], [5], [5]],
  },
];

const more: Case[] = [
  ...(["tan", "atan", "asinh", "sinh", "cosh", "ceil", "floor", "round", "step"] as const).map((name) => ({
    name,
    fn: ((x: tf.Tensor) => tf[name](x)) as Fn,
    shapes: [[3, 4]],
    map: (x: number) => 0.6 * x + 0.013,
  })),
  ...(["acos", "asin", "atanh"] as const).map((name) => ({
    name,
    fn: ((x: tf.Tensor) => tf[name](x)) as Fn,
    shapes: [[3, 4]],
    map: (x: number) => 0.4 * x,
  })),
  { name: "acosh", fn: (x) => tf.acosh(x!), shapes: [[3, 4]], map: (x) => positive(x) + 1 },
  { name: "prelu", fn: (x, a) => tf.prelu(x!, a!), shapes: [[3, 4], [4]] },
  {
    name: "addN",
    fn: (a, b) => tf.addN([a!, b!, a!]),
    shapes: [
      [3, 4],
      [3, 4],
    ],
  },
  {
    name: "squaredDifference",
    fn: (a, b) => tf.squaredDifference(a!, b!),
    shapes: [
      [3, 4],
      [3, 4],
    ],
  },
  { name: "mod", fn: (a, b) => tf.mod(a!, b!), shapes: [[9], [9]], map: positive, forwardOnly: true },
  {
    name: "mod and floorDiv of negative integers",
    fn: (a) =>
      tf.concat([
        tf.mod(tf.cast(tf.mul(a!, 9), "int32"), tf.scalar(4, "int32")),
        tf.floorDiv(tf.cast(tf.mul(a!, 9), "int32"), tf.scalar(-4, "int32")),
      ]),
    shapes: [[9]],
    forwardOnly: true,
  },
  {
    name: "comparisons",
    fn: (a, b) => {
      const x = tf.round(a!);
      const y = tf.round(b!);
      const flags = [
        tf.equal(x, y),
        tf.notEqual(x, y),
        tf.greater(x, y),
        tf.greaterEqual(x, y),
        tf.less(x, y),
        tf.lessEqual(x, y),
      ];
      const special = tf.div(x, tf.mul(y, 0));
      return tf.stack(
        [...flags, tf.logicalXor(flags[0]!, flags[2]!), tf.isNaN(special), tf.isInf(special), tf.isFinite(special)].map(
          (f) => tf.cast(f, "int32"),
        ),
      );
    },
    shapes: [[20], [20]],
    forwardOnly: true,
  },
  {
    name: "unsortedSegmentSum",
    fn: (x) => tf.unsortedSegmentSum(x!, tf.tensor1d([2, 0, -1, 2], "int32"), 3),
    shapes: [[4, 3]],
  },
  {
    name: "gatherND",
    fn: (x) =>
      tf.gatherND(
        x!,
        tf.tensor2d(
          [
            [0, 1],
            [2, 0],
          ],
          [2, 2],
          "int32",
        ),
      ),
    shapes: [[3, 2, 2]],
    numericOnly: true,
  },
  { name: "expandDims", fn: (x) => tf.mul(tf.expandDims(x!, 1), 2), shapes: [[3, 4]] },
  { name: "onesLike zerosLike", fn: (x) => tf.add(tf.mul(x!, tf.onesLike(x!)), tf.zerosLike(x!)), shapes: [[3, 4]] },
  { name: "range", fn: (x) => tf.mul(x!, tf.range(0, 8, 2)), shapes: [[3, 4]] },
  { name: "argMin", fn: (x) => tf.argMin(x!, 1), shapes: [[3, 5]], forwardOnly: true },
  {
    name: "batchNorm gradient",
    fn: (x, o, s) =>
      tf.batchNorm(
        asMap(x!),
        tf.tensor1d([0.1, -0.2, 0.3, 0]),
        tf.tensor1d([1, 2, 0.5, 1]),
        o as tf.Tensor1D,
        s as tf.Tensor1D,
        1e-3,
      ),
    shapes: [[2, 3, 3, 4], [4], [4]],
  },
  {
    name: "batchNorm with statistics of full rank",
    fn: (x) =>
      tf.batchNorm(
        asMap(x!),
        tf.fill([1, 2, 2, 1], 0.2) as tf.Tensor4D,
        tf.fill([1, 2, 2, 1], 2) as tf.Tensor4D,
        undefined,
        undefined,
        1e-3,
      ),
    shapes: [[1, 2, 2, 1]],
    forwardOnly: true,
  },
];

/** A 4-D input and filter for the convolution cases. */
const nhwc = (x: tf.Tensor) => x as tf.Tensor4D;
const ndhwc = (x: tf.Tensor) => x as tf.Tensor5D;

/** Convolutions beyond the plain one: fused, depthwise, three-dimensional, channels first. */
const convolutions: Case[] = [
  {
    name: "fused conv2d prelu",
    fn: (x, w, b, a) =>
      tf.fused.conv2d({
        x: nhwc(x!),
        filter: w as tf.Tensor4D,
        strides: 2,
        pad: "same",
        bias: b as tf.Tensor1D,
        activation: "prelu",
        preluActivationWeights: a!,
      }),
    shapes: [[1, 5, 6, 2], [3, 3, 2, 3], [3], [3]],
    forwardOnly: true,
  },
  {
    name: "fused matMul leakyrelu",
    fn: (a, b, c) =>
      tf.fused.matMul({ a: a!, b: b!, transposeB: true, bias: c!, activation: "leakyrelu", leakyreluAlpha: 0.1 }),
    shapes: [[3, 4], [5, 4], [5]],
    forwardOnly: true,
  },
  {
    name: "fused matMul of batches",
    fn: (a, b) => tf.fused.matMul({ a: a!, b: b!, transposeA: true, activation: "sigmoid" }),
    shapes: [
      [2, 4, 3],
      [2, 4, 5],
    ],
  },
  ...[
    { s: 1, d: 1, m: 1, size: 6 },
    { s: 2, d: 1, m: 2, size: 7 },
    { s: 1, d: 1, m: 2, size: 22 },
  ].map(({ s, d, m, size }) => ({
    name: `depthwise s${s} d${d} m${m} ${size}`,
    fn: ((x: tf.Tensor, w: tf.Tensor) => tf.depthwiseConv2d(nhwc(x), w as tf.Tensor4D, s, "same", "NHWC", d)) as Fn,
    shapes: [
      [2, size, size - 1, 3],
      [3, 3, 3, m],
    ],
  })),
  {
    name: "depthwise dilated",
    fn: (x, w) => tf.depthwiseConv2d(nhwc(x!), w as tf.Tensor4D, 1, "same", "NHWC", 2),
    shapes: [
      [2, 7, 6, 3],
      [3, 3, 3, 2],
    ],
    forwardOnly: true,
  },
  {
    name: "fused depthwise",
    fn: (x, w, b) =>
      tf.fused.depthwiseConv2d({
        x: nhwc(x!),
        filter: w as tf.Tensor4D,
        strides: 1,
        pad: "valid",
        bias: b as tf.Tensor1D,
        activation: "relu6",
      }),
    shapes: [[1, 5, 5, 2], [3, 3, 2, 2], [4]],
    forwardOnly: true,
  },
  ...[1, 2].map((s) => ({
    name: `conv3d s${s}`,
    fn: ((x: tf.Tensor, w: tf.Tensor) => tf.conv3d(ndhwc(x), w as tf.Tensor5D, s, "same")) as Fn,
    shapes: [
      [2, 4, 5, 3, 2],
      [2, 3, 2, 2, 3],
    ],
  })),
  {
    name: "conv2d channels first",
    fn: (x, w) => tf.conv2d(nhwc(x!), w as tf.Tensor4D, 2, 1, "NCHW", 1, "floor"),
    shapes: [
      [2, 3, 6, 5],
      [3, 3, 3, 4],
    ],
  },
  {
    name: "conv2d dilated",
    fn: (x, w) => tf.conv2d(nhwc(x!), w as tf.Tensor4D, 1, "same", "NHWC", 2),
    shapes: [
      [1, 7, 6, 2],
      [3, 3, 2, 3],
    ],
    forwardOnly: true,
  },
  { name: "maxPool3d", fn: (x) => tf.maxPool3d(ndhwc(x!), 2, 2, "same"), shapes: [[1, 3, 4, 5, 2]] },
  { name: "avgPool3d", fn: (x) => tf.avgPool3d(ndhwc(x!), [2, 3, 2], 1, "valid"), shapes: [[1, 3, 4, 5, 2]] },
  {
    name: "maxPoolWithArgmax",
    fn: (x) => tf.cast(tf.maxPoolWithArgmax(nhwc(x!), 2, 2, "same", true)["indexes"]!, "float32"),
    shapes: [[2, 5, 4, 3]],
    forwardOnly: true,
  },
];

const structure: Case[] = [
  { name: "atan2", fn: (a, b) => tf.atan2(a!, b!), shapes: [[3, 4], [4]] },
  { name: "diag", fn: (x) => tf.diag(x!), shapes: [[4]], forwardOnly: true },
  { name: "linspace", fn: (x) => tf.mul(x!, tf.linspace(1, 3, 4)), shapes: [[3, 4]] },
  {
    name: "spaceToBatchND",
    fn: (x) =>
      tf.spaceToBatchND(
        nhwc(x!),
        [2, 3],
        [
          [1, 0],
          [0, 2],
        ],
      ),
    shapes: [[2, 3, 4, 2]],
  },
  {
    name: "batchToSpaceND",
    fn: (x) =>
      tf.batchToSpaceND(
        nhwc(x!),
        [2, 2],
        [
          [0, 1],
          [1, 0],
        ],
      ),
    shapes: [[4, 2, 3, 2]],
  },
  { name: "depthToSpace", fn: (x) => tf.depthToSpace(nhwc(x!), 2), shapes: [[2, 3, 2, 8]], numericOnly: true },
  { name: "tile of rank 5", fn: (x) => tf.tile(x!, [2, 1, 3, 1, 2]), shapes: [[1, 2, 2, 2, 1]], numericOnly: true },
  ...(["reflect", "symmetric"] as const).map((mode) => ({
    name: `mirrorPad ${mode}`,
    fn: ((x: tf.Tensor) =>
      tf.mirrorPad(
        x,
        [
          [2, 1],
          [1, 2],
        ],
        mode,
      )) as Fn,
    shapes: [[3, 4]],
    numericOnly: true,
  })),
  ...[
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ].map(([exclusive, reverse]) => ({
    name: `cumprod ${exclusive} ${reverse}`,
    fn: ((x: tf.Tensor) => tf.cumprod(x, 1, exclusive, reverse)) as Fn,
    shapes: [[2, 7, 3]],
    numericOnly: true,
  })),
  { name: "flipLeftRight", fn: (x) => tf.image.flipLeftRight(nhwc(x!)), shapes: [[1, 2, 3, 2]], numericOnly: true },
  { name: "lrn", fn: (x) => tf.localResponseNormalization(nhwc(x!), 2, 1.5, 0.7, 0.6), shapes: [[1, 3, 2, 7]] },
  {
    name: "dilation2d (a max)",
    fn: (x, w) => tf.dilation2d(nhwc(x!), w as tf.Tensor3D, 2, "same", 2),
    shapes: [
      [1, 6, 5, 2],
      [3, 2, 2],
    ],
  },
  {
    name: "resizeBilinear gradient",
    fn: (x) => tf.image.resizeBilinear(nhwc(x!), [7, 5]),
    shapes: [[1, 4, 4, 2]],
  },
  // tfjs cpu exchanges height and width of this gradient's shape.
  {
    name: "resizeBilinear gradient aligned",
    fn: (x) => tf.image.resizeBilinear(nhwc(x!), [3, 7], true),
    shapes: [[2, 4, 3, 2]],
    numericOnly: true,
  },
  // tfjs cpu leaves the half pixel out of this gradient.
  {
    name: "resizeBilinear gradient of half pixels",
    fn: (x) => tf.image.resizeBilinear(nhwc(x!), [7, 5], false, true),
    shapes: [[1, 4, 3, 2]],
    numericOnly: true,
  },
  {
    name: "resizeNearest by a fraction",
    fn: (x) => tf.image.resizeNearestNeighbor(nhwc(x!), [7, 5]),
    shapes: [[1, 4, 3, 2]],
  },
  {
    name: "broadcastArgs",
    fn: (x) =>
      tf.mul(x!, tf.cast(tf.broadcastArgs(tf.tensor1d([3, 1], "int32"), tf.tensor1d([1, 4], "int32")), "float32")),
    shapes: [[3, 2]],
  },
];

const run = (name: string, inputs: Record<string, tf.Tensor>, attrs: object = {}) =>
  tf.engine().runKernel(name, inputs as never, attrs as never) as tf.Tensor;
const floats = (x: tf.Tensor) => tf.cast(x, "float32");

/** Scatter, counting, spectra, sums over named axes. */
const scatters: Case[] = [
  {
    name: "tensorScatterUpdate with duplicates",
    fn: (x, u) => tf.tensorScatterUpdate(x!, tf.tensor2d([[1], [3], [1]], [3, 1], "int32"), u!),
    shapes: [
      [4, 2],
      [3, 2],
    ],
    numericOnly: true,
  },
  ...(["squaredDifference", "maximum", "minimum"] as const).map((name) => ({
    name: `${name} of broadcast operands`,
    fn: ((a: tf.Tensor, b: tf.Tensor) => tf[name](a, b)) as Fn,
    shapes: [
      [2, 1, 3],
      [4, 1],
    ],
    numericOnly: true,
  })),
  ...[
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ].map(([ta, tb]) => ({
    name: `matMul of broadcast batches ${ta} ${tb}`,
    fn: ((a: tf.Tensor, b: tf.Tensor) => tf.matMul(a, b, ta, tb)) as Fn,
    shapes: [ta ? [2, 1, 4, 3] : [2, 1, 3, 4], tb ? [3, 5, 4] : [3, 4, 5]],
    numericOnly: true,
  })),
  {
    name: "scatterND adds duplicates",
    fn: (x) => tf.scatterND(tf.tensor2d([[1], [3], [1]], [3, 1], "int32"), x!, [5, 2]),
    shapes: [[3, 2]],
    numericOnly: true,
  },
  {
    name: "tensorScatterUpdate",
    fn: (x, u) =>
      tf.tensorScatterUpdate(
        x!,
        tf.tensor2d(
          [
            [1, 0],
            [3, 1],
          ],
          [2, 2],
          "int32",
        ),
        u!,
      ),
    shapes: [[4, 2], [2]],
    numericOnly: true,
  },
  {
    name: "sparseToDense of a scalar",
    fn: (x) => tf.sparseToDense(tf.tensor1d([0, 3], "int32"), tf.sum(x!) as tf.Scalar, [5], tf.scalar(2)),
    shapes: [[3]],
    forwardOnly: true,
  },
  {
    name: "bincount",
    fn: (w) => tf.bincount(tf.tensor1d([2, 0, 7, 2], "int32"), w as tf.Tensor1D, 4),
    shapes: [[4]],
    forwardOnly: true,
  },
  ...[false, true].map((binary) => ({
    name: `denseBincount ${binary}`,
    fn: ((w: tf.Tensor) =>
      tf.denseBincount(
        tf.tensor2d(
          [
            [2, 0, 7],
            [1, 1, 3],
          ],
          [2, 3],
          "int32",
        ),
        w as tf.Tensor2D,
        4,
        binary,
      )) as Fn,
    shapes: [[2, 3]],
    forwardOnly: true,
  })),
  ...(["left", "right"] as const).map((side) => ({
    name: `searchSorted ${side}`,
    fn: ((x: tf.Tensor) =>
      floats(
        tf.searchSorted(
          tf.tensor2d([
            [-1, 0, 0, 1],
            [0, 1, 2, 3],
          ]),
          tf.round(x),
          side,
        ),
      )) as Fn,
    shapes: [[2, 5]],
    forwardOnly: true,
  })),
  {
    name: "bandPart",
    fn: (x) => tf.linalg.bandPart(x!, 1, 2),
    shapes: [[2, 4, 5]],
  },
  ...["ij,jk->ik", "bij,bkj->bik", "ij->ji", "ij->", "i,j->ij", "bhqd,bhkd->bhqk"].map((equation) => ({
    name: `einsum ${equation}`,
    fn: ((...x: tf.Tensor[]) => tf.einsum(equation, ...x)) as Fn,
    shapes: equation
      .split("->")[0]!
      .split(",")
      .map((term) => [...term].map((letter) => 2 + (letter.charCodeAt(0) % 4))),
    numericOnly: true,
  })),
  ...[false, true].map((inverse) => ({
    name: `ops.fft, inverse ${inverse}`,
    fn: ((real: tf.Tensor, imag: tf.Tensor) => {
      const y = ops.fft({ real, imag, inverse });
      return tf.stack([y.real, y.imag]);
    }) as Fn,
    shapes: [
      [2, 5],
      [2, 5],
    ],
  })),
  ...[5, 8].map((n) => ({
    name: `fft ${n}`,
    fn: ((re: tf.Tensor, im: tf.Tensor) => {
      const spectrum = tf.mul(tf.fft(tf.complex(re, im)), tf.complex(im, re)) as tf.Tensor;
      const back = tf.ifft(tf.add(spectrum, tf.sub(spectrum, re)) as tf.Tensor);
      return tf.stack([tf.real(back), tf.imag(back), tf.abs(back)]);
    }) as Fn,
    shapes: [
      [3, n],
      [3, n],
    ],
    forwardOnly: true,
  })),
  {
    name: "cropAndResize",
    fn: (x) =>
      tf.image.cropAndResize(
        nhwc(x!),
        tf.tensor2d(
          [
            [0.1, 0.2, 0.9, 1.1],
            [0.8, 0.7, 0.2, 0.1],
          ],
          [2, 4],
        ),
        tf.tensor1d([1, 0], "int32"),
        [3, 4],
        "bilinear",
        0.5,
      ),
    shapes: [[2, 5, 6, 3]],
    forwardOnly: true,
  },
];

/** Names of tfjs that its cpu backend has no kernel for, against the same by other means. */
const unnamed: { name: string; actual: Fn; expected: Fn; shapes: number[][] }[] = [
  {
    name: "BroadcastTo",
    actual: (x) => run("BroadcastTo", { x: x! }, { shape: [3, 2, 4] }),
    expected: (x) => tf.add(tf.zeros([3, 2, 4]), x!),
    shapes: [[2, 1]],
  },
  {
    name: "LogSoftmax",
    actual: (logits) => run("LogSoftmax", { logits: logits! }, { axis: 1 }),
    expected: (x) => tf.logSoftmax(x!, 1),
    shapes: [[3, 5]],
  },
  {
    name: "LogicalXor",
    actual: (a, b) => floats(run("LogicalXor", { a: tf.greater(a!, 0), b: tf.greater(b!, 0) })),
    expected: (a, b) => floats(tf.logicalXor(tf.greater(a!, 0), tf.greater(b!, 0))),
    shapes: [[9], [9]],
  },
  ...(["LowerBound", "UpperBound"] as const).map((name) => ({
    name,
    actual: ((values: tf.Tensor) =>
      floats(run(name, { sortedSequence: tf.tensor2d([[-1, 0, 0, 1]]), values: tf.round(values) }))) as Fn,
    expected: ((values: tf.Tensor) =>
      floats(
        tf.searchSorted(tf.tensor2d([[-1, 0, 0, 1]]), tf.round(values), name === "LowerBound" ? "left" : "right"),
      )) as Fn,
    shapes: [[1, 6]],
  })),
  {
    name: "MatrixBandPart",
    actual: (input) =>
      run("MatrixBandPart", { input: input!, numLower: tf.scalar(1, "int32"), numUpper: tf.scalar(-1, "int32") }),
    expected: (x) => tf.linalg.bandPart(x!, 1, -1),
    shapes: [[2, 4, 5]],
  },
];

const flags = (x: tf.Tensor) => tf.greater(x, 0);
const comparisons = { equal: tf.equal, notEqual: tf.notEqual, greater: tf.greater, greaterEqual: tf.greaterEqual };
const predicates: Record<string, Fn> = {
  ...(comparisons as Record<string, Fn>),
  less: (a, b) => tf.less(a!, b!),
  lessEqual: (a, b) => tf.lessEqual(a!, b!),
  logicalAnd: (a, b) => tf.logicalAnd(flags(a!), flags(b!)),
  logicalOr: (a, b) => tf.logicalOr(flags(a!), flags(b!)),
  logicalXor: (a, b) => tf.logicalXor(flags(a!), flags(b!)),
  logicalNot: (a) => tf.logicalNot(flags(a!)),
  isNaN: (a) => tf.isNaN(a!),
  isInf: (a) => tf.isInf(a!),
  isFinite: (a) => tf.isFinite(a!),
  argMax: (a) => tf.expandDims(tf.argMax(a!, 1), 1),
  argMin: (a) => tf.expandDims(tf.argMin(a!, 1), 1),
  floorDiv: (a, b) => tf.floorDiv(a!, b!),
};

/** Gradients that nothing above reaches: zero ones, and those of kernels that tfjs's operations call through others. */
const rare: Case[] = [
  ...Object.entries(predicates).map(([name, predicate]) => ({
    name: `step function ${name}`,
    fn: ((a: tf.Tensor, b: tf.Tensor) => tf.mul(tf.add(a, b), floats(predicate(a, b)))) as Fn,
    shapes: [
      [3, 4],
      [3, 4],
    ],
  })),
  {
    name: "mod (a step function of the quotient)",
    fn: (a, b) => tf.mod(a!, b!),
    shapes: [[3, 4], [4]],
    map: positive,
  },
  {
    name: "step function oneHot",
    fn: (x) => tf.mul(x!, tf.oneHot(tf.cast(tf.abs(x!), "int32"), 3)),
    shapes: [[3]],
  },
];

const all = [...cases, ...more, ...convolutions, ...structure, ...scatters, ...rare];

interface Outcome {
  y: Float32Array;
  grads: Float32Array[];
}

/** fn and, unless forwardOnly, the gradients of sum(fn * cotangent). */
async function evaluate(backend: string, c: Case): Promise<Outcome> {
  await tf.setBackend(backend);
  return tf.tidy(() => {
    const inputs = c.shapes.map((shape, i) => tf.tensor(values(shape, `${c.name}/${i}`, c.map), shape));
    const y = c.fn(...inputs);
    if (c.forwardOnly) return { y: Float32Array.from(y.dataSync()), grads: [] } as never;
    const cotangent = tf.tensor(values(y.shape, `${c.name}/dy`), y.shape);
    const grads = tf.grads((...x: tf.Tensor[]) => c.fn(...x))(inputs, cotangent);
    return { y: Float32Array.from(y.dataSync()), grads: grads.map((g) => Float32Array.from(g.dataSync())) } as never;
  });
}

function expectClose(actual: Float32Array, expected: Float32Array, tolerance: number, what: string): void {
  expect(actual.length, what).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const gap = Math.abs(actual[i]! - expected[i]!);
    if (!(gap <= tolerance * (1 + Math.abs(expected[i]!))))
      expect.fail(`${what}[${i}] = ${actual[i]}, expected ${expected[i]}`);
  }
}

/** Gradients of kernels that this backend has. */
const gradients = () =>
  tf.getKernelsForBackend("onnxruntime").flatMap(({ kernelName }) => tf.getGradient(kernelName) ?? []);

/** Kernels of this backend that ran, and kernels whose gradient did. */
const used = new Set<string>();
const differentiated = new Set<string>();

describe("kernels and gradients agree with tfjs cpu", () => {
  beforeAll(async () => {
    await tf.ready();
    for (const config of tf.getKernelsForBackend("onnxruntime")) {
      const { kernelName, kernelFunc } = config;
      config.kernelFunc = (call) => {
        used.add(kernelName);
        return kernelFunc(call);
      };
    }
    for (const gradient of gradients()) {
      const { kernelName, gradFunc } = gradient;
      gradient.gradFunc = (...operands) => {
        if (tf.getBackend() === "onnxruntime") differentiated.add(kernelName);
        return gradFunc(...operands);
      };
    }
  });
  test.each(all.filter((c) => !c.numericOnly).map((c) => [c.name, c] as const))("%s", async (_name, c) => {
    const expected = await evaluate("cpu", c);
    const actual = await evaluate("onnxruntime", c);
    expectClose(actual.y, expected.y, 2e-5, "y");
    expected.grads.forEach((g, i) => {
      expectClose(actual.grads[i]!, g, 1e-4, `grad ${i}`);
    });
  });
});

describe("kernels that only tfjs-core names", () => {
  test.each(unnamed.map((c) => [c.name, c] as const))("%s", async (_name, { name, actual, expected, shapes }) => {
    const hasGradient = tf.getGradient(name) !== undefined;
    const [y, reference] = [
      await evaluate("onnxruntime", { name, fn: actual, shapes, forwardOnly: !hasGradient }),
      await evaluate("cpu", { name, fn: expected, shapes, forwardOnly: !hasGradient }),
    ];
    expectClose(y.y, reference.y, 2e-5, name);
    reference.grads.forEach((g, i) => {
      expectClose(y.grads[i]!, g, 1e-4, `grad ${i}`);
    });
  });
});

describe("gradients agree with central differences", () => {
  // Central differences in float32: step 1e-2 leaves a truncation error of O(1e-4) and a rounding error of O(1e-5 / 1e-2).
  const step = 1e-2;
  test.each(
    all
      .filter(
        (c) =>
          !c.forwardOnly && (c.numericOnly || !/abs|relu|clip|max|min|where|sign|ceil|floor|round|step/.test(c.name)),
      )
      .map((c) => [c.name, c] as const),
  )("%s", async (_name, c) => {
    await tf.setBackend("onnxruntime");
    tf.tidy(() => {
      const data = c.shapes.map((shape, i) => values(shape, `${c.name}/${i}`, c.map));
      const make = (d: Float32Array[]) => d.map((v, i) => tf.tensor(v, c.shapes[i]!));
      const y = c.fn(...make(data));
      const cotangent = tf.tensor(values(y.shape, `${c.name}/dy`), y.shape);
      const loss = (d: Float32Array[]) => tf.sum(tf.mul(c.fn(...make(d)), cotangent)).dataSync()[0]!;
      const grads = tf.grads((...x: tf.Tensor[]) => c.fn(...x))(make(data), cotangent);
      data.forEach((array, i) => {
        const analytic = grads[i]!.dataSync();
        // Both ends and two places between
        const places = new Set([0, 0.3, 0.5, 1].map((share) => Math.floor(share * (array.length - 1))));
        for (const at of places) {
          const shifted = (delta: number) =>
            data.map((v, j) => (j === i ? v.map((q, n) => (n === at ? q + delta : q)) : v));
          const numeric = (loss(shifted(step)) - loss(shifted(-step))) / (2 * step);
          const gap = Math.abs(numeric - analytic[at]!);
          expect(gap, `input ${i}[${at}]: numeric ${numeric}, analytic ${analytic[at]}`).toBeLessThan(
            2e-2 * (1 + Math.abs(numeric)),
          );
        }
      });
    });
  });
});

describe("coverage", () => {
  test("every kernel of engineInfo() ran above, forward or as a gradient", () => {
    const idle = engineInfo().kernels.filter((name) => !used.has(name));
    expect(idle).toEqual([]);
  });

  test("so did every gradient that is registered", () => {
    const idle = gradients().filter(({ kernelName }) => !differentiated.has(kernelName));
    // Those of complex numbers are refused: errors.test.ts.
    expect(idle.map(({ kernelName }) => kernelName).sort()).toEqual([
      "Complex",
      "ComplexAbs",
      "FFT",
      "IFFT",
      "Imag",
      "Real",
    ]);
  });
});
