import * as tf from "@tensorflow/tfjs";
import { addGradient, replaceGradient } from "./gradients-register.js";

interface StridedAttrs {
  readonly begin: number[];
  readonly end: number[];
  readonly strides: number[];
  readonly beginMask: number;
  readonly endMask: number;
  readonly ellipsisMask: number;
  readonly newAxisMask: number;
  readonly shrinkAxisMask: number;
}

/** dy of a strided slice, put back: per axis turned round, spread by the stride, filled up with zeros. */
function unslice(dy: tf.Tensor, shape: number[], a: StridedAttrs): tf.Tensor {
  const { begin, end, strides } = tf.slice_util.sliceInfo(
    shape,
    a.begin,
    a.end,
    a.strides,
    a.beginMask,
    a.endMask,
    a.ellipsisMask,
    a.newAxisMask,
    a.shrinkAxisMask,
  );
  const sizes = tf.slice_util.computeOutShape(begin, end, strides) as number[];
  if (sizes.includes(0)) return tf.zeros(shape);
  let y = tf.reshape(dy, sizes);
  shape.forEach((size, axis) => {
    const [count, stride] = [sizes[axis]!, strides[axis]!];
    const step = Math.abs(stride);
    const first = stride > 0 ? begin[axis]! : begin[axis]! + (count - 1) * stride;
    if (stride < 0) y = tf.reverse(y, axis);
    const before = y.shape.slice(0, axis);
    const after = y.shape.slice(axis + 1);
    // [count] -> [count, step] -> [count step], then the zeros behind the last element are cut off
    const gaps = [...before, count, 1, ...after].map(() => [0, 0] as [number, number]);
    gaps[axis + 1] = [0, step - 1];
    const spread = tf.reshape(tf.pad(tf.reshape(y, [...before, count, 1, ...after]), gaps), [
      ...before,
      count * step,
      ...after,
    ]);
    const reach = (count - 1) * step + 1;
    const from = spread.shape.map(() => 0);
    const kept = tf.slice(
      spread,
      from,
      spread.shape.map((d, i) => (i === axis ? reach : d)),
    );
    const room = kept.shape.map(() => [0, 0] as [number, number]);
    room[axis] = [first, size - first - reach];
    y = tf.pad(kept, room);
  });
  return y;
}

/** dy of a mirrored padding, folded back along every axis. */
function foldMirror(dy: tf.Tensor, paddings: readonly (readonly [number, number])[], reflect: boolean): tf.Tensor {
  const skip = reflect ? 1 : 0;
  return paddings.reduce((y, [before, after], axis) => {
    if (before === 0 && after === 0) return y;
    const size = y.shape[axis]! - before - after;
    const part = (start: number, length: number) =>
      tf.slice(
        y,
        y.shape.map((_, i) => (i === axis ? start : 0)),
        y.shape.map((d, i) => (i === axis ? length : d)),
      );
    /** The mirrored border, turned round, at its place in the core. */
    const place = (border: tf.Tensor, first: number) => {
      const room = border.shape.map(() => [0, 0] as [number, number]);
      room[axis] = [first, size - first - border.shape[axis]!];
      return tf.pad(tf.reverse(border, axis), room);
    };
    let sum: tf.Tensor = part(before, size);
    if (before > 0) sum = tf.add(sum, place(part(0, before), skip));
    if (after > 0) sum = tf.add(sum, place(part(before + size, after), size - skip - after));
    return sum;
  }, dy);
}

/**
 * Gradient of an inclusive product along the last axis, right for zeros too:
 * dx_k = (prod over j < k of x_j) (sum over i >= k of dy_i prod over k < j <= i of x_j).
 */
function productGradient(x: tf.Tensor, dy: tf.Tensor): tf.Tensor {
  const n = x.shape[x.rank - 1]!;
  const ramp = tf.range(0, n, 1, "int32");
  const [k, j] = [tf.reshape(ramp, [n, 1]), tf.reshape(ramp, [1, n])];
  const rows = tf.expandDims(x, -2);
  const later = tf.add(tf.zeros([...x.shape.slice(0, -1), n, n]), rows);
  const ones = tf.onesLike(later);
  const wide = (mask: tf.Tensor) => tf.cast(tf.add(tf.zerosLike(later), tf.cast(mask, "float32")), "bool");
  const chains = tf.cumprod(tf.where(wide(tf.greater(j, k)), later, ones), x.rank);
  const counted = tf.mul(chains, tf.cast(tf.greaterEqual(j, k), "float32"));
  const sums = tf.sum(tf.mul(counted, tf.expandDims(dy, -2)), -1);
  return tf.mul(tf.cumprod(x, x.rank - 1, true), sums);
}

/** The gradient of term `at` of an einsum: an einsum of dy and the other terms; letters that are in neither were summed, so it repeats. */
function einsumGradient(equation: string, tensors: readonly tf.Tensor[], at: number, dy: tf.Tensor): tf.Tensor {
  const [left, result] = equation.replaceAll(/\s/g, "").split("->") as [string, string];
  const terms = left.split(",");
  const factors = [
    { term: result, tensor: dy },
    ...terms.map((term, i) => ({ term, tensor: tensors[i]! })).filter((_, i) => i !== at),
  ];
  const wanted = [...terms[at]!];
  const known = wanted.filter((letter) => factors.some(({ term }) => term.includes(letter)));
  // A term without letters is a number, which einsum does not take.
  const numbers = factors.filter(({ term }) => term === "");
  const others = factors.filter(({ term }) => term !== "");
  let gradient: tf.Tensor =
    others.length === 0
      ? tf.scalar(1)
      : tf.einsum(`${others.map(({ term }) => term).join(",")}->${known.join("")}`, ...others.map((f) => f.tensor));
  for (const { tensor } of numbers) gradient = tf.mul(gradient, tensor);
  const { shape } = tensors[at]!;
  const narrow = shape.map((d, i) => (known.includes(wanted[i]!) ? d : 1));
  return tf.broadcastTo(tf.reshape(gradient, narrow), shape);
}

/** dy of a repeated tensor, summed over its repetitions axis by axis: as many nodes as repeated axes, whatever the number of repetitions. */
function untile(dy: tf.Tensor, shape: readonly number[], reps: readonly number[]): tf.Tensor {
  return shape.reduce((y, size, axis) => {
    if (reps[axis] === 1) return y;
    const before = y.shape.slice(0, axis);
    const after = y.shape.slice(axis + 1);
    const count = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
    const sum = tf.sum(tf.reshape(y, [count(before), reps[axis]!, size * count(after)]), 1);
    return tf.reshape(sum, [...before, size, ...after]);
  }, dy);
}

/** Gradients of kernels that move elements, and of products along an axis. */
export function registerStructureGradients(): void {
  addGradient({
    kernelName: "StridedSlice",
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attrs) => ({
      x: () => unslice(dy as tf.Tensor, saved[0]!.shape, attrs as unknown as StridedAttrs),
    }),
  });
  // tfjs adds one slice per repetition (a row repeated for 17,821 cells made 35,000 nodes, which the runtime had not loaded after 14 minutes) and ends at rank 4.
  replaceGradient({
    kernelName: "Tile",
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attrs) => ({
      x: () => untile(dy as tf.Tensor, saved[0]!.shape, (attrs as unknown as { reps: number[] }).reps),
    }),
  });
  // tfjs cuts the border off and forgets what it copies.
  replaceGradient({
    kernelName: "MirrorPad",
    inputsToSave: ["x"],
    gradFunc: (dy, _saved, attrs) => {
      const { paddings, mode } = attrs as unknown as { paddings: [number, number][]; mode: string };
      return { x: () => foldMirror(dy as tf.Tensor, paddings, mode === "reflect") };
    },
  });
  addGradient({
    kernelName: "DepthToSpace",
    gradFunc: (dyOne, _saved, attrs) => {
      const dy = dyOne as tf.Tensor4D;
      const { blockSize } = attrs as unknown as { blockSize: number };
      const [n, height, width, channels] = dy.shape;
      const [rows, columns] = [height / blockSize, width / blockSize];
      return {
        x: () => {
          const blocks = tf.reshape(dy, [n, rows, blockSize, columns, blockSize, channels]);
          const turned = tf.transpose(blocks, [0, 1, 3, 2, 4, 5]);
          return tf.reshape(turned, [n, rows, columns, blockSize * blockSize * channels]);
        },
      };
    },
  });
  addGradient({
    kernelName: "FlipLeftRight",
    gradFunc: (dy) => ({ image: () => tf.image.flipLeftRight(dy as tf.Tensor4D) }),
  });
  addGradient({
    kernelName: "Cumprod",
    inputsToSave: ["x"],
    gradFunc: (dyOne, saved, attrs) => {
      const [x] = saved as [tf.Tensor];
      const { axis, exclusive, reverse } = attrs as unknown as { axis: number; exclusive: boolean; reverse: boolean };
      const at = axis < 0 ? axis + x.rank : axis;
      const last = x.rank - 1;
      // The axis last, running forward
      const swap = Array.from({ length: x.rank }, (_, i) => (i === at ? last : i === last ? at : i));
      const forward = (t: tf.Tensor) => {
        const moved = tf.transpose(t, swap);
        return reverse ? tf.reverse(moved, last) : moved;
      };
      return {
        x: () => {
          let dy = forward(dyOne as tf.Tensor);
          if (exclusive) {
            // Element i + 1 of the exclusive product is element i of the inclusive one.
            const start = dy.shape.map((_, i) => (i === last ? 1 : 0));
            const size = dy.shape.map((d, i) => (i === last ? d - 1 : d));
            const end = dy.shape.map((_, i) => [0, i === last ? 1 : 0] as [number, number]);
            dy = tf.pad(tf.slice(dy, start, size), end);
          }
          const dx = productGradient(forward(x), dy);
          return tf.transpose(reverse ? tf.reverse(dx, last) : dx, swap);
        },
      };
    },
  });
  addGradient({
    kernelName: "Einsum",
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) => {
      const { equation } = attrs as unknown as { equation: string };
      const terms = saved as tf.Tensor[];
      return Object.fromEntries(
        terms.map((_, i) => [String(i), () => einsumGradient(equation, terms, i, dy as tf.Tensor)]),
      );
    },
  });
}
