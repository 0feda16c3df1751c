import * as tf from "@tensorflow/tfjs";
import type { LowerContext } from "../lower/context.js";
import { type Call, kernel, lowering } from "./define.js";

/** Emits an expression over the base of a unary operand; the layout passes through. */
type Expression = (c: LowerContext, x: string, node: { attrs: Record<string, unknown>; dtype: string }) => string;

function unary(
  name: string,
  expression: Expression,
  dtype?: tf.DataType,
  attrs?: (call: Call) => Record<string, number>,
): void {
  kernel(name, (call) => {
    const x = call.inputs["x"]!;
    const [y] = call.record(name, [call.value(x)], [{ shape: x.shape, dtype: dtype ?? x.dtype }], attrs?.(call) ?? {});
    return call.tensor(y!);
  });
  lowering(name, (c, node) => {
    const { name: x, perm } = c.preferred(node.inputs[0]!);
    c.set(node.outputs[0]!, expression(c, x, { attrs: node.attrs, dtype: node.inputs[0]!.dtype }), perm);
  });
}

const native =
  (opType: string): Expression =>
  (c, x) =>
    c.emit(opType, [x]);

for (const name of [
  "Abs",
  "Acos",
  "Acosh",
  "Asin",
  "Asinh",
  "Atan",
  "Atanh",
  "Cos",
  "Cosh",
  "Erf",
  "Exp",
  "Log",
  "Neg",
  "Reciprocal",
  "Relu",
  "Sigmoid",
  "Sin",
  "Sinh",
  "Softplus",
  "Sqrt",
  "Tan",
  "Tanh",
]) {
  unary(name, native(name));
}
for (const name of ["Ceil", "Floor", "Round"]) {
  unary(name, (c, x, { dtype }) => (dtype === "int32" ? c.emit("Identity", [x]) : c.emit(name, [x])));
}
unary("Elu", (c, x) => c.emit("Elu", [x], { alpha: { float: 1 } }));
unary("Selu", (c, x) =>
  c.emit("Selu", [x], { alpha: { float: 1.6732632423543772 }, gamma: { float: 1.0507009873554805 } }),
);
unary("Rsqrt", (c, x) => c.emit("Reciprocal", [c.emit("Sqrt", [x])]));
unary("Square", (c, x) => c.emit("Mul", [x, x]));
unary("Relu6", (c, x) => c.emit("Clip", [x, c.scalar(0, "float32"), c.scalar(6, "float32")]));
// tanh(x/2) (exp(x) + 1) = exp(x) - 1 without cancellation near 0
unary("Expm1", (c, x) => {
  const half = c.emit("Tanh", [c.emit("Mul", [x, c.scalar(0.5, "float32")])]);
  return c.emit("Mul", [half, c.emit("Add", [c.emit("Exp", [x]), c.scalar(1, "float32")])]);
});
// Kahan: with u = fl(1 + x), log1p(x) = x log(u) / (u - 1), and x itself where u = 1
unary("Log1p", (c, x) => {
  const one = c.scalar(1, "float32");
  const u = c.emit("Add", [x, one]);
  const same = c.emit("Equal", [u, one]);
  const safe = c.emit("Where", [same, one, c.emit("Sub", [u, one])]);
  const value = c.emit("Div", [c.emit("Mul", [x, c.emit("Log", [u])]), safe]);
  const finite = c.emit("Where", [c.emit("IsInf", [u]), u, value]);
  return c.emit("Where", [same, x, finite]);
});
unary("Sign", (c, x, { dtype }) => {
  const zero = c.scalar(0, dtype);
  const to = dtype === "int32" ? 6 : 1;
  const positive = c.emit("Cast", [c.emit("Greater", [x, zero])], { to });
  return c.emit("Sub", [positive, c.emit("Cast", [c.emit("Less", [x, zero])], { to })]);
});
unary(
  "Step",
  (c, x, { attrs }) => {
    const zero = c.scalar(0, "float32");
    const value = c.emit("Where", [
      c.emit("Greater", [x, zero]),
      c.scalar(1, "float32"),
      c.scalar(attrs["alpha"] as number, "float32"),
    ]);
    return c.emit("Where", [c.emit("IsNaN", [x]), x, value]);
  },
  "float32",
  (call) => ({ alpha: (call.attrs["alpha"] as number | undefined) ?? 0 }),
);
unary(
  "LeakyRelu",
  (c, x, { attrs }) => c.emit("LeakyRelu", [x], { alpha: { float: attrs["alpha"] as number } }),
  "float32",
  (call) => ({ alpha: (call.attrs["alpha"] as number | undefined) ?? 0.2 }),
);
unary("IsNan", (c, x) => c.emit("IsNaN", [x]), "bool");
unary("IsInf", (c, x) => c.emit("IsInf", [x]), "bool");
unary("IsFinite", (c, x) => c.emit("Not", [c.emit("Or", [c.emit("IsNaN", [x]), c.emit("IsInf", [x])])]), "bool");
unary("LogicalNot", native("Not"), "bool");

// Clip bounds are fed: a changing bound does not recompile.
kernel("ClipByValue", (call) => {
  const x = call.inputs["x"]!;
  const { clipValueMin, clipValueMax } = call.attrs as { clipValueMin: number; clipValueMax: number };
  const bounds = [call.scalar(clipValueMin, x.dtype), call.scalar(clipValueMax, x.dtype)];
  const [y] = call.record("ClipByValue", [call.value(x), ...bounds], [{ shape: x.shape, dtype: x.dtype }]);
  return call.tensor(y!);
});
lowering("ClipByValue", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  c.set(node.outputs[0]!, c.emit("Clip", [name, c.plain(node.inputs[1]!), c.plain(node.inputs[2]!)]), perm);
});

function binary(
  name: string,
  expression: (c: LowerContext, a: string, b: string, dtype: string) => string,
  dtype?: tf.DataType,
): void {
  kernel(name, (call) => {
    const a = call.inputs["a"]!;
    const b = call.inputs["b"]!;
    const shape = tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const [y] = call.record(name, [call.value(a), call.value(b)], [{ shape, dtype: dtype ?? a.dtype }]);
    return call.tensor(y!);
  });
  lowering(name, (c, node) => {
    const output = node.outputs[0]!;
    const { names, perm } = c.align(node.inputs, output.shape);
    c.set(output, expression(c, names[0]!, names[1]!, node.inputs[0]!.dtype), perm);
  });
}

const nativeBinary = (opType: string) => (c: LowerContext, a: string, b: string) => c.emit(opType, [a, b]);
binary("Add", nativeBinary("Add"));
binary("Sub", nativeBinary("Sub"));
binary("Multiply", nativeBinary("Mul"));
binary("RealDiv", nativeBinary("Div"));
binary("Maximum", nativeBinary("Max"));
binary("Minimum", nativeBinary("Min"));
binary("Pow", nativeBinary("Pow"));
binary("SquaredDifference", (c, a, b) => {
  const d = c.emit("Sub", [a, b]);
  return c.emit("Mul", [d, d]);
});
// int32 Div kills the process on -2^31 / -1 and fails on a zero divisor: go through float64, divisor 0 -> 0
binary("FloorDiv", (c, a, b, dtype) => {
  if (dtype !== "int32") return c.emit("Floor", [c.emit("Div", [a, b])]);
  const quotient = c.emit("Floor", [c.emit("Div", [c.emit("Cast", [a], { to: 11 }), c.emit("Cast", [b], { to: 11 })])]);
  const zero = c.int32([0], []);
  return c.emit("Where", [c.emit("Equal", [b, zero]), zero, c.emit("Cast", [quotient], { to: 6 })]);
});
binary("Mod", (c, a, b, dtype) => {
  const wide = (x: string) => (dtype === "int32" ? c.emit("Cast", [x], { to: 11 }) : x);
  const [p, q] = [wide(a), wide(b)];
  const rest = c.emit("Sub", [p, c.emit("Mul", [c.emit("Floor", [c.emit("Div", [p, q])]), q])]);
  if (dtype !== "int32") return rest;
  const zero = c.int32([0], []);
  return c.emit("Where", [c.emit("Equal", [b, zero]), zero, c.emit("Cast", [rest], { to: 6 })]);
});
const comparable = (c: LowerContext, x: string, dtype: string) =>
  dtype === "bool" ? c.emit("Cast", [x], { to: 6 }) : x;
for (const name of ["Greater", "Less"]) {
  binary(name, (c, a, b, dtype) => c.emit(name, [comparable(c, a, dtype), comparable(c, b, dtype)]), "bool");
}
for (const [name, opType] of [
  ["GreaterEqual", "GreaterOrEqual"],
  ["LessEqual", "LessOrEqual"],
] as const) {
  binary(name, (c, a, b, dtype) => c.emit(opType, [comparable(c, a, dtype), comparable(c, b, dtype)]), "bool");
}
binary("Equal", nativeBinary("Equal"), "bool");
binary("NotEqual", (c, a, b) => c.emit("Not", [c.emit("Equal", [a, b])]), "bool");
binary("LogicalAnd", nativeBinary("And"), "bool");
binary("LogicalOr", nativeBinary("Or"), "bool");
kernel("Prelu", (call) => {
  const x = call.inputs["x"]!;
  const values = [call.value(x), call.value(call.inputs["alpha"]!)];
  return call.tensor(call.record("Prelu", values, [{ shape: x.shape, dtype: "float32" }])[0]!);
});
lowering("Prelu", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [x, alpha] = names as [string, string];
  const negative = c.emit("Less", [x, c.scalar(0, "float32")]);
  c.set(node.outputs[0]!, c.emit("Where", [negative, c.emit("Mul", [x, alpha]), x]), perm);
});

kernel("EluGrad", (call) => {
  const dy = call.inputs["dy"]!;
  const values = [call.value(dy), call.value(call.inputs["y"]!)];
  return call.tensor(call.record("EluGrad", values, [{ shape: dy.shape, dtype: "float32" }])[0]!);
});
lowering("EluGrad", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [dy, y] = names as [string, string];
  const negative = c.emit("Mul", [dy, c.emit("Add", [y, c.scalar(1, "float32")])]);
  c.set(node.outputs[0]!, c.emit("Where", [c.emit("GreaterOrEqual", [y, c.scalar(0, "float32")]), dy, negative]), perm);
});

kernel("AddN", (call) => {
  const inputs = Object.values(call.inputs) as tf.TensorInfo[];
  const first = inputs[0]!;
  const [y] = call.record(
    "AddN",
    inputs.map((x) => call.value(x)),
    [{ shape: first.shape, dtype: first.dtype }],
  );
  return call.tensor(y!);
});
lowering("AddN", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  c.set(
    node.outputs[0]!,
    names.slice(1).reduce((sum, x) => c.emit("Add", [sum, x]), names[0]!),
    perm,
  );
});

kernel("Select", (call) => {
  const condition = call.inputs["condition"]!;
  const t = call.inputs["t"]!;
  const e = call.inputs["e"]!;
  // A rank-1 condition with branches of higher rank selects rows.
  let mask = call.value(condition);
  if (condition.shape.length === 1 && t.shape.length > 1) {
    const shape = [condition.shape[0]!, ...new Array<number>(t.shape.length - 1).fill(1)];
    mask = call.record("Reshape", [mask], [{ shape, dtype: "bool" }])[0]!;
  }
  const [y] = call.record("Select", [mask, call.value(t), call.value(e)], [{ shape: t.shape, dtype: t.dtype }]);
  return call.tensor(y!);
});
lowering("Select", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  // Where has no bool branches on the CPU provider: go through uint8.
  if (node.outputs[0]!.dtype !== "bool") return c.set(node.outputs[0]!, c.emit("Where", names), perm);
  const bytes = names.slice(1).map((x) => c.emit("Cast", [x], { to: 2 }));
  c.set(node.outputs[0]!, c.emit("Cast", [c.emit("Where", [names[0]!, ...bytes])], { to: 9 }), perm);
});

kernel("Cast", (call) => {
  const x = call.inputs["x"]!;
  const dtype = call.attrs["dtype"] as tf.DataType;
  if (dtype === x.dtype) return call.view(x, x.shape);
  const [y] = call.record("Cast", [call.value(x)], [{ shape: x.shape, dtype }]);
  return call.tensor(y!);
});
lowering("Cast", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const to = { float32: 1, int32: 6, bool: 9 }[node.outputs[0]!.dtype as "float32" | "int32" | "bool"];
  c.set(node.outputs[0]!, c.emit("Cast", [name], { to }), perm);
});

kernel("Softmax", (call) => {
  const x = call.inputs["logits"]!;
  const dim = call.attrs["dim"] as number;
  const axis = dim < 0 ? dim + x.shape.length : dim;
  return call.tensor(call.record("Softmax", [call.value(x)], [{ shape: x.shape, dtype: "float32" }], { axis })[0]!);
});
lowering("Softmax", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  c.set(node.outputs[0]!, c.emit("Softmax", [name], { axis: perm[node.attrs["axis"] as number]! }), perm);
});

kernel("Cumsum", (call) => {
  const x = call.inputs["x"]!;
  const { axis, exclusive, reverse } = call.attrs as { axis: number; exclusive: boolean; reverse: boolean };
  const [y] = call.record("Cumsum", [call.value(x)], [{ shape: x.shape, dtype: x.dtype }], {
    axis: axis < 0 ? axis + x.shape.length : axis,
    exclusive: exclusive ? 1 : 0,
    reverse: reverse ? 1 : 0,
  });
  return call.tensor(y!);
});
lowering("Cumsum", (c, node) => {
  const { axis, exclusive, reverse } = node.attrs as { axis: number; exclusive: number; reverse: number };
  const name = c.emit("CumSum", [c.plain(node.inputs[0]!), c.int64([axis], true)], { exclusive, reverse });
  c.set(node.outputs[0]!, name);
});
