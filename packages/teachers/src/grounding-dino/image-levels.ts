import * as tf from "@tensorflow/tfjs";
import type { GroundingDinoConfig } from "./config.js";

/** Size of one feature map, cells. */
export interface MapSize {
  readonly height: number;
  readonly width: number;
}

/** What the transformer must know about the maps besides their features. Batch 1 where the images have no padding: it broadcasts. */
export interface ImageGeometry {
  readonly levels: readonly MapSize[];
  /** Sine positions [B or 1, S, d] without the level embedding. */
  readonly positions: tf.Tensor3D;
  /** [B, S], 1 = real; null without padding. */
  readonly mask: tf.Tensor2D | null;
  /** Share of every level that is real, (width, height): [B or 1, L, 2]. */
  readonly validRatios: tf.Tensor3D;
  /** Centre of every cell relative to the real image, times each level's valid ratio: [B or 1, S, L, 2] as (x, y). */
  readonly references: tf.Tensor4D;
  /** Initial box of every cell, inverse sigmoid of cxcywh, +Infinity where it is not usable: [B or 1, S, 4]. */
  readonly proposals: tf.Tensor3D;
  /** [B or 1, S, 1], 1 where the cell is real and its box lies in (.01, .99). */
  readonly usable: tf.Tensor3D;
}

/**
 * Sizes of all feature maps of an image: the backbone's stages, then halvings by 3x3 convolutions of stride 2.
 *
 * @example mapSizes(GROUNDING_DINO_SIZES.tiny, { height: 800, width: 1066 }).map((m) => m.height) // [100, 50, 25, 13]
 */
export function mapSizes({ backbone, numFeatureLevels }: GroundingDinoConfig, image: MapSize): MapSize[] {
  const patches = (size: number) => Math.ceil(size / backbone.patchSize);
  let size: MapSize = { height: patches(image.height), width: patches(image.width) };
  const half = ({ height, width }: MapSize): MapSize => ({
    height: Math.ceil(height / 2),
    width: Math.ceil(width / 2),
  });
  const sizes: MapSize[] = [];
  for (let stage = 1; stage <= backbone.depths.length; stage++) {
    if (backbone.outIndices.includes(stage)) sizes.push(size);
    // Stride 2 with padding 1 gives floor((n - 1) / 2) + 1 = ceil(n / 2), of the last map that was handed on.
    if (stage < backbone.depths.length) size = half(size);
  }
  while (sizes.length < numFeatureLevels) sizes.push(half(sizes[sizes.length - 1]!));
  return sizes;
}

/** A mask [B, H, W] at the size of a map, nearest pixel floor(i H / h) as PyTorch's `interpolate`. */
function resizeMask(mask: tf.Tensor3D, { height, width }: MapSize): tf.Tensor3D {
  const pick = (from: number, to: number) => {
    const scale = Math.fround(from / to);
    const index = Int32Array.from({ length: to }, (_, i) => Math.min(Math.floor(Math.fround(i * scale)), from - 1));
    return tf.tensor1d(index, "int32");
  };
  const rows = tf.gather(mask, pick(mask.shape[1], height), 1);
  return tf.gather(rows, pick(mask.shape[2], width), 2);
}

/** sin and cos of value times each frequency, interleaved: [..., 1] -> [..., features]. */
function interleavedSine(value: tf.Tensor, features: number, temperature: number): tf.Tensor {
  const frequencies = Float32Array.from({ length: features / 2 }, (_, k) => 1 / temperature ** ((2 * k) / features));
  const angle = tf.mul(value, tf.tensor1d(frequencies));
  return tf.reshape(tf.stack([tf.sin(angle), tf.cos(angle)], -1), [...value.shape.slice(0, -1), features]);
}

/**
 * Sine code of numbers in 0..1 (or of whole numbers), 2 pi x / temperature^(2 k / features), sin and cos interleaved.
 * @param value - [..., 1] @returns [..., features]
 */
export function sineEmbedding(value: tf.Tensor, features: number, temperature = 10000): tf.Tensor {
  return interleavedSine(tf.mul(value, 2 * Math.PI), features, temperature);
}

/** Sine positions of one map, [B, h, w, d]: rows first, then columns, each counted over real cells only. */
function sinePositions(mask: tf.Tensor3D, width: number, temperature: number): tf.Tensor4D {
  const code = (axis: 1 | 2): tf.Tensor => {
    const counted = tf.cumsum(mask, axis);
    const last = tf.gather(counted, tf.tensor1d([mask.shape[axis] - 1], "int32"), axis);
    const scaled = tf.mul(tf.div(counted, tf.add(last, 1e-6)), 2 * Math.PI);
    return interleavedSine(tf.expandDims(scaled, -1), width / 2, temperature);
  };
  return tf.concat([code(1), code(2)], 3) as tf.Tensor4D;
}

/**
 * Everything that follows from sizes and padding alone.
 *
 * @param pixelMask - [B, H, W] float32, 1 = real pixel, real pixels top left; null: no padding
 */
export function imageGeometry(
  config: GroundingDinoConfig,
  levels: readonly MapSize[],
  pixelMask: tf.Tensor3D | null,
  trace?: (name: string, tensor: tf.Tensor) => void,
): ImageGeometry {
  const masks = levels.map((size) =>
    pixelMask === null ? tf.ones<tf.Rank.R3>([1, size.height, size.width]) : resizeMask(pixelMask, size),
  );
  const batch = masks[0]!.shape[0];
  const positions: tf.Tensor[] = [];
  const ratios: tf.Tensor[] = [];
  const references: tf.Tensor[] = [];
  const proposals: tf.Tensor[] = [];
  for (const [level, { height, width }] of levels.entries()) {
    const mask = masks[level]!;
    trace?.(`backbone_masks.${level}`, mask);
    const code = sinePositions(mask, config.dModel, config.positionTemperature);
    trace?.(`position_embeddings.${level}`, code);
    positions.push(tf.reshape(code, [batch, height * width, config.dModel]));

    const validHeight = tf.sum(tf.slice(mask, [0, 0, 0], [batch, height, 1]), [1, 2]);
    const validWidth = tf.sum(tf.slice(mask, [0, 0, 0], [batch, 1, width]), [1, 2]);
    const valid = tf.reshape(tf.stack([validWidth, validHeight], 1), [batch, 1, 2]);
    ratios.push(tf.div(valid, tf.tensor1d([width, height])));

    const centres = new Float32Array(height * width * 2);
    for (let i = 0; i < height * width; i++) {
      centres[2 * i] = (i % width) + 0.5;
      centres[2 * i + 1] = Math.floor(i / width) + 0.5;
    }
    const centre = tf.div(tf.tensor3d(centres, [1, height * width, 2]), valid);
    references.push(centre);
    const side = tf.fill([batch, height * width, 2], 0.05 * 2 ** level);
    proposals.push(tf.concat([centre, side], 2));
  }
  const validRatios = tf.concat(ratios, 1) as tf.Tensor3D;
  const count = levels.reduce((sum, { height, width }) => sum + height * width, 0);
  const flatMask = tf.concat(
    masks.map((mask) => tf.reshape(mask, [batch, mask.size / batch])),
    1,
  ) as tf.Tensor2D;
  const centres = tf.reshape(tf.concat(references, 1), [batch, count, 1, 2]);
  const boxes = tf.concat(proposals, 1) as tf.Tensor3D;
  const inside = tf.all(tf.logicalAnd(tf.greater(boxes, 0.01), tf.less(boxes, 0.99)), 2, true);
  const usable = tf.logicalAnd(inside, tf.greater(tf.reshape(flatMask, [batch, count, 1]), 0.5));
  const whole = tf.tile(usable, [1, 1, 4]);
  const logits = tf.log(tf.div(boxes, tf.sub(1, boxes)));
  return {
    levels,
    positions: tf.concat(positions, 1) as tf.Tensor3D,
    mask: pixelMask === null ? null : flatMask,
    validRatios,
    references: tf.mul(centres, tf.reshape(validRatios, [batch, 1, levels.length, 2])) as tf.Tensor4D,
    proposals: tf.where(whole, logits, tf.fill(logits.shape, Number.POSITIVE_INFINITY)) as tf.Tensor3D,
    usable: tf.cast(usable, "float32") as tf.Tensor3D,
  };
}
