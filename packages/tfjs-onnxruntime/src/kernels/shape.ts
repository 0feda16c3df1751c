import * as tf from "@tensorflow/tfjs";
import { hostValue, type Value } from "../graph.js";
import { identityPerm, isIdentity, type Layout, NCHW } from "../lower/context.js";
import { convert } from "./convert.js";
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
    const rank = x.shape.length;
    tf.util.assert(dim >= -(rank + 1), () => `Axis must be in the interval [${-(rank + 1)}, ${rank}]`);
    const at = dim < 0 ? rank + dim + 1 : dim;
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

/** Tensors joined along an axis that they have; those without elements do not count. */
function concat(call: Call, inputs: readonly tf.TensorInfo[], axis: number): tf.TensorInfo {
  const shapes = inputs.map((x) => x.shape);
  tf.backend_util.assertParamsConsistent(shapes, axis);
  const shape = tf.backend_util.computeOutShape(shapes, axis);
  const { dtype } = inputs[0]!;
  const filled = inputs.filter((x) => sizeOf(x.shape) > 0);
  if (filled.length === 1) return call.view(filled[0]!, shape);
  const join = (values: readonly Value[]) =>
    call.record("Concat", values, [{ shape, dtype: values[0]?.dtype ?? dtype }], { axis })[0]!;
  if (dtype !== "complex64") return call.tensor(join(filled.map((x) => call.value(x))));
  const parts = filled.map((x) => call.parts(x));
  return call.complex(join(parts.map(([real]) => real)), join(parts.map(([, imag]) => imag)));
}
kernel(
  "Concat",
  (call) => {
    const inputs = Object.values(call.inputs) as tf.TensorInfo[];
    if (inputs.some((x) => x.dtype === "string")) return call.onCpu();
    const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, inputs[0]!.shape);
    return concat(call, inputs, axis!);
  },
  { anyDtype: true },
);
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
  if (sizeOf(finalShape) === 0) return call.tensor(call.zeros(finalShape, x.dtype));
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

/** View with an axis of length 1 inserted. */
const expanded = (shape: readonly number[], axis: number) => [...shape.slice(0, axis), 1, ...shape.slice(axis)];
kernel(
  "Pack",
  (call) => {
    const inputs = Object.values(call.inputs) as tf.TensorInfo[];
    const [first] = inputs as [tf.TensorInfo];
    if (inputs.some((x) => x.dtype === "string" || x.dtype === "complex64")) return call.onCpu();
    for (const x of inputs) {
      tf.util.assertShapesMatch(first.shape, x.shape, "All tensors passed to stack must have matching shapes");
      tf.util.assert(first.dtype === x.dtype, () => "All tensors passed to stack must have matching dtypes");
    }
    const raw = call.attrs["axis"] as number;
    const axis = raw < 0 ? raw + first.shape.length + 1 : raw;
    const one = expanded(first.shape, axis);
    if (inputs.length === 1) return call.view(first, one);
    const parts = inputs.map((x) => call.record("Reshape", [call.value(x)], [{ shape: one, dtype: x.dtype }])[0]!);
    const shape = one.map((d, i) => (i === axis ? inputs.length : d));
    return call.tensor(call.record("Concat", parts, [{ shape, dtype: first.dtype }], { axis })[0]!);
  },
  { status: "composed", anyDtype: true },
);
kernel(
  "Unpack",
  (call) => {
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
  },
  { status: "composed" },
);

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

/** A fed pad constant; bool has no Pad value of its own and takes a number. */
const padValue = (call: Call, dtype: tf.DataType, value: number) =>
  call.scalar(value, dtype === "float32" ? "float32" : "int32");

/** tfjs paddings (before, after per logical axis) as ONNX pads over the base. */
function basePads(paddings: readonly number[], perm: readonly number[]): number[] {
  const rank = perm.length;
  const pads = new Array<number>(rank * 2);
  for (let i = 0; i < rank; i++) {
    pads[perm[i]!] = paddings[2 * i]!;
    pads[rank + perm[i]!] = paddings[2 * i + 1]!;
  }
  return pads;
}

kernel("PadV2", (call) => {
  const x = call.inputs["x"]!;
  const paddings = call.attrs["paddings"] as [number, number][];
  const constantValue = call.attrs["constantValue"] as number;
  if (paddings.every(([a, b]) => a === 0 && b === 0)) return call.view(x, x.shape);
  const shape = x.shape.map((d, i) => d + paddings[i]![0] + paddings[i]![1]);
  const constant = padValue(call, x.dtype, constantValue);
  if (sizeOf(x.shape) === 0) return fill(call, shape, constant, x.dtype);
  const values = [call.value(x), constant];
  return call.tensor(call.record("PadV2", values, [{ shape, dtype: x.dtype }], { paddings: paddings.flat() })[0]!);
});
lowering("PadV2", (c, node) => {
  const [input, constant] = node.inputs;
  const { name, perm } = c.preferred(input!);
  const pads = c.int64(basePads(node.attrs["paddings"] as readonly number[], perm));
  const value = convert(c, c.plain(constant!), constant!.dtype, input!.dtype);
  c.set(node.outputs[0]!, c.emit("Pad", [name, pads, value], { mode: "constant" }), perm);
});

/** A scalar value spread over a shape; the scalar is fed. */
function fill(call: Call, shape: readonly number[], value: Value, dtype: tf.DataType): tf.TensorInfo {
  return call.tensor(call.record("Fill", [value], [{ shape, dtype }])[0]!);
}
kernel(
  "Fill",
  (call) => {
    const { shape, value } = call.attrs as { shape: number[]; value: number | string };
    const dtype = (call.attrs["dtype"] as tf.DataType | undefined) ?? tf.util.inferDtype(value as number);
    if (typeof value === "string") return call.onCpu();
    return fill(call, shape, call.scalar(value, dtype === "int32" ? "int32" : "float32"), dtype);
  },
  { status: "host" },
);
for (const [name, one] of [
  ["ZerosLike", 0],
  ["OnesLike", 1],
] as const) {
  kernel(
    name,
    (call) => {
      const { shape, dtype } = call.inputs["x"]!;
      if (dtype === "string") return call.onCpu();
      const constant = (type: tf.DataType) => {
        const value = call.scalar(one, type === "int32" ? "int32" : "float32");
        return call.record("Fill", [value], [{ shape, dtype: type }])[0]!;
      };
      if (dtype === "complex64") return call.complex(constant("float32"), call.zeros(shape));
      return call.tensor(constant(dtype));
    },
    { status: "host", anyDtype: true },
  );
}
lowering("Fill", (c, node) => {
  const output = node.outputs[0]!;
  const scalar = c.plain(node.inputs[0]!);
  const typed = convert(c, scalar, node.inputs[0]!.dtype, output.dtype);
  c.set(output, c.emit("Expand", [typed, c.int64(output.shape)]), identityPerm(output.shape.length));
});
// Range values depend on numbers only, but they may change from call to call: they are fed.
kernel(
  "Range",
  (call) => {
    const { start, stop, dtype } = call.attrs as { start: number; stop: number; dtype: tf.DataType };
    const given = call.attrs["step"] as number;
    // tfjs: the default step 1 turns around for a falling range.
    const step = stop < start && given === 1 ? -1 : given;
    const none = start === stop || (start < stop && step < 0) || (stop < start && step > 1);
    const count = none ? 0 : Math.abs(Math.ceil((stop - start) / step));
    const data = dtype === "int32" ? new Int32Array(count) : new Float32Array(count);
    // Added up in the array's own precision, as tfjs does.
    if (count > 0) data[0] = start;
    for (let i = 1; i < count; i++) data[i] = data[i - 1]! + step;
    return call.tensor(hostValue(data, [count], dtype));
  },
  { status: "host" },
);
kernel(
  "LinSpace",
  (call) => {
    const { start, stop, num } = call.attrs as { start: number; stop: number; num: number };
    const step = (stop - start) / (num - 1);
    const data = new Float32Array(num);
    data[0] = start;
    for (let i = 1; i < num; i++) data[i] = data[i - 1]! + step;
    return call.tensor(hostValue(data, [num], "float32"));
  },
  { status: "host" },
);
// Shapes as tensors: their values are needed.
kernel(
  "BroadcastArgs",
  (call) => {
    const [s0, s1] = [call.inputs["s0"]!, call.inputs["s1"]!].map((s) =>
      Array.from(call.backend.readSync(s.dataId) as Int32Array),
    ) as [number[], number[]];
    const shape = tf.backend_util.assertAndGetBroadcastShape(s0, s1);
    return call.tensor(hostValue(Int32Array.from(shape), [shape.length], "int32"));
  },
  { status: "host" },
);

/** Data movement on values, for kernels that are chains of it. */
const moves = (call: Call) => ({
  reshape: (x: Value, shape: readonly number[]) => call.record("Reshape", [x], [{ shape, dtype: x.dtype }])[0]!,
  transpose: (x: Value, perm: readonly number[]) =>
    call.record("Transpose", [x], [{ shape: perm.map((p) => x.shape[p]!), dtype: x.dtype }], { perm })[0]!,
  pad(x: Value, paddings: readonly (readonly number[])[]) {
    if (paddings.every(([before, after]) => before === 0 && after === 0)) return x;
    const shape = x.shape.map((d, i) => d + paddings[i]![0]! + paddings[i]![1]!);
    return call.record("PadV2", [x, padValue(call, x.dtype, 0)], [{ shape, dtype: x.dtype }], {
      paddings: paddings.flat(),
    })[0]!;
  },
  slice(x: Value, begin: readonly number[], size: readonly number[]) {
    if (size.every((s, i) => s === x.shape[i])) return x;
    return call.record("Slice", [x], [{ shape: size, dtype: x.dtype }], { begin, size })[0]!;
  },
});

kernel(
  "SpaceToBatchND",
  (call) => {
    const x = call.inputs["x"]!;
    const { blockShape, paddings } = call.attrs as { blockShape: number[]; paddings: [number, number][] };
    const { reshape, transpose, pad } = moves(call);
    const area = sizeOf(blockShape);
    const none = new Array<[number, number]>(x.shape.length - 1 - blockShape.length).fill([0, 0]);
    const padded = pad(call.value(x), [[0, 0], ...paddings, ...none]);
    const blocks = tf.backend_util.getReshaped([...padded.shape], blockShape, area, false);
    const perm = tf.backend_util.getPermuted(blocks.length, blockShape.length, false);
    const flat = tf.backend_util.getReshapedPermuted([...padded.shape], blockShape, area, false);
    return call.tensor(reshape(transpose(reshape(padded, blocks), perm), flat));
  },
  { status: "composed" },
);
kernel(
  "BatchToSpaceND",
  (call) => {
    const x = call.inputs["x"]!;
    const { blockShape, crops } = call.attrs as { blockShape: number[]; crops: number[][] };
    const { reshape, transpose, slice } = moves(call);
    const area = sizeOf(blockShape);
    const blocks = tf.backend_util.getReshaped(x.shape, blockShape, area);
    const perm = tf.backend_util.getPermuted(blocks.length, blockShape.length);
    const flat = tf.backend_util.getReshapedPermuted(x.shape, blockShape, area);
    const begin = tf.backend_util.getSliceBeginCoords(crops, blockShape.length);
    const size = tf.backend_util.getSliceSize(flat, crops, blockShape.length);
    const rest = new Array<number>(flat.length - begin.length).fill(0);
    const merged = reshape(transpose(reshape(call.value(x), blocks), perm), flat);
    return call.tensor(slice(merged, [...begin, ...rest], [...size, ...flat.slice(size.length)]));
  },
  { status: "composed" },
);

kernel("DepthToSpace", (call) => {
  const x = call.inputs["x"]!;
  const { blockSize, dataFormat } = call.attrs as { blockSize: number; dataFormat: string };
  tf.util.assert(
    dataFormat === "NHWC",
    () => `Only NHWC dataFormat supported on onnxruntime for depthToSpace. Got ${dataFormat}`,
  );
  const [n, height, width, depth] = x.shape as [number, number, number, number];
  const channels = depth / (blockSize * blockSize);
  const shape = [n, height * blockSize, width * blockSize, channels];
  if (x.dtype === "float32")
    return call.tensor(call.record("DepthToSpace", [call.value(x)], [{ shape, dtype: x.dtype }], { blockSize })[0]!);
  // The operator is float only.
  const { reshape, transpose } = moves(call);
  const blocks = reshape(call.value(x), [n, height, width, blockSize, blockSize, channels]);
  return call.tensor(reshape(transpose(blocks, [0, 1, 3, 2, 4, 5]), shape));
});
// In NCHW, mode DCR has the channel order of tfjs's NHWC.
lowering("DepthToSpace", (c, node) => {
  const attrs = { blocksize: node.attrs["blockSize"] as number, mode: "DCR" };
  c.set(node.outputs[0]!, c.emit("DepthToSpace", [c.inPerm(node.inputs[0]!, NCHW)], attrs), NCHW);
});

kernel("MirrorPad", (call) => {
  const x = call.inputs["x"]!;
  const { paddings, mode } = call.attrs as { paddings: [number, number][]; mode: "reflect" | "symmetric" };
  if (paddings.every(([a, b]) => a === 0 && b === 0)) return call.view(x, x.shape);
  const shape = x.shape.map((d, i) => d + paddings[i]![0] + paddings[i]![1]);
  const attrs = { paddings: paddings.flat(), mode };
  return call.tensor(call.record("MirrorPad", [call.value(x)], [{ shape, dtype: x.dtype }], attrs)[0]!);
});
lowering("MirrorPad", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const paddings = node.attrs["paddings"] as readonly number[];
  if (node.attrs["mode"] === "reflect") {
    c.set(node.outputs[0]!, c.emit("Pad", [name, c.int64(basePads(paddings, perm))], { mode: "reflect" }), perm);
    return;
  }
  // ONNX has no symmetric mode: per axis the first and last slices, reversed, around the whole.
  let y = name;
  node.inputs[0]!.shape.forEach((size, i) => {
    const [before, after] = [paddings[2 * i]!, paddings[2 * i + 1]!];
    if (before === 0 && after === 0) return;
    const axis = perm[i]!;
    const mirrored = (start: number, end: number) =>
      c.emit("Slice", [y, c.int64([start]), c.int64([end]), c.int64([axis]), c.int64([-1])]);
    const parts = [
      ...(before > 0 ? [mirrored(before - 1, -(2 ** 31))] : []),
      y,
      ...(after > 0 ? [mirrored(size - 1, size - 1 - after < 0 ? -(2 ** 31) : size - 1 - after)] : []),
    ];
    y = c.emit("Concat", parts, { axis });
  });
  c.set(node.outputs[0]!, y, perm);
});

kernel(
  "Diag",
  (call) => {
    const x = call.inputs["x"]!;
    const size = sizeOf(x.shape);
    const flat = call.record("Reshape", [call.value(x)], [{ shape: [size], dtype: x.dtype }])[0]!;
    return call.tensor(call.record("Diag", [flat], [{ shape: [size, size], dtype: x.dtype }])[0]!, [
      ...x.shape,
      ...x.shape,
    ]);
  },
  { status: "composed" },
);
lowering("Diag", (c, node) => {
  const input = node.inputs[0]!;
  const [size] = input.shape as [number];
  const ramp = Array.from({ length: size }, (_, i) => i);
  const type = input.dtype === "bool" ? "int32" : input.dtype;
  const x = convert(c, c.plain(input), input.dtype, type);
  const diagonal = c.emit("Equal", [c.int32(ramp, [size, 1]), c.int32(ramp, [size])]);
  c.set(node.outputs[0]!, convert(c, c.emit("Where", [diagonal, x, c.scalar(0, type)]), type, input.dtype));
});

kernel(
  "Cumprod",
  (call) => {
    const x = call.inputs["x"]!;
    const { axis, exclusive, reverse } = call.attrs as { axis: number; exclusive: boolean; reverse: boolean };
    const [at] = tf.util.parseAxisParam(axis, x.shape);
    const outputs = [{ shape: x.shape, dtype: tf.upcastType(x.dtype, "int32") }];
    return call.tensor(
      call.record("Cumprod", [call.value(x)], outputs, {
        axis: at!,
        exclusive: Boolean(exclusive),
        reverse: Boolean(reverse),
      })[0]!,
    );
  },
  { status: "composed" },
);
// Doubling: after k steps every element is the product of up to 2^k, each step a product with itself shifted by 2^(k-1) ones.
lowering("Cumprod", (c, node) => {
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  const { axis, exclusive, reverse } = node.attrs as { axis: number; exclusive: boolean; reverse: boolean };
  const rank = input.shape.length;
  const length = input.shape[axis]!;
  const shifted = (x: string, by: number) => {
    // Pad on one side and crop as much on the other.
    const pads = new Array<number>(2 * rank).fill(0);
    pads[axis] = reverse ? -by : by;
    pads[rank + axis] = reverse ? by : -by;
    return c.emit("Pad", [x, c.int64(pads), c.scalar(1, output.dtype)], { mode: "constant" });
  };
  let y = convert(c, c.plain(input), input.dtype, output.dtype);
  if (exclusive) y = shifted(y, 1);
  for (let by = 1; by < length; by *= 2) y = c.emit("Mul", [y, shifted(y, by)]);
  c.set(output, y);
});

kernel("FlipLeftRight", (call) => {
  const { shape, dtype, ...image } = call.inputs["image"]!;
  const x = call.value({ shape, dtype, ...image });
  return call.tensor(call.record("Reverse", [x], [{ shape, dtype }], { dims: [2] })[0]!);
});
