import {
  type Affine,
  applyAffine,
  composeAffine,
  invertAffine,
  rasterizePolygons,
  type Sample,
  type SampleInstance,
} from "@seg/augment";
import * as tf from "@tensorflow/tfjs";
import type { StudentTargets } from "./losses/student-loss.js";
import { type TeacherMask, unpackLogits } from "./teacher-record.js";

/** Prototype cells per pixel. */
const PROTO_SCALE = 1 / 4;

/** Anchors one ground truth may claim. */
const TOPK = 10;

/** Strides of the three levels. */
const STRIDES = [8, 16, 32] as const;

/** What a teacher said about one annotation. */
export interface TeacherAnswer {
  readonly mask: TeacherMask;
  readonly side: number;
  /** Pixels of the original image to logit-grid pixels. */
  readonly toModel: Affine;
}

/**
 * The smallest of 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, ... that is at least `n`: tensor sizes stay few, so that the engine
 * compiles few graphs.
 */
export function bucket(n: number): number {
  if (n <= 8) return 8;
  let power = 16;
  for (;;) {
    if (n <= power) return power;
    // 24 is left out: below 32 the next power costs nothing.
    if (power >= 32 && n <= 1.5 * power) return 1.5 * power;
    power *= 2;
  }
}

/** Number of anchor centres strictly inside a box, all levels of a square input, at most 10. */
export function claimable([x1, y1, x2, y2]: readonly [number, number, number, number], size: number): number {
  // Strictly inside: x1 < (i + .5) s < x2 for 0 <= i < size / s; a little wider than float32 rounding, so never too few.
  const along = (low: number, high: number, stride: number): number => {
    const from = Math.max(0, Math.ceil((low - 1e-3) / stride - 0.5));
    const to = Math.min(size / stride - 1, Math.floor((high + 1e-3) / stride - 0.5));
    return Math.max(0, to - from + 1);
  };
  let count = 0;
  for (const stride of STRIDES) count += along(x1, x2, stride) * along(y1, y2, stride);
  return Math.min(TOPK, count);
}

/** Host arrays of a batch; the tensors of {@link StudentTargets} before upload. */
export interface TargetArrays {
  readonly batch: number;
  /** Padded ground truths per image, a bucket. */
  readonly truths: number;
  /** Rows for positives per image, a bucket. */
  readonly positives: number;
  readonly side: number;
  readonly boxes: Float32Array;
  readonly classes: Int32Array;
  readonly valid: Float32Array;
  /** `[batch * truths * side * side]` and flags, for mask students. */
  readonly masks?: Uint8Array;
  readonly hasMask?: Float32Array;
  readonly teacherMasks?: Float32Array;
  readonly teacherWeights?: Float32Array;
}

/**
 * Teacher probabilities of an instance at prototype size: each cell centre goes back through the instance's matrix to its original
 * image, on to the logit grid, is interpolated there, and becomes sigmoid(z / T). Outside of the logit grid 0.
 */
export function sampleTeacherMask({
  answer,
  matrix,
  side,
  box,
  temperature,
  out,
}: {
  answer: TeacherAnswer;
  /** Original image pixels -> network pixels. */
  matrix: Affine;
  /** Prototype cells along one axis. */
  side: number;
  /** Cells outside this box (network pixels) are cropped by the loss and not computed. */
  box: readonly [number, number, number, number];
  temperature: number;
  out: Float32Array;
}): void {
  const logits = unpackLogits(answer.mask.packed);
  const grid = answer.side;
  const map = composeAffine(invertAffine(matrix), answer.toModel);
  const cell = 1 / PROTO_SCALE;
  const low = (v: number) => Math.max(0, Math.floor(v * PROTO_SCALE));
  const high = (v: number) => Math.min(side, Math.ceil(v * PROTO_SCALE));
  for (let i = low(box[1]); i < high(box[3]); i++) {
    for (let j = low(box[0]); j < high(box[2]); j++) {
      const [x, y] = applyAffine(map, (j + 0.5) * cell, (i + 0.5) * cell);
      if (!(x >= 0 && y >= 0 && x < grid && y < grid)) continue;
      // Centres of grid pixels lie at + 0.5; beyond the outermost centres the border value goes on.
      const u = Math.min(Math.max(x - 0.5, 0), grid - 1);
      const v = Math.min(Math.max(y - 0.5, 0), grid - 1);
      const u0 = Math.floor(u);
      const v0 = Math.floor(v);
      const u1 = Math.min(u0 + 1, grid - 1);
      const v1 = Math.min(v0 + 1, grid - 1);
      const fu = u - u0;
      const fv = v - v0;
      const top = logits[v0 * grid + u0]! * (1 - fu) + logits[v0 * grid + u1]! * fu;
      const bottom = logits[v1 * grid + u0]! * (1 - fu) + logits[v1 * grid + u1]! * fu;
      const z = top * (1 - fv) + bottom * fv;
      out[i * side + j] = 1 / (1 + Math.exp(-z / temperature));
    }
  }
}

/** Padded sizes of a batch. */
export interface TargetShape {
  /** G, ground truths per image. */
  readonly truths: number;
  /** P, rows for positives per image. */
  readonly positives: number;
}

/** Instances that are trained on. */
const trained = ({ instances }: Sample) => instances.filter((instance) => instance.ignore !== true);

/** The smallest {@link bucket}s that hold every sample, and are not below `atLeast`. */
export function targetShape({
  samples,
  size,
  atLeast = { truths: 0, positives: 0 },
}: {
  samples: readonly Sample[];
  size: number;
  atLeast?: TargetShape;
}): TargetShape {
  let { truths, positives } = atLeast;
  for (const sample of samples) {
    const list = trained(sample);
    truths = Math.max(truths, list.length);
    positives = Math.max(
      positives,
      list.reduce((sum, { box }) => sum + claimable(box, size), 0),
    );
  }
  const anchors = STRIDES.reduce((sum, stride) => sum + (size / stride) ** 2, 0);
  return { truths: bucket(truths), positives: Math.min(bucket(positives), anchors) };
}

/**
 * Turns augmented samples into padded arrays. G and P follow from this batch and `atLeast` alone, so that a resumed run meets the
 * same shapes.
 *
 * @param samples - `size` x `size` pixels; instances marked `ignore` are left out
 * @param segment - add masks at a quarter of the size: cell (i, j) samples pixel (4i + 2, 4j + 2)
 * @param teacherOf - the teacher's answer for an instance, or null; absent: no distillation arrays at all
 */
export function targetArrays({
  samples,
  size,
  segment,
  atLeast,
  teacherOf,
  temperature = 1,
}: {
  samples: readonly Sample[];
  size: number;
  segment: boolean;
  /** Lower bounds of the padded sizes. */
  atLeast?: TargetShape;
  teacherOf?: (instance: SampleInstance) => TeacherAnswer | null;
  temperature?: number;
}): TargetArrays {
  const batch = samples.length;
  const lists = samples.map(trained);
  const { truths, positives } = targetShape({ samples, size, ...(atLeast ? { atLeast } : {}) });
  const side = size * PROTO_SCALE;
  const cells = side * side;
  const boxes = new Float32Array(batch * truths * 4);
  const classes = new Int32Array(batch * truths);
  const valid = new Float32Array(batch * truths);
  const masks = new Uint8Array(segment ? batch * truths * cells : 0);
  const hasMask = new Float32Array(batch * truths);
  const teacherMasks = new Float32Array(segment && teacherOf ? batch * truths * cells : 0);
  const teacherWeights = new Float32Array(batch * truths);
  lists.forEach((list, b) => {
    list.forEach((instance, g) => {
      const row = b * truths + g;
      boxes.set(instance.box, row * 4);
      classes[row] = instance.classId;
      valid[row] = 1;
      if (!segment) return;
      const { polygons } = instance;
      if (polygons && polygons.length > 0) {
        hasMask[row] = 1;
        const grid = rasterizePolygons({
          polygons,
          width: side,
          height: side,
          scaleX: PROTO_SCALE,
          scaleY: PROTO_SCALE,
        });
        masks.set(grid, row * cells);
      }
      const answer = teacherOf?.(instance) ?? null;
      if (answer === null) return;
      teacherWeights[row] = answer.mask.iou;
      const out = teacherMasks.subarray(row * cells, (row + 1) * cells);
      sampleTeacherMask({ answer, matrix: instance.matrix, side, box: instance.box, temperature, out });
    });
  });
  return {
    batch,
    truths,
    positives,
    side,
    boxes,
    classes,
    valid,
    ...(segment ? { masks, hasMask } : {}),
    ...(segment && teacherOf ? { teacherMasks, teacherWeights } : {}),
  };
}

/**
 * Uploads {@link targetArrays}; the caller disposes the tensors.
 *
 * @param kdRamp - weight of the distillation terms in this step, 0..1
 */
export function buildTargets(arrays: TargetArrays, { kdRamp = 1 }: { kdRamp?: number } = {}): StudentTargets {
  const { batch, truths, side } = arrays;
  const flags = (values: Float32Array) => tf.tensor2d(values, [batch, truths]);
  const grids = (values: Float32Array | Uint8Array) =>
    tf.tensor4d(values instanceof Float32Array ? values : Float32Array.from(values), [batch, truths, side, side]);
  return {
    gtBoxes: tf.tensor3d(arrays.boxes, [batch, truths, 4]),
    gtClasses: tf.tensor2d(arrays.classes, [batch, truths], "int32"),
    gtValid: flags(arrays.valid),
    positives: arrays.positives,
    ...(arrays.masks && arrays.hasMask ? { gtMasks: grids(arrays.masks), gtHasMask: flags(arrays.hasMask) } : {}),
    ...(arrays.teacherMasks && arrays.teacherWeights
      ? {
          teacherMasks: grids(arrays.teacherMasks),
          teacherWeights: flags(arrays.teacherWeights),
          kdRamp: tf.scalar(kdRamp),
        }
      : {}),
  };
}

/** Disposes every tensor of a target set. */
export function disposeTargets(targets: StudentTargets): void {
  for (const value of Object.values(targets)) if (value instanceof tf.Tensor) value.dispose();
}
