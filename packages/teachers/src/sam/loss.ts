import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** Weights of {@link samLoss}; a term with weight 0 is not computed. */
export interface SamLossWeights {
  /** Binary cross-entropy, mean over valid pixels. */
  readonly bce: number;
  /** Focal loss, alpha .25, gamma 2, mean over valid pixels. */
  readonly focal: number;
  /** 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1). */
  readonly dice: number;
  /** (predicted IoU - actual IoU at threshold 0)^2; the actual one carries no gradient. */
  readonly iou: number;
}

/**
 * For networks trained from scratch on soft targets. Focal with alpha .25 instead of the cross-entropy rewards empty masks early on:
 * from scratch it was still at IoU 0 when this one had reached .45.
 */
export const SCRATCH_LOSS: SamLossWeights = { bce: 2, focal: 0, dice: 1, iou: 1 };
/** Section 5 of "Segment anything" (Kirillov et al., 2023), for fine-tuning published weights. */
export const PAPER_LOSS: SamLossWeights = { bce: 0, focal: 20, dice: 1, iou: 1 };

/** Scalars; the parts are unweighted means. */
export interface SamLossValue {
  readonly total: tf.Scalar;
  readonly parts: Readonly<Record<"bce" | "focal" | "dice" | "iou", tf.Scalar>>;
}

/**
 * Loss of P prompts with M alternative masks each.
 *
 * @param logits - [B, P, M, h, w]
 * @param iou - predicted [B, P, M]
 * @param targets - [B, P, h, w] in [0, 1]; soft values are the covered share of a pixel
 * @param valid - [B, h, w], 1 where the pixel belongs to the image, 0 in the padding; absent means everywhere
 * @param select - with M > 1: train only the best mask of a prompt (smallest mask loss), or the mean of all. @defaultValue "min"
 */
export function samLoss({
  logits,
  iou,
  targets,
  valid,
  weights = SCRATCH_LOSS,
  select = "min",
}: {
  readonly logits: tf.Tensor5D;
  readonly iou: tf.Tensor3D;
  readonly targets: tf.Tensor4D;
  readonly valid?: tf.Tensor3D;
  readonly weights?: SamLossWeights;
  readonly select?: "min" | "mean";
}): SamLossValue {
  const [batch, prompts, masks, height, width] = logits.shape;
  const count = batch * prompts;
  const pixels = height * width;
  const rows = count * masks;
  // One row per mask; all operands get the same shape, so that gradients need no broadcasting.
  const x = tf.reshape<tf.Rank.R2>(logits, [rows, pixels]);
  const repeat = (t: tf.Tensor, times: number) =>
    tf.reshape<tf.Rank.R2>(tf.tile(tf.reshape(t, [t.size / pixels, 1, pixels]), [1, times, 1]), [rows, pixels]);
  const t = repeat(targets, masks);
  const mask = valid ? repeat(valid, prompts * masks) : null;
  const masked = (v: tf.Tensor): tf.Tensor => (mask ? tf.mul(v, mask) : v);
  const share = mask ? tf.div(1, tf.maximum(tf.sum(mask, 1), 1)) : tf.scalar(1 / pixels);
  const meanOverPixels = (v: tf.Tensor): tf.Tensor => tf.mul(tf.sum(masked(v), 1), share);

  const zero = tf.zeros([rows]);
  const p = tf.sigmoid(x);
  // softplus(x) - x t = -t log p - (1 - t) log(1 - p), stable for any x.
  const entropy = weights.bce > 0 || weights.focal > 0 ? tf.sub(tf.softplus(x), tf.mul(x, t)) : null;
  const bce = entropy && weights.bce > 0 ? meanOverPixels(entropy) : zero;
  const focal = entropy && weights.focal > 0 ? meanOverPixels(focalTerm(entropy, p, t)) : zero;
  const overlap = tf.sum(masked(tf.mul(p, t)), 1);
  const extent = tf.add(tf.sum(masked(p), 1), tf.sum(masked(t), 1));
  const dice = tf.sub(1, tf.div(tf.add(tf.mul(overlap, 2), 1), tf.add(extent, 1)));

  // Per mask, then one value per prompt.
  const perMask = tf.addN([tf.mul(bce, weights.bce), tf.mul(focal, weights.focal), tf.mul(dice, weights.dice)]);
  const chosen = masks > 1 && select === "min" ? bestOf(perMask, count, masks) : null;
  const reduce = (v: tf.Tensor): tf.Scalar =>
    chosen ? tf.div(tf.sum(tf.mul(tf.reshape(v, [count, masks]), chosen)), count) : (tf.mean(v) as tf.Scalar);
  const actual = actualIou(ops.stopGradient(x), t, mask);
  const iouLoss = tf.mean(tf.square(tf.sub(tf.reshape(iou, [rows]), actual))) as tf.Scalar;
  const total = tf.add(reduce(perMask), tf.mul(iouLoss, weights.iou)) as tf.Scalar;
  return { total, parts: { bce: reduce(bce), focal: reduce(focal), dice: reduce(dice), iou: iouLoss } };
}

/** alpha_t (1 - p_t)^2 times the cross-entropy, alpha_t = .25 t + .75 (1 - t), 1 - p_t = p + t - 2 p t. */
function focalTerm(entropy: tf.Tensor, p: tf.Tensor, t: tf.Tensor): tf.Tensor {
  const miss = tf.sub(tf.add(p, t), tf.mul(tf.mul(p, t), 2));
  return tf.mul(tf.mul(tf.sub(0.75, tf.mul(t, 0.5)), entropy), tf.square(miss));
}

/** 1 at the smallest loss of each prompt (ties: the first), [count, masks]. */
function bestOf(perMask: tf.Tensor, count: number, masks: number): tf.Tensor {
  return ops.topkMask(tf.neg(ops.stopGradient(tf.reshape(perMask, [count, masks]))), 1);
}

/** |x > 0 and t| / |x > 0 or t| per row, 0 for an empty union. */
function actualIou(x: tf.Tensor, t: tf.Tensor, mask: tf.Tensor | null): tf.Tensor {
  const inside = (v: tf.Tensor, threshold: number): tf.Tensor => {
    const flags = tf.cast(tf.greater(v, threshold), "float32");
    return mask ? tf.mul(flags, mask) : flags;
  };
  const a = inside(x, 0);
  // A pixel that is covered by half counts as inside.
  const b = inside(t, 0.5 - 1e-6);
  const both = tf.sum(tf.mul(a, b), 1);
  const union = tf.sub(tf.add(tf.sum(a, 1), tf.sum(b, 1)), both);
  return tf.div(both, tf.maximum(union, 1e-6));
}
