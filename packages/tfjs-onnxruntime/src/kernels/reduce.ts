import * as tf from "@tensorflow/tfjs";
import type { RecordedNode } from "../graph.js";
import { identityPerm, type LowerContext } from "../lower/context.js";
import { kernel, lowering, sizeOf } from "./define.js";

/** Layout of a reduction's result: the remaining base axes keep their order. */
function reducedPerm(perm: readonly number[], axes: readonly number[], keepDims: boolean): number[] {
  if (keepDims) return [...perm];
  const left = perm.filter((_, i) => !axes.includes(i));
  const sorted = [...left].sort((a, b) => a - b);
  return left.map((p) => sorted.indexOf(p));
}

function reduce(
  name: string,
  axisAttr: string,
  emit: (c: LowerContext, x: string, axes: number[], keepdims: number, node: RecordedNode) => string,
  dtypeOf: (dtype: tf.DataType) => tf.DataType = (d) => d,
): void {
  kernel(name, (call) => {
    const x = call.inputs["x"]!;
    const keepDims = Boolean(call.attrs["keepDims"]);
    const axes = tf.util.parseAxisParam(call.attrs[axisAttr] as number | number[], x.shape);
    const shape = x.shape.flatMap((d, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [d]));
    const dtype = dtypeOf(x.dtype);
    if (axes.length === 0) {
      if (dtype === x.dtype) return call.view(x, x.shape);
      return call.tensor(call.record("Cast", [call.value(x)], [{ shape, dtype }])[0]!);
    }
    if (sizeOf(x.shape) === 0 && sizeOf(shape) > 0) {
      const empty: Record<string, number> = { Sum: 0, Mean: 0, Prod: 1, Max: -Infinity, Min: Infinity, All: 1, Any: 0 };
      return call.tensor(call.record("Fill", [call.scalar(empty[name] ?? 0)], [{ shape, dtype }])[0]!);
    }
    const [y] = call.record(name, [call.value(x)], [{ shape, dtype }], { axes, keepDims });
    return call.tensor(y!);
  });
  lowering(name, (c, node) => {
    const { name: x, perm } = c.preferred(node.inputs[0]!);
    const axes = node.attrs["axes"] as readonly number[];
    const keepDims = node.attrs["keepDims"] as boolean;
    const baseAxes = axes.map((a) => perm[a]!).sort((a, b) => a - b);
    c.set(node.outputs[0]!, emit(c, x, baseAxes, keepDims ? 1 : 0, node), reducedPerm(perm, axes, keepDims));
  });
}

reduce(
  "Sum",
  "axis",
  (c, x, axes, keepdims, node) => {
    const input = node.inputs[0]!.dtype === "bool" ? c.emit("Cast", [x], { to: 6 }) : x;
    return c.emit("ReduceSum", [input, c.int64(axes)], { keepdims });
  },
  (d) => (d === "bool" ? "int32" : d),
);
reduce(
  "Mean",
  "axis",
  (c, x, axes, keepdims, node) => {
    const input = node.inputs[0]!.dtype === "float32" ? x : c.emit("Cast", [x], { to: 1 });
    return c.emit("ReduceMean", [input], { axes, keepdims });
  },
  () => "float32",
);
reduce("Prod", "axis", (c, x, axes, keepdims) => c.emit("ReduceProd", [x], { axes, keepdims }));
reduce("Max", "reductionIndices", (c, x, axes, keepdims) => c.emit("ReduceMax", [x], { axes, keepdims }));
reduce("Min", "axis", (c, x, axes, keepdims) => c.emit("ReduceMin", [x], { axes, keepdims }));
for (const [name, opType] of [
  ["All", "ReduceMin"],
  ["Any", "ReduceMax"],
] as const) {
  reduce(name, "axis", (c, x, axes, keepdims) =>
    c.emit("Cast", [c.emit(opType, [c.emit("Cast", [x], { to: 2 })], { axes, keepdims })], { to: 9 }),
  );
}

for (const name of ["ArgMax", "ArgMin"]) {
  kernel(name, (call) => {
    const x = call.inputs["x"]!;
    const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, x.shape);
    const shape = x.shape.filter((_, i) => i !== axis);
    const [y] = call.record(name, [call.value(x)], [{ shape, dtype: "int32" }], { axis: axis! });
    return call.tensor(y!);
  });
  lowering(name, (c, node) => {
    const index = c.emit(name, [c.plain(node.inputs[0]!)], { axis: node.attrs["axis"] as number, keepdims: 0 });
    c.set(node.outputs[0]!, c.emit("Cast", [index], { to: 6 }));
  });
}

kernel("TopK", (call) => {
  const x = call.inputs["x"]!;
  const k = call.attrs["k"] as number;
  const shape = [...x.shape.slice(0, -1), k];
  const values = call.record(
    "TopK",
    [call.value(x)],
    [
      { shape, dtype: x.dtype },
      { shape, dtype: "int32" },
    ],
    { k },
  );
  return values.map((v) => call.tensor(v));
});
lowering("TopK", (c, node) => {
  const [values, indices] = c.emitMany("TopK", [c.plain(node.inputs[0]!), c.int64([node.attrs["k"] as number])], 2, {
    axis: -1,
    largest: 1,
    sorted: 1,
  });
  c.set(node.outputs[0]!, values!);
  c.set(node.outputs[1]!, c.emit("Cast", [indices!], { to: 6 }));
});

kernel("SegTopkMask", (call) => {
  const x = call.inputs["x"]!;
  const [y] = call.record("SegTopkMask", [call.value(x)], [{ shape: x.shape, dtype: "float32" }], {
    k: call.attrs["k"] as number,
  });
  return call.tensor(y!);
});
lowering("SegTopkMask", (c, node) => {
  const shape = node.inputs[0]!.shape;
  const k = node.attrs["k"] as number;
  const [, indices] = c.emitMany("TopK", [c.plain(node.inputs[0]!), c.int64([k])], 2, {
    axis: -1,
    largest: 1,
    sorted: 1,
  });
  const zeros = c.emit("Expand", [c.scalar(0, "float32"), c.int64(shape)]);
  const ones = c.emit("Expand", [c.scalar(1, "float32"), c.int64([...shape.slice(0, -1), k])]);
  c.set(
    node.outputs[0]!,
    c.emit("ScatterElements", [zeros, indices!, ones], { axis: shape.length - 1 }),
    identityPerm(shape.length),
  );
});
