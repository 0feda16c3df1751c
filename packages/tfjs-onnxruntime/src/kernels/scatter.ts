import * as tf from "@tensorflow/tfjs";
import type { Value } from "../graph.js";
import type { LowerContext } from "../lower/context.js";
import { convert } from "./convert.js";
import { type Call, kernel, lowering, sizeOf } from "./define.js";

/** Indices as [n, depth] and updates as [n, ...slice] into `shape`; tfjs's own checks of shapes and of known indices. */
function operands(
  call: Call,
  updates: tf.TensorInfo,
  indices: tf.TensorInfo,
  shape: readonly number[],
): { indices: Value; updates: Value; count: number } {
  const { sliceRank, numUpdates } = tf.backend_util.calculateShapes(
    { shape: updates.shape, rank: updates.shape.length } as tf.Tensor,
    { shape: indices.shape, rank: indices.shape.length } as tf.Tensor,
    [...shape],
  );
  const index = call.value(indices);
  if (index.host !== null) {
    for (let i = 0; i < index.host.length; i++) {
      const at = index.host[i]!;
      if (at >= 0 && at < shape[i % sliceRank]!) continue;
      const row = index.host.slice(i - (i % sliceRank), i - (i % sliceRank) + sliceRank);
      throw new Error(`Invalid indices: ${row} does not index into ${shape}`);
    }
  }
  const rows = call.record("Reshape", [index], [{ shape: [numUpdates, sliceRank], dtype: index.dtype }])[0]!;
  const slice = [numUpdates, ...shape.slice(sliceRank)];
  const given = call.value(updates);
  // One scalar may stand for every update.
  const op = given.shape.length === 0 ? "BroadcastTo" : "Reshape";
  return {
    indices: rows,
    updates: call.record(op, [given], [{ shape: slice, dtype: given.dtype }])[0]!,
    count: numUpdates,
  };
}

/** ScatterND into `base`; reduction "add" sums duplicates, "none" keeps the last. */
function scatter(c: LowerContext, base: string, indices: Value, updates: string, reduction: "add" | "none"): string {
  return c.emit("ScatterND", [base, c.emit("Cast", [c.plain(indices)], { to: 7 }), updates], { reduction });
}

kernel(
  "ScatterNd",
  (call) => {
    const { shape } = call.attrs as { shape: number[] };
    const { dtype } = call.inputs["updates"]!;
    const { indices, updates, count } = operands(call, call.inputs["updates"]!, call.inputs["indices"]!, shape);
    if (count === 0 || sizeOf(updates.shape) === 0) return call.tensor(call.zeros(shape, dtype));
    return call.tensor(call.record("ScatterNd", [indices, updates], [{ shape, dtype }])[0]!);
  },
  { status: "composed" },
);
lowering("ScatterNd", (c, node) => {
  const [indices, updates] = node.inputs;
  const output = node.outputs[0]!;
  const type = output.dtype === "bool" ? "int32" : output.dtype;
  const zeros = c.emit("Expand", [c.scalar(0, type), c.int64(output.shape)]);
  const values = convert(c, c.plain(updates!), updates!.dtype, type);
  c.set(output, convert(c, scatter(c, zeros, indices!, values, "add"), type, output.dtype));
});

kernel("TensorScatterUpdate", (call) => {
  const tensor = call.inputs["tensor"]!;
  const { indices, updates, count } = operands(call, call.inputs["updates"]!, call.inputs["indices"]!, tensor.shape);
  if (count === 0) return call.view(tensor, tensor.shape);
  const values = [call.value(tensor), indices, updates];
  return call.tensor(call.record("ScatterInto", values, [{ shape: tensor.shape, dtype: tensor.dtype }])[0]!);
});
lowering("ScatterInto", (c, node) => {
  const [base, indices, updates] = node.inputs;
  const output = node.outputs[0]!;
  const values = convert(c, c.plain(updates!), updates!.dtype, output.dtype);
  const target = convert(c, c.plain(base!), base!.dtype, output.dtype);
  c.set(output, scatter(c, target, indices!, values, "none"));
});

kernel(
  "SparseToDense",
  (call) => {
    const { outputShape: shape } = call.attrs as { outputShape: number[] };
    const { sparseIndices, sparseValues, defaultValue } = call.inputs as Record<string, tf.TensorInfo>;
    const { dtype } = sparseValues!;
    const base = call.record("BroadcastTo", [call.value(defaultValue!)], [{ shape, dtype: defaultValue!.dtype }])[0]!;
    const { indices, updates, count } = operands(call, sparseValues!, sparseIndices!, shape);
    if (count === 0) return call.tensor(base);
    return call.tensor(call.record("ScatterInto", [base, indices, updates], [{ shape, dtype }])[0]!);
  },
  { status: "composed" },
);

kernel("BroadcastTo", (call) => {
  const x = call.inputs["x"]!;
  const { shape } = call.attrs as { shape: number[] };
  return call.tensor(call.record("BroadcastTo", [call.value(x)], [{ shape, dtype: x.dtype }])[0]!);
});
lowering("BroadcastTo", (c, node) => {
  c.set(node.outputs[0]!, c.emit("Expand", [c.plain(node.inputs[0]!), c.int64(node.outputs[0]!.shape)]));
});

/** Counts or sums weights per value; a value of `size` or more does not count, a known negative one is an error. */
function bincount(call: Call, x: tf.TensorInfo, weights: tf.TensorInfo, size: number, binary: boolean): tf.TensorInfo {
  const values = call.value(x);
  if (values.host?.some((v) => v < 0)) throw new Error("Input x must be non-negative!");
  const shape = [...x.shape.slice(0, -1), size];
  const { dtype } = weights;
  if (sizeOf(x.shape) === 0) return call.tensor(call.zeros(shape, dtype));
  const weighted = sizeOf(weights.shape) > 0 && !binary;
  const inputs = weighted ? [values, call.value(weights)] : [values];
  return call.tensor(call.record("Bincount", inputs, [{ shape, dtype }], { binary })[0]!);
}
kernel(
  "Bincount",
  (call) => {
    const { x, weights } = call.inputs as Record<string, tf.TensorInfo>;
    const flat = (info: tf.TensorInfo) => ({ ...info, dataId: info.dataId, shape: [sizeOf(info.shape)] });
    return bincount(call, flat(x!), flat(weights!), call.attrs["size"] as number, false);
  },
  { status: "composed" },
);
kernel(
  "DenseBincount",
  (call) => {
    const { x, weights } = call.inputs as Record<string, tf.TensorInfo>;
    const { size, binaryOutput } = call.attrs as { size: number; binaryOutput?: boolean };
    tf.util.assert(
      x!.shape.length === 1 || x!.shape.length === 2,
      () => `Error in denseBincount: input must be at most rank 2, but got rank${x!.shape.length}.`,
    );
    // Of one row, tfjs ignores binaryOutput.
    return bincount(call, x!, weights!, size, x!.shape.length === 2 && Boolean(binaryOutput));
  },
  { status: "composed" },
);
// Row r and value v fall into cell r (size + 1) + v; what does not count falls into the last cell of its row, which is cut off.
lowering("Bincount", (c, node) => {
  const [x, weights] = node.inputs;
  const output = node.outputs[0]!;
  const binary = node.attrs["binary"] as boolean;
  const size = output.shape[output.shape.length - 1]!;
  const columns = x!.shape[x!.shape.length - 1]!;
  const rows = sizeOf(x!.shape) / columns;
  const count = rows * columns;
  const type = output.dtype === "bool" ? "int32" : output.dtype;
  const values = c.emit("Reshape", [c.plain(x!), c.int64([rows, columns])]);
  const limit = c.int32([size], []);
  const outside = c.emit("Or", [c.emit("Less", [values, c.int32([0], [])]), c.emit("GreaterOrEqual", [values, limit])]);
  const starts = c.int32(
    Array.from({ length: rows }, (_, i) => i * (size + 1)),
    [rows, 1],
  );
  const cells = c.emit("Add", [c.emit("Where", [outside, limit, values]), starts]);
  const indices = c.emit("Cast", [c.emit("Reshape", [cells, c.int64([count, 1])])], { to: 7 });
  const updates = weights
    ? c.emit("Reshape", [convert(c, c.plain(weights), weights.dtype, type), c.int64([count])])
    : c.emit("Expand", [c.scalar(1, type), c.int64([count])]);
  const zeros = c.emit("Expand", [c.scalar(0, type), c.int64([rows * (size + 1)])]);
  const reduction = binary ? "none" : "add";
  const sums = c.emit("ScatterND", [zeros, indices, updates], { reduction });
  const table = c.emit("Reshape", [sums, c.int64([rows, size + 1])]);
  const cut = c.emit("Slice", [table, c.int64([0]), c.int64([size]), c.int64([1])]);
  c.set(output, convert(c, c.emit("Reshape", [cut, c.int64(output.shape)]), type, output.dtype));
});

/** Longest sorted sequence that is compared with every value; longer ones are searched on the cpu backend. */
const LONGEST_SEQUENCE = 4096;
function searchSorted(call: Call, right: boolean): tf.TensorInfo | tf.TensorInfo[] {
  const { sortedSequence, values } = call.inputs as Record<string, tf.TensorInfo>;
  if (sortedSequence!.shape[1]! > LONGEST_SEQUENCE) return call.onCpu();
  const shape = values!.shape;
  if (sizeOf(sortedSequence!.shape) === 0) return call.tensor(call.zeros(shape, "int32"));
  const inputs = [call.value(sortedSequence!), call.value(values!)];
  return call.tensor(call.record("SearchSorted", inputs, [{ shape, dtype: "int32" }], { right })[0]!);
}
kernel("SearchSorted", (call) => searchSorted(call, call.attrs["side"] === "right"), { status: "composed" });
kernel("LowerBound", (call) => searchSorted(call, false), { status: "composed" });
kernel("UpperBound", (call) => searchSorted(call, true), { status: "composed" });
// Position = number of elements that are smaller (side "right": not greater).
lowering("SearchSorted", (c, node) => {
  const [sequence, values] = node.inputs as [Value, Value];
  const type = sequence.dtype === "float32" || values.dtype === "float32" ? "float32" : "int32";
  const [rows, length] = sequence.shape as [number, number];
  const [, count] = values.shape as [number, number];
  const table = convert(c, c.emit("Reshape", [c.plain(sequence), c.int64([rows, 1, length])]), sequence.dtype, type);
  const column = convert(c, c.emit("Reshape", [c.plain(values), c.int64([rows, count, 1])]), values.dtype, type);
  const before = c.emit(node.attrs["right"] ? "LessOrEqual" : "Less", [table, column]);
  c.set(node.outputs[0]!, c.emit("ReduceSum", [c.emit("Cast", [before], { to: 6 }), c.int64([2])], { keepdims: 0 }));
});

kernel(
  "MatrixBandPart",
  (call) => {
    const { input, numLower, numUpper } = call.inputs as Record<string, tf.TensorInfo>;
    const values = [input!, numLower!, numUpper!].map((t) => call.value(t));
    return call.tensor(call.record("MatrixBandPart", values, [{ shape: input!.shape, dtype: input!.dtype }])[0]!);
  },
  { status: "composed" },
);
// Keeps i - j <= lower and j - i <= upper; a negative bound keeps that whole triangle.
lowering("MatrixBandPart", (c, node) => {
  const [input, lower, upper] = node.inputs as [Value, Value, Value];
  const [rows, columns] = input.shape.slice(-2) as [number, number];
  const ramp = (n: number) => Array.from({ length: n }, (_, i) => i);
  const below = c.emit("Sub", [c.int32(ramp(rows), [rows, 1]), c.int32(ramp(columns), [columns])]);
  const within = (bound: Value, distance: string) => {
    const limit = convert(c, c.plain(bound), bound.dtype, "int32");
    return c.emit("Or", [c.emit("Less", [limit, c.int32([0], [])]), c.emit("LessOrEqual", [distance, limit])]);
  };
  const band = c.emit("And", [within(lower, below), within(upper, c.emit("Neg", [below]))]);
  const type = input.dtype === "bool" ? "int32" : input.dtype;
  const x = convert(c, c.plain(input), input.dtype, type);
  c.set(node.outputs[0]!, convert(c, c.emit("Where", [band, x, c.scalar(0, type)]), type, input.dtype));
});
