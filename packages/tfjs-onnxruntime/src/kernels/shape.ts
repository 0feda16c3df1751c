import * as tf from "@tensorflow/tfjs";
import { hostValue, type Value } from "../graph.js";
import { identityPerm, isIdentity, type Layout } from "../lower/context.js";
import { type Call, kernel, lowering, sizeOf } from "./define.js";

const view = { status: "view", anyDtype: true } as const;
kernel("Identity", (call) => call.view(call.inputs["x"]!, call.inputs["x"]!.shape), view);
kernel(
  "Reshape",
  (call) => {
    const x = call.inputs["x"]!;
    const size = sizeOf(x.shape);
    const shape = tf.util.inferFromImplicitShape(call.attrs["shape"] as number[], size);
    tf.util.assert(
      sizeOf(shape) === size,
      () =>
        `The new shape (${shape}) has ${sizeOf(shape)} elements and the old shape (${x.shape}) has ${size} elements.`,
    );
    return call.view(x, shape);
  },
  view,
);
kernel(
  "ExpandDims",
  (call) => {
    const x = call.inputs["input"]!;
    const dim = call.attrs["dim"] as number;
    const at = dim < 0 ? x.shape.length + dim + 1 : dim;
    return call.view(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
  },
  view,
);

/**
 * Layout of reshape(x) where x has `layout`, if no data has to move: input and output axes are matched in groups of equal
 * product, and every group must lie in the base in its own order, contiguously.
 */
function reshapeLayout(
  from: readonly number[],
  to: readonly number[],
  perm: readonly number[],
): { shape: number[]; perm: number[] } | null {
  const groups: { from: number[]; to: number[] }[] = [];
  let i = 0;
  let j = 0;
  while (i < from.length || j < to.length) {
    const group = { from: [] as number[], to: [] as number[] };
    let a = 1;
    let b = 1;
    if (i < from.length) {
      a *= from[i]!;
      group.from.push(i++);
    }
    if (j < to.length) {
      b *= to[j]!;
      group.to.push(j++);
    }
    while (a !== b) {
      if (a < b && i < from.length) {
        a *= from[i]!;
        group.from.push(i++);
      } else if (j < to.length) {
        b *= to[j]!;
        group.to.push(j++);
      } else return null;
    }
    groups.push(group);
  }
  const order: { position: number; group: { from: number[]; to: number[] } }[] = [];
  for (const group of groups) {
    for (let k = 1; k < group.from.length; k++) if (perm[group.from[k]!] !== perm[group.from[k - 1]!]! + 1) return null;
    order.push({ position: group.from.length > 0 ? perm[group.from[0]!]! : from.length, group });
  }
  order.sort((x, y) => x.position - y.position || (x.group.to[0] ?? 0) - (y.group.to[0] ?? 0));
  const shape: number[] = [];
  const next = new Array<number>(to.length);
  for (const { group } of order) {
    for (const axis of group.to) {
      next[axis] = shape.length;
      shape.push(to[axis]!);
    }
  }
  return { shape, perm: next };
}

lowering("Reshape", (c, node) => {
  const input = node.inputs[0]!;
  const output = node.outputs[0]!;
  const layouts = c.layouts(input);
  const layout = layouts.find((l) => isIdentity(l.perm)) ?? layouts[0]!;
  if (!isIdentity(layout.perm)) {
    const moved = reshapeLayout(input.shape, output.shape, layout.perm);
    if (moved) {
      c.set(output, c.emit("Reshape", [layout.name, c.int64(moved.shape)]), moved.perm);
      return;
    }
  }
  c.set(output, c.emit("Reshape", [c.plain(input), c.int64(output.shape)]));
});

kernel("Transpose", (call) => {
  const x = call.inputs["x"]!;
  const perm = call.attrs["perm"] as number[];
  if (isIdentity(perm)) return call.view(x, x.shape);
  const shape = perm.map((p) => x.shape[p]!);
  return call.tensor(call.record("Transpose", [call.value(x)], [{ shape, dtype: x.dtype }], { perm: [...perm] })[0]!);
});
// Only bookkeeping: output axis i is logical axis q[i], hence base axis perm[q[i]].
lowering("Transpose", (c, node) => {
  const q = node.attrs["perm"] as readonly number[];
  const layouts: Layout[] = c.layouts(node.inputs[0]!).map((l) => ({ name: l.name, perm: q.map((a) => l.perm[a]!) }));
  c.setLayouts(node.outputs[0]!, layouts);
});

kernel("Concat", (call) => {
  const inputs = Object.values(call.inputs) as tf.TensorInfo[];
  const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, inputs[0]!.shape);
  const shape = tf.backend_util.computeOutShape(
    inputs.map((x) => x.shape),
    axis!,
  );
  const filled = inputs.filter((x) => sizeOf(x.shape) > 0);
  if (filled.length === 1) return call.view(filled[0]!, shape);
  const used = filled.length === 0 ? inputs.slice(0, 1) : filled;
  return call.tensor(
    call.record(
      "Concat",
      used.map((x) => call.value(x)),
      [{ shape, dtype: inputs[0]!.dtype }],
      { axis: axis! },
    )[0]!,
  );
});
lowering("Concat", (c, node) => {
  const axis = node.attrs["axis"] as number;
  // The layout that most of the data already has.
  const perm = c.preferred([...node.inputs].sort((a, b) => sizeOf(b.shape) - sizeOf(a.shape))[0]!).perm;
  const names = node.inputs.map((v) => c.inPerm(v, perm));
  c.set(node.outputs[0]!, c.emit("Concat", names, { axis: perm[axis]! }), perm);
});

kernel("SplitV", (call) => {
  const x = call.inputs["x"]!;
  const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, x.shape);
  const sizes = tf.backend_util.prepareSplitSize(
    { shape: x.shape } as tf.Tensor,
    call.attrs["numOrSizeSplits"] as number | number[],
    axis!,
  );
  const outputs = sizes.map((size) => ({ shape: x.shape.map((d, i) => (i === axis ? size : d)), dtype: x.dtype }));
  return call.record("SplitV", [call.value(x)], outputs, { axis: axis!, sizes: [...sizes] }).map((v) => call.tensor(v));
});
lowering("SplitV", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const sizes = node.attrs["sizes"] as readonly number[];
  const names = c.emitMany("Split", [name, c.int64(sizes)], sizes.length, {
    axis: perm[node.attrs["axis"] as number]!,
  });
  node.outputs.forEach((output, i) => {
    c.set(output, names[i]!, perm);
  });
});

function slice(call: Call, x: tf.TensorInfo, begin: number[], size: number[]): tf.TensorInfo {
  if (size.every((s, i) => s === x.shape[i])) return call.view(x, x.shape);
  return call.tensor(
    call.record("Slice", [call.value(x)], [{ shape: size, dtype: x.dtype }], {
      begin: [...begin],
      size: [...size],
    })[0]!,
  );
}
kernel("Slice", (call) => {
  const x = call.inputs["x"]!;
  const [begin = [], size = []] = tf.slice_util.parseSliceParams(
    { shape: x.shape } as tf.Tensor,
    call.attrs["begin"] as number[],
    call.attrs["size"] as number[],
  );
  tf.slice_util.assertParamsValid({ shape: x.shape, rank: x.shape.length } as tf.Tensor, begin, size);
  return slice(call, x, begin, size);
});
lowering("Slice", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const shape = node.inputs[0]!.shape;
  const begin = node.attrs["begin"] as readonly number[];
  const size = node.attrs["size"] as readonly number[];
  const cut = shape.map((_, i) => i).filter((i) => size[i] !== shape[i]);
  const starts = c.int64(cut.map((i) => begin[i]!));
  const ends = c.int64(cut.map((i) => begin[i]! + size[i]!));
  c.set(node.outputs[0]!, c.emit("Slice", [name, starts, ends, c.int64(cut.map((i) => perm[i]!))]), perm);
});

kernel("StridedSlice", (call) => {
  const x = call.inputs["x"]!;
  const a = call.attrs as {
    begin: number[];
    end: number[];
    strides: number[];
    beginMask: number;
    endMask: number;
    ellipsisMask: number;
    newAxisMask: number;
    shrinkAxisMask: number;
  };
  const info = tf.slice_util.sliceInfo(
    x.shape,
    a.begin,
    a.end,
    a.strides,
    a.beginMask,
    a.endMask,
    a.ellipsisMask,
    a.newAxisMask,
    a.shrinkAxisMask,
  );
  if (info.isIdentity) return call.view(x, info.finalShape);
  const { begin, end, strides, finalShape } = info;
  const inner = tf.slice_util.computeOutShape(begin, end, strides) as number[];
  if (sizeOf(finalShape) === 0) return call.tensor(hostValue(new Float32Array(0), finalShape, x.dtype));
  const [y] = call.record("StridedSlice", [call.value(x)], [{ shape: inner, dtype: x.dtype }], {
    begin: [...begin],
    end: [...end],
    strides: [...strides],
  });
  return call.tensor(y!, finalShape);
});
lowering("StridedSlice", (c, node) => {
  const { begin, end, strides } = node.attrs as unknown as { begin: number[]; end: number[]; strides: number[] };
  // tfjs ends a negative stride at -1 - n for "before the first"; ONNX wants any value below -n.
  const ends = end.map((e, i) => (strides[i]! < 0 && e < 0 ? -(2 ** 31) : e));
  const axes = begin.map((_, i) => i);
  c.set(
    node.outputs[0]!,
    c.emit("Slice", [c.plain(node.inputs[0]!), c.int64(begin), c.int64(ends), c.int64(axes), c.int64(strides)]),
  );
});

kernel("Tile", (call) => {
  const x = call.inputs["x"]!;
  const reps = call.attrs["reps"] as number[];
  const shape = x.shape.map((d, i) => d * reps[i]!);
  return call.tensor(call.record("Tile", [call.value(x)], [{ shape, dtype: x.dtype }], { reps: [...reps] })[0]!);
});
lowering("Tile", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const reps = node.attrs["reps"] as readonly number[];
  const base = new Array<number>(reps.length);
  reps.forEach((r, i) => {
    base[perm[i]!] = r;
  });
  c.set(node.outputs[0]!, c.emit("Tile", [name, c.int64(base)]), perm);
});

kernel("Pack", (call) => {
  const inputs = Object.values(call.inputs) as tf.TensorInfo[];
  const rank = inputs[0]!.shape.length + 1;
  const raw = call.attrs["axis"] as number;
  const axis = raw < 0 ? raw + rank : raw;
  const one = (x: tf.TensorInfo) => [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)];
  const parts = inputs.map((x) => call.record("Reshape", [call.value(x)], [{ shape: one(x), dtype: x.dtype }])[0]!);
  const shape = one(inputs[0]!);
  shape[axis] = inputs.length;
  return call.tensor(call.record("Concat", parts, [{ shape, dtype: inputs[0]!.dtype }], { axis })[0]!);
});
kernel("Unpack", (call) => {
  const x = call.inputs["value"]!;
  const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, x.shape);
  const sizes = new Array<number>(x.shape[axis!]!).fill(1);
  const piece = x.shape.map((d, i) => (i === axis ? 1 : d));
  const shape = x.shape.filter((_, i) => i !== axis);
  const parts =
    sizes.length === 1
      ? [call.value(x)]
      : call.record(
          "SplitV",
          [call.value(x)],
          sizes.map(() => ({ shape: piece, dtype: x.dtype })),
          { axis: axis!, sizes },
        );
  return parts.map((part) => call.tensor(call.record("Reshape", [part], [{ shape, dtype: x.dtype }])[0]!));
});

kernel("Reverse", (call) => {
  const x = call.inputs["x"]!;
  const dims = tf.util.parseAxisParam(call.attrs["dims"] as number[], x.shape);
  if (dims.length === 0 || x.shape.length === 0) return call.view(x, x.shape);
  return call.tensor(call.record("Reverse", [call.value(x)], [{ shape: x.shape, dtype: x.dtype }], { dims })[0]!);
});
lowering("Reverse", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const axes = (node.attrs["dims"] as readonly number[]).map((d) => perm[d]!);
  const fill = (v: number) => c.int64(axes.map(() => v));
  c.set(node.outputs[0]!, c.emit("Slice", [name, fill(-1), fill(-(2 ** 31)), c.int64(axes), fill(-1)]), perm);
});

kernel("PadV2", (call) => {
  const x = call.inputs["x"]!;
  const paddings = call.attrs["paddings"] as [number, number][];
  const constantValue = call.attrs["constantValue"] as number;
  if (paddings.every(([a, b]) => a === 0 && b === 0)) return call.view(x, x.shape);
  const shape = x.shape.map((d, i) => d + paddings[i]![0] + paddings[i]![1]);
  const values = [call.value(x), call.scalar(constantValue, x.dtype === "int32" ? "int32" : "float32")];
  return call.tensor(call.record("PadV2", values, [{ shape, dtype: x.dtype }], { paddings: paddings.flat() })[0]!);
});
lowering("PadV2", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const paddings = node.attrs["paddings"] as readonly number[];
  const rank = perm.length;
  const pads = new Array<number>(rank * 2);
  for (let i = 0; i < rank; i++) {
    pads[perm[i]!] = paddings[2 * i]!;
    pads[rank + perm[i]!] = paddings[2 * i + 1]!;
  }
  c.set(node.outputs[0]!, c.emit("Pad", [name, c.int64(pads), c.plain(node.inputs[1]!)], { mode: "constant" }), perm);
});

/** A scalar value spread over a shape; the scalar is fed. */
function fill(call: Call, shape: readonly number[], value: Value, dtype: tf.DataType): tf.TensorInfo {
  return call.tensor(call.record("Fill", [value], [{ shape, dtype }])[0]!);
}
kernel("Fill", (call) => {
  const { shape, value } = call.attrs as { shape: number[]; value: number };
  const dtype = (call.attrs["dtype"] as tf.DataType | undefined) ?? tf.util.inferDtype(value);
  return fill(call, shape, call.scalar(value, dtype === "int32" ? "int32" : "float32"), dtype);
});
kernel("ZerosLike", (call) => {
  const x = call.inputs["x"]!;
  return fill(call, x.shape, call.scalar(0, x.dtype === "int32" ? "int32" : "float32"), x.dtype);
});
kernel("OnesLike", (call) => {
  const x = call.inputs["x"]!;
  return fill(call, x.shape, call.scalar(1, x.dtype === "int32" ? "int32" : "float32"), x.dtype);
});
lowering("Fill", (c, node) => {
  const output = node.outputs[0]!;
  const scalar = c.plain(node.inputs[0]!);
  const typed = output.dtype === "bool" ? c.emit("Cast", [scalar], { to: 9 }) : scalar;
  c.set(output, c.emit("Expand", [typed, c.int64(output.shape)]), identityPerm(output.shape.length));
});
kernel("Range", (call) => {
  const { start, stop, step, dtype } = call.attrs as { start: number; stop: number; step: number; dtype: tf.DataType };
  const count = Math.max(0, Math.ceil((stop - start) / step));
  const values = Array.from({ length: count }, (_, i) => start + i * step);
  const data = dtype === "int32" ? Int32Array.from(values) : Float32Array.from(values);
  return call.tensor(hostValue(data, [count], dtype));
});
