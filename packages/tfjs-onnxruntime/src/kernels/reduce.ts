import * as tf from "@tensorflow/tfjs";
import { engineConfig } from "../config.js";
import { identityPerm, type LowerContext } from "../lower/context.js";
import { convert } from "./convert.js";
import { type KernelStatus, kernel, lowering, sizeOf } from "./define.js";

/** `nan: "fast"`: NaN in Max, Min, ArgMax and ArgMin as ONNX Runtime has it, not as tfjs. */
const fastNan = () => engineConfig().nan === "fast";

/** Layout of a reduction's result: the remaining base axes keep their order. */
function reducedPerm(perm: readonly number[], axes: readonly number[], keepDims: boolean): number[] {
  if (keepDims) return [...perm];
  const left = perm.filter((_, i) => !axes.includes(i));
  const sorted = [...left].sort((a, b) => a - b);
  return left.map((p) => sorted.indexOf(p));
}

interface Reduction {
  /** Name of the attribute that holds the axes. @defaultValue "axis" */
  axisAttr?: string;
  /** Result over no elements. */
  empty: number;
  /** Dtype in which the reduction runs. */
  computed: (dtype: tf.DataType) => "float32" | "int32";
  /** Dtype of the result. @defaultValue `computed` */
  dtype?: (dtype: tf.DataType) => tf.DataType;
  emit: (c: LowerContext, x: string, axes: number[], keepdims: number, dtype: string) => string;
  status?: KernelStatus;
}

function reduce(
  name: string,
  { axisAttr = "axis", empty, computed, dtype: dtypeOf = computed, emit, status }: Reduction,
): void {
  kernel(
    name,
    (call) => {
      const x = call.inputs["x"]!;
      const keepDims = Boolean(call.attrs["keepDims"]);
      const axes = tf.util.parseAxisParam(call.attrs[axisAttr] as number | number[], x.shape);
      const shape = x.shape.flatMap((d, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [d]));
      const dtype = dtypeOf(x.dtype);
      if (axes.length === 0) {
        if (dtype === x.dtype) return call.view(x, x.shape);
        return call.tensor(call.record("Cast", [call.value(x)], [{ shape, dtype }])[0]!);
      }
      if (sizeOf(x.shape) === 0) {
        const scalar = call.scalar(empty, dtype === "float32" ? "float32" : "int32");
        return call.tensor(call.record("Fill", [scalar], [{ shape, dtype }])[0]!);
      }
      return call.tensor(call.record(name, [call.value(x)], [{ shape, dtype }], { axes, keepDims })[0]!);
    },
    { status: status ?? "native" },
  );
  lowering(name, (c, node) => {
    const [input, output] = [node.inputs[0]!, node.outputs[0]!];
    const { name: x, perm } = c.preferred(input);
    const axes = node.attrs["axes"] as readonly number[];
    const keepDims = node.attrs["keepDims"] as boolean;
    const baseAxes = axes.map((a) => perm[a]!).sort((a, b) => a - b);
    const type = computed(input.dtype);
    const y = emit(c, convert(c, x, input.dtype, type), baseAxes, keepDims ? 1 : 0, type);
    c.set(output, convert(c, y, type, output.dtype), reducedPerm(perm, axes, keepDims));
  });
}

const number = (dtype: tf.DataType) => (dtype === "float32" ? "float32" : "int32");
reduce("Sum", {
  empty: 0,
  computed: number,
  emit: (c, x, axes, keepdims) => c.emit("ReduceSum", [x, c.int64(axes)], { keepdims }),
});
reduce("Mean", {
  // tfjs sums a quotient of nothing
  empty: 0,
  computed: () => "float32",
  emit: (c, x, axes, keepdims) => c.emit("ReduceMean", [x], { axes, keepdims }),
});
reduce("Prod", {
  empty: 1,
  computed: number,
  emit: (c, x, axes, keepdims) => c.emit("ReduceProd", [x], { axes, keepdims }),
});

/**
 * ReduceMax drops a NaN or not, by its position; tfjs propagates it. The sum of x clipped to [-1, 1] is NaN exactly where x has one
 * (no infinities are left to cancel) and costs half of any other detection; `nan: "fast"` leaves it out.
 */
function extreme(opType: "ReduceMax" | "ReduceMin"): Reduction["emit"] {
  return (c, x, axes, keepdims, dtype) => {
    const y = c.emit(opType, [x], { axes, keepdims });
    if (dtype !== "float32" || fastNan()) return y;
    const clipped = c.emit("Clip", [x, c.float([-1], []), c.float([1], [])]);
    const witness = c.emit("ReduceSum", [clipped, c.int64(axes)], { keepdims });
    return c.emit("Where", [c.emit("IsNaN", [witness]), witness, y]);
  };
}
const same = (dtype: tf.DataType) => dtype;
reduce("Max", {
  axisAttr: "reductionIndices",
  empty: Number.NEGATIVE_INFINITY,
  computed: number,
  dtype: same,
  emit: extreme("ReduceMax"),
  status: "composed",
});
reduce("Min", {
  empty: Number.POSITIVE_INFINITY,
  computed: number,
  dtype: same,
  emit: extreme("ReduceMin"),
  status: "composed",
});
reduce("All", {
  empty: 1,
  computed: () => "int32",
  dtype: () => "bool",
  emit: (c, x, axes, keepdims) => c.emit("ReduceMin", [x], { axes, keepdims }),
});
reduce("Any", {
  empty: 0,
  computed: () => "int32",
  dtype: () => "bool",
  emit: (c, x, axes, keepdims) => c.emit("ReduceMax", [x], { axes, keepdims }),
});

for (const [name, least] of [
  ["ArgMax", Number.NEGATIVE_INFINITY],
  ["ArgMin", Number.POSITIVE_INFINITY],
] as const) {
  kernel(name, (call) => {
    const x = call.inputs["x"]!;
    const [axis] = tf.util.parseAxisParam(call.attrs["axis"] as number, x.shape);
    const shape = x.shape.filter((_, i) => i !== axis);
    return call.tensor(call.record(name, [call.value(x)], [{ shape, dtype: "int32" }], { axis: axis! })[0]!);
  });
  // First of equal ones, as tfjs; ONNX would answer with the place of a NaN, tfjs passes over it.
  lowering(name, (c, node) => {
    const input = node.inputs[0]!;
    let x = convert(c, c.plain(input), input.dtype, number(input.dtype));
    if (input.dtype === "float32" && !fastNan()) x = c.emit("Where", [c.emit("IsNaN", [x]), c.float([least], []), x]);
    const index = c.emit(name, [x], { axis: node.attrs["axis"] as number, keepdims: 0 });
    c.set(node.outputs[0]!, c.emit("Cast", [index], { to: 6 }));
  });
}

kernel("TopK", (call) => {
  const x = call.inputs["x"]!;
  const k = call.attrs["k"] as number;
  const shape = [...x.shape.slice(0, -1), k];
  const outputs = [
    { shape, dtype: x.dtype },
    { shape, dtype: "int32" as const },
  ];
  return call.record("TopK", [call.value(x)], outputs, { k }).map((v) => call.tensor(v));
});
lowering("TopK", (c, node) => {
  const input = node.inputs[0]!;
  const x = convert(c, c.plain(input), input.dtype, number(input.dtype));
  const attrs = { axis: -1, largest: 1, sorted: 1 };
  const [values, indices] = c.emitMany("TopK", [x, c.int64([node.attrs["k"] as number])], 2, attrs);
  c.set(node.outputs[0]!, convert(c, values!, number(input.dtype), input.dtype));
  c.set(node.outputs[1]!, c.emit("Cast", [indices!], { to: 6 }));
});

kernel(
  "SegTopkMask",
  (call) => {
    const x = call.inputs["x"]!;
    const [y] = call.record("SegTopkMask", [call.value(x)], [{ shape: x.shape, dtype: "float32" }], {
      k: call.attrs["k"] as number,
    });
    return call.tensor(y!);
  },
  { status: "composed" },
);
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
