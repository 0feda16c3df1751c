import * as tf from "@tensorflow/tfjs";
import type { HostData } from "../graph.js";
import { convert } from "./convert.js";
import { kernel, lowering, sizeOf } from "./define.js";

/** Known indices are checked at the call, as tfjs does; those still to be computed are checked by the runtime. */
function assertInRange(indices: HostData, size: number): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    tf.util.assert(index >= 0 && index < size, () => `GatherV2: the index value ${index} is not in [0, ${size - 1}]`);
  }
}

kernel("GatherV2", (call) => {
  const x = call.inputs["x"]!;
  const indices = call.inputs["indices"]!;
  const batchDims = (call.attrs["batchDims"] as number | undefined) ?? 0;
  const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, x.shape);
  const { host } = call.value(indices);
  if (host !== null) assertInRange(host, x.shape[axis!]!);
  const shape = tf.backend_util.segment_util.collectGatherOpShapeInfo(
    x as tf.Tensor,
    indices as tf.Tensor,
    axis!,
    batchDims,
  ).outputShape;
  const [y] = call.record("GatherV2", [call.value(x), call.value(indices)], [{ shape, dtype: x.dtype }], {
    axis: axis!,
    batchDims,
  });
  return call.tensor(y!);
});
lowering("GatherV2", (c, node) => {
  const [x, indices] = node.inputs;
  const { axis, batchDims } = node.attrs as { axis: number; batchDims: number };
  if (batchDims === 0) {
    c.set(node.outputs[0]!, c.emit("Gather", [c.plain(x!), c.plain(indices!)], { axis }));
    return;
  }
  // [batch..., outer..., n, inner...]: bring the gathered axis behind the batch, flatten both, offset the indices.
  const shape = x!.shape;
  const batch = sizeOf(shape.slice(0, batchDims));
  const outer = shape.slice(batchDims, axis);
  const n = shape[axis]!;
  const inner = shape.slice(axis + 1);
  const rank = shape.length;
  const order = [
    ...Array.from({ length: batchDims }, (_, i) => i),
    axis,
    ...Array.from({ length: axis - batchDims }, (_, i) => batchDims + i),
    ...Array.from({ length: rank - axis - 1 }, (_, i) => axis + 1 + i),
  ];
  const moved = outer.length > 0 ? c.emit("Transpose", [c.plain(x!)], { perm: order }) : c.plain(x!);
  const flat = c.emit("Reshape", [moved, c.int64([batch * n, ...outer, ...inner])]);
  const perBatch = sizeOf(indices!.shape.slice(batchDims));
  const offsets = c.int32(
    Array.from({ length: batch }, (_, i) => i * n),
    [batch, 1],
  );
  const rows = c.emit("Add", [c.emit("Reshape", [c.plain(indices!), c.int64([batch, perBatch])]), offsets]);
  const gathered = c.emit("Gather", [flat, rows], { axis: 0 });
  const rest = indices!.shape.slice(batchDims);
  const shaped = c.emit("Reshape", [gathered, c.int64([...shape.slice(0, batchDims), ...rest, ...outer, ...inner])]);
  if (outer.length === 0) return c.set(node.outputs[0]!, shaped);
  const back = [
    ...Array.from({ length: batchDims }, (_, i) => i),
    ...outer.map((_, i) => batchDims + rest.length + i),
    ...rest.map((_, i) => batchDims + i),
    ...inner.map((_, i) => batchDims + rest.length + outer.length + i),
  ];
  c.set(node.outputs[0]!, c.emit("Transpose", [shaped], { perm: back }));
});

kernel("GatherNd", (call) => {
  const params = call.inputs["params"]!;
  const indices = call.inputs["indices"]!;
  const [shape] = tf.backend_util.prepareAndValidate(params as tf.Tensor, indices as tf.Tensor);
  const outputs = [{ shape, dtype: params.dtype }];
  return call.tensor(call.record("GatherNd", [call.value(params), call.value(indices)], outputs)[0]!);
});
lowering("GatherNd", (c, node) => {
  const indices = c.emit("Cast", [c.plain(node.inputs[1]!)], { to: 7 });
  c.set(node.outputs[0]!, c.emit("GatherND", [c.plain(node.inputs[0]!), indices]));
});

// Gradient of Gather: rows with equal ids add up; ids outside [0, n) go to an extra row that is cut off.
// float32 whatever x is, as tfjs.
kernel(
  "UnsortedSegmentSum",
  (call) => {
    const x = call.inputs["x"]!;
    const ids = call.inputs["segmentIds"]!;
    const n = call.attrs["numSegments"] as number;
    const shape = [n, ...x.shape.slice(ids.shape.length)];
    if (sizeOf(x.shape) === 0) return call.tensor(call.zeros(shape));
    return call.tensor(
      call.record("UnsortedSegmentSum", [call.value(x), call.value(ids)], [{ shape, dtype: "float32" }])[0]!,
    );
  },
  { status: "composed" },
);
lowering("UnsortedSegmentSum", (c, node) => {
  const [x, ids] = node.inputs;
  const [n, ...inner] = node.outputs[0]!.shape;
  const count = sizeOf(ids!.shape);
  const flat = c.emit("Reshape", [c.plain(ids!), c.int64([count])]);
  const outside = c.emit("Or", [
    c.emit("Less", [flat, c.int32([0], [])]),
    c.emit("GreaterOrEqual", [flat, c.int32([n!], [])]),
  ]);
  const safe = c.emit("Where", [outside, c.int32([n!], []), flat]);
  const rows = c.emit("Reshape", [c.emit("Cast", [safe], { to: 7 }), c.int64([count, 1])]);
  const zeros = c.emit("Expand", [c.scalar(0, "float32"), c.int64([n! + 1, ...inner])]);
  const updates = c.emit("Reshape", [convert(c, c.plain(x!), x!.dtype, "float32"), c.int64([count, ...inner])]);
  const summed = c.emit("ScatterND", [zeros, rows, updates], { reduction: "add" });
  c.set(node.outputs[0]!, c.emit("Slice", [summed, c.int64([0]), c.int64([n!]), c.int64([0])]));
});

kernel(
  "OneHot",
  (call) => {
    const indices = call.inputs["indices"]!;
    const { depth, onValue, offValue } = call.attrs as { depth: number; onValue: number; offValue: number };
    const dtype = (call.attrs["dtype"] as tf.DataType | undefined) ?? "int32";
    const inputs = [call.value(indices), call.scalar(onValue), call.scalar(offValue)];
    const shape = [...indices.shape, depth];
    return call.tensor(call.record("OneHot", inputs, [{ shape, dtype }], { depth })[0]!);
  },
  { status: "composed" },
);
// tfjs: an index outside [0, depth) gives an all-off row; ONNX would wrap negative ones. Compare with a ramp instead.
lowering("OneHot", (c, node) => {
  const [indices, on, off] = node.inputs;
  const depth = node.attrs["depth"] as number;
  const whole = convert(c, c.plain(indices!), indices!.dtype, "int32");
  const column = c.emit("Reshape", [whole, c.int64([...indices!.shape, 1])]);
  const ramp = c.int32(
    Array.from({ length: depth }, (_, i) => i),
    [depth],
  );
  const hot = c.emit("Where", [c.emit("Equal", [column, ramp]), c.plain(on!), c.plain(off!)]);
  c.set(node.outputs[0]!, convert(c, hot, "float32", node.outputs[0]!.dtype));
});
