import { type Affine, applyAffine, composeAffine, invertAffine, rasterizePolygons } from "@seg/augment";
import { type Box, boxIou } from "@seg/coco-dataset";
import * as tf from "@tensorflow/tfjs";
import type { StudentTargets } from "./losses/student-loss.js";
import type { CachedMask } from "./teacher/prepare-distillation.js";
import { sampleGrid } from "./teacher/sample-grid.js";
import { unpackLogits } from "./teacher/teacher-record.js";

/** Prototype cells per pixel. */
const PROTO_SCALE = 1 / 4;

/** Anchors one ground truth may claim. */
const TOPK = 10;

/** Strides of the three levels. */
const STRIDES = [8, 16, 32] as const;

/** Where a position of the network's input lies in the original image, and back. */
export interface PointMap {
  /** Original pixels -> network pixels. */
  forward(x: number, y: number): readonly [number, number];
  /** Network pixels -> original pixels. */
  backward(x: number, y: number): readonly [number, number];
  /** `forward` as a matrix; null where the picture was bent or tilted. */
  readonly affine: Affine | null;
}

/** What a teacher said about one object. */
export interface TeacherAnswer {
  /** `[classes]`, calibrated; with the score of its best class. */
  readonly logits?: Float32Array;
  readonly score?: number;
  /** xyxy in network pixels, moved and clipped like the object's own. */
  readonly box?: Box;
  readonly mask?: CachedMask;
}

/** One object of a batch, xyxy in network pixels. */
export interface TargetInstance {
  readonly classId: number;
  readonly box: Box;
  /** Parts, flat x, y. */
  readonly polygons?: readonly Float64Array[];
  /** Instead of polygons: pixels of the whole picture, row-major, not 0 inside. */
  readonly bitmap?: Uint8Array;
  /** A region that is neither object nor background. */
  readonly ignore?: boolean;
  /** Trust in the label. @defaultValue 1 */
  readonly weight?: number;
  readonly teacher?: TeacherAnswer;
  /** Needed with a teacher's mask. */
  readonly map?: PointMap;
}

/** One picture of a batch. */
export interface TargetSample {
  readonly instances: readonly TargetInstance[];
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

/** Which parts of a batch exist; the same for every batch of a run, so that one graph is compiled. */
export interface TargetParts {
  /** Masks at a quarter of the size. */
  readonly segment: boolean;
  /** Regions to ignore. */
  readonly ignore?: boolean;
  /** Trust in each label. */
  readonly weights?: boolean;
  /** Class logits of a teacher: how many classes. */
  readonly classes?: number;
  /** Boxes of a teacher. */
  readonly teacherBoxes?: boolean;
  /** Masks of a teacher. */
  readonly teacherMasks?: boolean;
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
  /** `[batch * truths]`. */
  readonly weights?: Float32Array;
  /** `[batch * anchors]` 1 inside an ignored region. */
  readonly ignored?: Float32Array;
  /** `[batch * truths * classes]` calibrated logits and `[batch * truths]` scores, 0 without a teacher. */
  readonly classLogits?: Float32Array;
  readonly classScores?: Float32Array;
  /** `[batch * truths * 4]` and `[batch * truths]` scores, 0 where teacher and label disagree. */
  readonly teacherBoxes?: Float32Array;
  readonly boxScores?: Float32Array;
}

/**
 * Teacher probabilities of an object at prototype size: each cell centre goes back through the object's map to its original image, on to the logit grid, is
 * interpolated there, and becomes sigmoid(z / T). Outside of the logit grid 0.
 */
export function sampleTeacherMask({
  cached: { mask, side: grid, toModel },
  map,
  side,
  box,
  temperature,
  out,
}: {
  cached: CachedMask;
  map: PointMap;
  /** Prototype cells along one axis. */
  side: number;
  /** Cells outside this box (network pixels) are cropped by the loss and not computed. */
  box: Box;
  temperature: number;
  out: Float32Array;
}): void {
  const logits = unpackLogits(mask.packed);
  const back = map.affine === null ? null : composeAffine(invertAffine(map.affine), toModel);
  const cell = 1 / PROTO_SCALE;
  const low = (v: number) => Math.max(0, Math.floor(v * PROTO_SCALE));
  const high = (v: number) => Math.min(side, Math.ceil(v * PROTO_SCALE));
  for (let i = low(box[1]); i < high(box[3]); i++) {
    for (let j = low(box[0]); j < high(box[2]); j++) {
      const [x, y] = [(j + 0.5) * cell, (i + 0.5) * cell];
      const [u, v] = back === null ? applyAffine(toModel, ...map.backward(x, y)) : applyAffine(back, x, y);
      const z = sampleGrid(logits, grid, u, v);
      if (z !== null) out[i * side + j] = 1 / (1 + Math.exp(-z / temperature));
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
const trained = ({ instances }: TargetSample) => instances.filter((instance) => instance.ignore !== true);

/** The smallest {@link bucket}s that hold every sample, and are not below `atLeast`. */
export function targetShape({
  samples,
  size,
  atLeast = { truths: 0, positives: 0 },
}: {
  samples: readonly TargetSample[];
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

/** A teacher's box teaches where it overlaps the (clipped) label so much. */
const BOX_AGREEMENT = 0.5;

/** Marks the anchors whose centres lie in a box, all levels of a square input. */
function markAnchors([x1, y1, x2, y2]: Box, size: number, out: Float32Array): void {
  let offset = 0;
  for (const stride of STRIDES) {
    const cells = size / stride;
    const from = (v: number) => Math.max(0, Math.ceil(v / stride - 0.5));
    const to = (v: number) => Math.min(cells - 1, Math.floor(v / stride - 0.5));
    for (let i = from(y1); i <= to(y2); i++)
      out.fill(1, offset + i * cells + from(x1), offset + i * cells + to(x2) + 1);
    offset += cells * cells;
  }
}

/**
 * Turns augmented samples into padded arrays. G and P follow from this batch and `atLeast` alone, so that a resumed run meets the
 * same shapes.
 *
 * @param samples - in pixels of a `size` x `size` picture
 * @param parts - `segment`: masks at a quarter of the size, cell (i, j) samples pixel (4i + 2, 4j + 2)
 */
export function targetArrays({
  samples,
  size,
  parts,
  atLeast,
  temperature = 1,
}: {
  samples: readonly TargetSample[];
  size: number;
  parts: TargetParts;
  /** Lower bounds of the padded sizes. */
  atLeast?: TargetShape;
  /** Divides the mask teacher's logits. */
  temperature?: number;
}): TargetArrays {
  const { segment, ignore = false, classes: classCount = 0 } = parts;
  const batch = samples.length;
  const lists = samples.map(trained);
  const { truths, positives } = targetShape({ samples, size, ...(atLeast ? { atLeast } : {}) });
  const side = size * PROTO_SCALE;
  const cells = side * side;
  const rows = batch * truths;
  const floats = (wanted: boolean, length: number) => new Float32Array(wanted ? length : 0);
  const boxes = new Float32Array(rows * 4);
  const classes = new Int32Array(rows);
  const valid = new Float32Array(rows);
  const masks = new Uint8Array(segment ? rows * cells : 0);
  const hasMask = new Float32Array(rows);
  const hasTeacherMasks = segment && parts.teacherMasks === true;
  const teacherMasks = floats(hasTeacherMasks, rows * cells);
  const teacherWeights = new Float32Array(rows);
  const weights = new Float32Array(rows);
  const classLogits = new Float32Array(rows * classCount);
  const classScores = new Float32Array(rows);
  const teacherBoxes = floats(parts.teacherBoxes === true, rows * 4);
  const boxScores = new Float32Array(rows);
  lists.forEach((list, b) => {
    list.forEach((instance, g) => {
      const row = b * truths + g;
      const { box, teacher, polygons } = instance;
      boxes.set(box, row * 4);
      classes[row] = instance.classId;
      valid[row] = 1;
      weights[row] = instance.weight ?? 1;
      if (segment && polygons && polygons.length > 0) {
        hasMask[row] = 1;
        const grid = rasterizePolygons({
          polygons,
          width: side,
          height: side,
          scaleX: PROTO_SCALE,
          scaleY: PROTO_SCALE,
        });
        masks.set(grid, row * cells);
      } else if (segment && instance.bitmap) {
        hasMask[row] = 1;
        const step = 1 / PROTO_SCALE;
        for (let i = 0; i < side; i++) {
          for (let j = 0; j < side; j++) {
            const pixel = (i * step + step / 2) * size + j * step + step / 2;
            if (instance.bitmap[pixel] !== 0) masks[row * cells + i * side + j] = 1;
          }
        }
      }
      if (teacher === undefined) return;
      const { logits, score = 0, box: teacherBox, mask: cached } = teacher;
      if (classCount > 0 && logits) {
        classLogits.set(logits, row * classCount);
        classScores[row] = score;
      }
      if (parts.teacherBoxes && teacherBox && boxIou(teacherBox, box) >= BOX_AGREEMENT) {
        teacherBoxes.set(teacherBox, row * 4);
        boxScores[row] = score;
      } else if (parts.teacherBoxes) teacherBoxes.set(box, row * 4);
      if (hasTeacherMasks && cached && instance.map) {
        teacherWeights[row] = cached.mask.iou;
        const out = teacherMasks.subarray(row * cells, (row + 1) * cells);
        sampleTeacherMask({ cached, map: instance.map, side, box, temperature, out });
      }
    });
  });
  let ignored: Float32Array | null = null;
  if (ignore) {
    const anchors = STRIDES.reduce((sum, stride) => sum + (size / stride) ** 2, 0);
    ignored = new Float32Array(batch * anchors);
    for (const [b, { instances }] of samples.entries()) {
      const row = ignored.subarray(b * anchors, (b + 1) * anchors);
      for (const instance of instances) if (instance.ignore === true) markAnchors(instance.box, size, row);
    }
  }
  return {
    batch,
    truths,
    positives,
    side,
    boxes,
    classes,
    valid,
    ...(segment ? { masks, hasMask } : {}),
    ...(hasTeacherMasks ? { teacherMasks, teacherWeights } : {}),
    ...(parts.weights ? { weights } : {}),
    ...(ignored ? { ignored } : {}),
    ...(classCount > 0 ? { classLogits, classScores } : {}),
    ...(parts.teacherBoxes ? { teacherBoxes, boxScores } : {}),
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
  const table = (values: Float32Array) => tf.tensor3d(values, [batch, truths, values.length / (batch * truths)]);
  const grids = (values: Float32Array | Uint8Array) =>
    tf.tensor4d(values instanceof Float32Array ? values : Float32Array.from(values), [batch, truths, side, side]);
  const { masks, hasMask, teacherMasks, teacherWeights, weights, ignored } = arrays;
  const { classLogits, classScores, teacherBoxes, boxScores } = arrays;
  return {
    gtBoxes: tf.tensor3d(arrays.boxes, [batch, truths, 4]),
    gtClasses: tf.tensor2d(arrays.classes, [batch, truths], "int32"),
    gtValid: flags(arrays.valid),
    positives: arrays.positives,
    ...(masks && hasMask ? { gtMasks: grids(masks), gtHasMask: flags(hasMask) } : {}),
    ...(weights ? { gtWeights: flags(weights) } : {}),
    ...(ignored ? { ignored: tf.tensor2d(ignored, [batch, ignored.length / batch]) } : {}),
    ...(teacherMasks && teacherWeights
      ? { teacherMasks: grids(teacherMasks), teacherWeights: flags(teacherWeights) }
      : {}),
    ...(classLogits && classScores ? { classLogits: table(classLogits), classScores: flags(classScores) } : {}),
    ...(teacherBoxes && boxScores ? { teacherBoxes: table(teacherBoxes), boxScores: flags(boxScores) } : {}),
    ...(teacherMasks || classLogits || teacherBoxes ? { kdRamp: tf.scalar(kdRamp) } : {}),
  };
}

/** Disposes every tensor of a target set. */
export function disposeTargets(targets: StudentTargets): void {
  for (const value of Object.values(targets)) if (value instanceof tf.Tensor) value.dispose();
}
