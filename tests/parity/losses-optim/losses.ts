import {
  bceWithLogits,
  completeIou,
  distributionExpectation,
  distributionFocalLoss,
  distributionKd,
  generalizedIou,
  pairwiseCompleteIou,
} from "@seg/distill";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { Attributes, FixtureCase } from "./fixture-case.js";

type Inputs = Readonly<Record<string, tf.Tensor>>;
type Forward = (inputs: Inputs) => tf.Tensor;

const numberOf = (attributes: Attributes, key: string, fallback: number): number => {
  const value = attributes[key];
  return typeof value === "number" ? value : fallback;
};

const reduce = (values: tf.Tensor, { reduction }: Attributes): tf.Tensor =>
  reduction === "mean" ? tf.mean(values) : reduction === "sum" ? tf.sum(values) : values;

/** Focal terms of any alpha (below 0: none) and gamma, over our cross-entropy. */
function focal({ inputs, targets }: Inputs, attributes: Attributes): tf.Tensor {
  const [alpha, gamma] = [numberOf(attributes, "alpha", 0.25), numberOf(attributes, "gamma", 2)];
  const p = tf.sigmoid(inputs!);
  const miss = tf.sub(tf.add(p, targets!), tf.mul(tf.mul(p, targets!), 2));
  const terms = tf.mul(bceWithLogits(inputs!, targets!), tf.pow(miss, gamma));
  if (alpha < 0) return reduce(terms, attributes);
  const balance = tf.add(1 - alpha, tf.mul(targets!, 2 * alpha - 1));
  return reduce(tf.mul(terms, balance), attributes);
}

/** PyTorch's weights: of each element, and of the positive term by class. */
function binary({ inputs, targets, weight, pos_weight: positive }: Inputs, attributes: Attributes): tf.Tensor {
  const plain = bceWithLogits(inputs!, targets!);
  // (1 - t) x + (1 + (w - 1) t) softplus(-x) = bce + (w - 1) t softplus(-x); softplus(-x) is the entropy against 1.
  const extra = positive && tf.mul(tf.mul(tf.sub(positive, 1), targets!), bceWithLogits(inputs!, tf.onesLike(inputs!)));
  const terms = extra ? tf.add(plain, extra) : plain;
  return reduce(weight ? tf.mul(terms, weight) : terms, attributes);
}

/** IoU - d^2 / c^2 of paired boxes [..., 4]; no package needs it without the aspect term, so its parts are rebuilt here on the engine. */
function distanceIou(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const [ax1, ay1, ax2, ay2] = tf.split(a, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const [bx1, by1, bx2, by2] = tf.split(b, 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const square = (x: tf.Tensor, y: tf.Tensor) => tf.add(tf.square(x), tf.square(y));
  const hull = square(tf.sub(high(ax2, bx2), low(ax1, bx1)), tf.sub(high(ay2, by2), low(ay1, by1)));
  const twice = square(tf.sub(tf.add(ax1, ax2), tf.add(bx1, bx2)), tf.sub(tf.add(ay1, ay2), tf.add(by1, by2)));
  const iou = overlap([ax1, ay1, ax2, ay2], [bx1, by1, bx2, by2]);
  return tf.squeeze(tf.sub(iou, tf.div(tf.mul(twice, 0.25), tf.add(hull, 1e-7))), [-1]);
}

// Exact values; the gradient of a tie is shared, as PyTorch shares it.
const low = (a: tf.Tensor, b: tf.Tensor) => tf.mul(tf.add(tf.minimum(a, b), tf.minimum(b, a)), 0.5);
const high = (a: tf.Tensor, b: tf.Tensor) => tf.mul(tf.add(tf.maximum(a, b), tf.maximum(b, a)), 0.5);

type Sides = readonly [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];

function overlap([ax1, ay1, ax2, ay2]: Sides, [bx1, by1, bx2, by2]: Sides): tf.Tensor {
  const width = tf.relu(tf.sub(low(ax2, bx2), high(ax1, bx1)));
  const height = tf.relu(tf.sub(low(ay2, by2), high(ay1, by1)));
  const inter = tf.mul(width, height);
  const area = (x1: tf.Tensor, y1: tf.Tensor, x2: tf.Tensor, y2: tf.Tensor) => tf.mul(tf.sub(x2, x1), tf.sub(y2, y1));
  const union = tf.sub(tf.add(area(ax1, ay1, ax2, ay2), area(bx1, by1, bx2, by2)), inter);
  return tf.div(inter, tf.add(union, 1e-7));
}

/** A function of paired boxes over all pairs. */
function pairwise({ boxes1, boxes2 }: Inputs, paired: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): tf.Tensor {
  const [rows, columns] = [boxes1!.shape[0]!, boxes2!.shape[0]!];
  const a = tf.reshape(tf.tile(tf.expandDims(boxes1!, 1), [1, columns, 1]), [-1, 4]);
  const b = tf.reshape(tf.tile(tf.expandDims(boxes2!, 0), [rows, 1, 1]), [-1, 4]);
  return tf.reshape(paired(a, b), [rows, columns]);
}

/** Plain IoU of paired boxes: GIoU plus the empty share of the hull would be a detour. */
function plainIou(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.squeeze(overlap(tf.split(a, 4, -1) as unknown as Sides, tf.split(b, 4, -1) as unknown as Sides), [-1]);
}

/** The three Dice forms differ in their denominator and in what keeps it from 0. */
function dice({ inputs, targets }: Inputs, { formula }: Attributes): tf.Tensor {
  const text = String(formula);
  const smooth = Number(/smooth ([\d.e-]+)/.exec(text)?.[1] ?? 1);
  const p = tf.sigmoid(inputs!);
  const sum = (x: tf.Tensor) => tf.sum(x, [1, 2]);
  const isSquared = text.includes("p^2");
  const extent = isSquared ? tf.add(sum(tf.square(p)), sum(tf.square(targets!))) : tf.add(sum(p), sum(targets!));
  return tf.sub(1, tf.div(tf.add(tf.mul(sum(tf.mul(p, targets!)), 2), smooth), tf.add(extent, smooth)));
}

function crossEntropy({ inputs, targets }: Inputs, attributes: Attributes): tf.Tensor {
  const classes = inputs!.shape.at(-1)!;
  const smoothing = numberOf(attributes, "label_smoothing", 0);
  const oneHot = tf.oneHot(tf.cast(targets!, "int32"), classes);
  const soft = tf.add(tf.mul(tf.cast(oneHot, "float32"), 1 - smoothing), smoothing / classes);
  // Rows of a negative target (PyTorch's ignore_index) count for nothing.
  const counted = tf.cast(tf.greaterEqual(targets!, 0), "float32");
  const rows = ops.softmaxCrossEntropy({ logits: inputs!, targets: soft });
  return tf.div(tf.sum(tf.mul(rows, counted)), tf.sum(counted));
}

function smoothL1({ inputs, targets }: Inputs, attributes: Attributes): tf.Tensor {
  const beta = numberOf(attributes, "beta", 1);
  const distance = tf.abs(tf.sub(inputs!, targets!));
  const quadratic = tf.minimum(distance, beta);
  // |d| - beta/2 beyond beta, d^2 / (2 beta) within: with q = min(|d|, beta) it is q^2 / (2 beta) + |d| - q.
  return tf.mean(tf.add(tf.div(tf.square(quadratic), 2 * beta), tf.sub(distance, quadratic)));
}

function cosine({ inputs, targets }: Inputs): tf.Tensor {
  const norm = (x: tf.Tensor) => tf.sqrt(tf.sum(tf.square(x), -1));
  const product = tf.sum(tf.mul(inputs!, targets!), -1);
  return tf.sub(1, tf.div(product, tf.mul(norm(inputs!), norm(targets!))));
}

/** Softmax over the pixels of each channel, T^2 KL / (B C): rows are channels. */
function channelKl({ student, teacher }: Inputs, attributes: Attributes): tf.Tensor {
  const [batch, channels, height, width] = student!.shape as [number, number, number, number];
  const rows = (x: tf.Tensor) => tf.reshape(x, [batch * channels, height * width]);
  return distributionKd({
    student: rows(student!),
    teacher: rows(teacher!),
    temperature: numberOf(attributes, "temperature", 1),
  });
}

/** T^2 KL of Bernoulli distributions, elementwise: cross-entropy minus the teacher's entropy. */
function bernoulliKl({ student, teacher }: Inputs, attributes: Attributes): tf.Tensor {
  const temperature = numberOf(attributes, "temperature", 1);
  const [s, t] = [tf.div(student!, temperature), tf.div(teacher!, temperature)];
  const soft = tf.sigmoid(t);
  return tf.mul(tf.sub(bceWithLogits(s, soft), bceWithLogits(t, soft)), temperature ** 2);
}

/** By name, longest prefix first. */
const LOSSES: readonly [prefix: string, forward: (inputs: Inputs, attributes: Attributes) => tf.Tensor][] = [
  ["sigmoid_focal", focal],
  ["bce_logits", binary],
  ["giou_loss", ({ boxes1, boxes2 }) => tf.sub(1, generalizedIou(boxes1!, boxes2!))],
  ["diou_loss", ({ boxes1, boxes2 }) => tf.sub(1, distanceIou(boxes1!, boxes2!))],
  ["ciou_loss", ({ boxes1, boxes2 }) => tf.sub(1, completeIou(boxes1!, boxes2!))],
  ["pairwise_iou", (inputs) => pairwise(inputs, plainIou)],
  ["pairwise_giou", (inputs) => pairwise(inputs, generalizedIou)],
  ["pairwise_diou", (inputs) => pairwise(inputs, distanceIou)],
  [
    "pairwise_ciou",
    ({ boxes1, boxes2 }) =>
      tf.squeeze(
        pairwiseCompleteIou(tf.expandDims(boxes1!, 0) as tf.Tensor3D, tf.expandDims(boxes2!, 0) as tf.Tensor3D),
        [0],
      ),
  ],
  ["dice", dice],
  [
    "distribution_focal",
    ({ pred, target }) => {
      const sides = target!.shape.at(-1)!;
      const bins = pred!.shape.at(-1)! / sides;
      return tf.mean(distributionFocalLoss(tf.reshape(pred!, [-1, sides, bins]), target!), -1, true);
    },
  ],
  ["dfl_expectation", ({ pred }) => distributionExpectation(tf.reshape(pred!, [-1, 4, pred!.shape.at(-1)! / 4]))],
  ["kl_bernoulli", bernoulliKl],
  [
    "kl_T",
    ({ student, teacher }, attributes) =>
      distributionKd({ student: student!, teacher: teacher!, temperature: numberOf(attributes, "temperature", 1) }),
  ],
  ["cross_entropy", crossEntropy],
  ["smooth_l1", smoothL1],
  ["mse", ({ inputs, targets }) => tf.mean(tf.square(tf.sub(inputs!, targets!)))],
  ["cosine", cosine],
  ["channel_kl", channelKl],
];

/** Our function for a case, or null when its name says nothing. */
export function lossOf({ name, attributes }: FixtureCase): Forward | null {
  const found = LOSSES.find(([prefix]) => name.startsWith(prefix));
  return found ? (inputs) => found[1](inputs, attributes) : null;
}
