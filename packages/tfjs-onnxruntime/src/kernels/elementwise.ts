import * as tf from "@tensorflow/tfjs";
import type { Value } from "../graph.js";
import type { LowerContext } from "../lower/context.js";
import { isComplex, type Parts } from "./complex.js";
import { convert, doubleToInt, store, toDouble } from "./convert.js";
import { type Call, type KernelStatus, kernel, lowering } from "./define.js";

/** Emits an expression over the base of a unary operand; the layout passes through. */
type Expression = (c: LowerContext, x: string, dtype: string) => string;

interface UnaryOptions {
  /** Dtype of the result. @defaultValue that of x */
  dtype?: tf.DataType;
  /** Dtypes that the expression takes; others go through float32 and back. @defaultValue float32 */
  takes?: readonly tf.DataType[];
  status?: KernelStatus;
}

function unary(
  name: string,
  expression: Expression,
  { dtype, takes = ["float32"], status = "native" }: UnaryOptions = {},
): void {
  kernel(
    name,
    (call) => {
      const x = call.inputs["x"]!;
      return call.tensor(call.record(name, [call.value(x)], [{ shape: x.shape, dtype: dtype ?? x.dtype }])[0]!);
    },
    { status },
  );
  lowering(name, (c, node) => {
    const [input, output] = [node.inputs[0]!, node.outputs[0]!];
    const { name: x, perm } = c.preferred(input);
    const own = takes.includes(input.dtype);
    const y = expression(c, own ? x : convert(c, x, input.dtype, "float32"), own ? input.dtype : "float32");
    // A predicate's result is bool whatever it was computed from.
    const computed = dtype ?? (own ? input.dtype : "float32");
    c.set(output, store(c, y, computed, output.dtype), perm);
  });
}

const native =
  (opType: string): Expression =>
  (c, x) =>
    c.emit(opType, [x]);
const numbers = ["float32", "int32"] as const;
const every = ["float32", "int32", "bool"] as const;

for (const name of [
  "Acos",
  "Acosh",
  "Asin",
  "Asinh",
  "Atan",
  "Atanh",
  "Cos",
  "Cosh",
  "Erf",
  "Log",
  "Reciprocal",
  "Sigmoid",
  "Sin",
  "Sinh",
  "Softplus",
  "Sqrt",
  "Tanh",
]) {
  unary(name, native(name));
}
// float32 for every input; of integers through float64, for a whole argument deserves a correctly rounded result
unary(
  "Exp",
  (c, x, dtype) =>
    dtype === "float32" ? c.emit("Exp", [x]) : c.emit("Cast", [c.emit("Exp", [toDouble(c, x)])], { to: 1 }),
  { dtype: "float32", takes: every },
);
for (const name of ["Abs", "Neg", "Relu"]) unary(name, native(name), { takes: numbers });
// Integers are whole already.
for (const name of ["Ceil", "Floor", "Round"]) {
  unary(name, (c, x, dtype) => c.emit(dtype === "float32" ? name : "Identity", [x]), { takes: every });
}
unary("Elu", (c, x) => c.emit("Elu", [x], { alpha: { float: 1 } }));
unary("Selu", (c, x) =>
  c.emit("Selu", [x], { alpha: { float: 1.6732632423543772 }, gamma: { float: 1.0507009873554805 } }),
);
unary("Rsqrt", (c, x) => c.emit("Reciprocal", [c.emit("Sqrt", [x])]), { status: "composed" });
unary("Square", (c, x) => c.emit("Mul", [x, x]), { takes: numbers });
unary("Relu6", (c, x, dtype) => c.emit("Clip", [x, c.scalar(0, dtype), c.scalar(6, dtype)]), { takes: numbers });
// float32 near a pole: one step of the argument is more than the tolerance, so sin / cos in float64.
unary(
  "Tan",
  (c, x) => {
    const wide = toDouble(c, x);
    return c.emit("Cast", [c.emit("Div", [c.emit("Sin", [wide]), c.emit("Cos", [wide])])], { to: 1 });
  },
  { status: "composed" },
);
// tanh(x/2) (exp(x) + 1) = exp(x) - 1 without cancellation near 0; at exp(x) = 0 the product is exact too
unary(
  "Expm1",
  (c, x) => {
    const half = c.emit("Tanh", [c.emit("Mul", [x, c.scalar(0.5, "float32")])]);
    return c.emit("Mul", [half, c.emit("Add", [c.emit("Exp", [x]), c.scalar(1, "float32")])]);
  },
  { status: "composed" },
);
// Kahan: with u = fl(1 + x), log1p(x) = x log(u) / (u - 1), and x itself where u = 1
unary(
  "Log1p",
  (c, x) => {
    const one = c.scalar(1, "float32");
    const u = c.emit("Add", [x, one]);
    const same = c.emit("Equal", [u, one]);
    const safe = c.emit("Where", [same, one, c.emit("Sub", [u, one])]);
    const value = c.emit("Div", [c.emit("Mul", [x, c.emit("Log", [u])]), safe]);
    // log1p(inf) = inf, log1p(-inf) = NaN
    const finite = c.emit("Where", [c.emit("IsInf", [u]), c.emit("Log", [u]), value]);
    return c.emit("Where", [same, x, finite]);
  },
  { status: "composed" },
);
// 0 for NaN, where ONNX's Sign gives NaN
unary(
  "Sign",
  (c, x, dtype) => {
    const zero = c.scalar(0, dtype);
    const to = dtype === "int32" ? 6 : 1;
    const positive = c.emit("Cast", [c.emit("Greater", [x, zero])], { to });
    return c.emit("Sub", [positive, c.emit("Cast", [c.emit("Less", [x, zero])], { to })]);
  },
  { takes: numbers, status: "composed" },
);
// An integer equals itself: it is finite and neither NaN nor infinite.
const self = (c: LowerContext, x: string) => c.emit("Equal", [x, x]);
unary("IsNan", (c, x) => c.emit("Not", [self(c, x)]), { dtype: "bool", takes: every });
unary("IsInf", (c, x, dtype) => (dtype === "float32" ? c.emit("IsInf", [x]) : c.emit("Not", [self(c, x)])), {
  dtype: "bool",
  takes: every,
});
unary(
  "IsFinite",
  (c, x, dtype) =>
    dtype === "float32" ? c.emit("Not", [c.emit("Or", [c.emit("IsNaN", [x]), c.emit("IsInf", [x])])]) : self(c, x),
  { dtype: "bool", takes: every, status: "composed" },
);
unary("LogicalNot", (c, x, dtype) => c.emit("Not", [convert(c, x, dtype, "bool")]), { dtype: "bool", takes: every });

/** A unary kernel with scalars that are fed, so that a changing one does not recompile. */
function unaryWithScalars(
  name: string,
  scalars: (call: Call, dtype: "float32" | "int32") => Value[],
  expression: (c: LowerContext, x: string, scalars: readonly string[], dtype: string) => string,
  { takes, dtype, status }: { takes: readonly tf.DataType[]; dtype?: tf.DataType; status: KernelStatus },
): void {
  const computed = (dtype: tf.DataType) => (takes.includes(dtype) ? (dtype as "float32" | "int32") : "float32");
  kernel(
    name,
    (call) => {
      const x = call.inputs["x"]!;
      const values = [call.value(x), ...scalars(call, computed(x.dtype))];
      return call.tensor(call.record(name, values, [{ shape: x.shape, dtype: dtype ?? x.dtype }])[0]!);
    },
    { status },
  );
  lowering(name, (c, node) => {
    const [input, ...fed] = node.inputs;
    const type = computed(input!.dtype);
    const { name: x, perm } = c.preferred(input!);
    const names = fed.map((value) => c.plain(value));
    const y = expression(c, convert(c, x, input!.dtype, type), names, type);
    c.set(node.outputs[0]!, store(c, y, type, node.outputs[0]!.dtype), perm);
  });
}

/** Range of int32; a bound beyond it does not bind. */
const clampInt = (value: number) => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, value));
unaryWithScalars(
  "ClipByValue",
  (call, dtype) => {
    const { clipValueMin, clipValueMax } = call.attrs as { clipValueMin: number; clipValueMax: number };
    const bound = (value: number) => call.scalar(dtype === "int32" ? clampInt(value) : value, dtype);
    return [bound(clipValueMin), bound(clipValueMax)];
  },
  (c, x, bounds) => c.emit("Clip", [x, ...bounds]),
  { takes: numbers, status: "native" },
);
// PRelu with a fed slope, for LeakyRelu's is an attribute
unaryWithScalars(
  "LeakyRelu",
  (call) => [call.scalar((call.attrs["alpha"] as number | undefined) ?? 0.2)],
  (c, x, [alpha]) => c.emit("PRelu", [x, alpha!]),
  { takes: ["float32"], dtype: "float32", status: "native" },
);
// 1 above 0, NaN for NaN, else alpha
unaryWithScalars(
  "Step",
  (call) => [call.scalar((call.attrs["alpha"] as number | undefined) ?? 0)],
  (c, x, [alpha]) => {
    const value = c.emit("Where", [c.emit("Greater", [x, c.scalar(0, "float32")]), c.scalar(1, "float32"), alpha!]);
    return c.emit("Where", [c.emit("IsNaN", [x]), x, value]);
  },
  { takes: ["float32"], status: "composed" },
);

type BinaryExpression = (
  c: LowerContext,
  a: string,
  b: string,
  dtype: string,
  attrs: Record<string, unknown>,
) => string;

interface BinaryOptions {
  dtype?: tf.DataType;
  /** Dtypes that the expression takes; others go through `through` and back. @defaultValue float32 and int32 */
  takes?: readonly tf.DataType[];
  through?: "float32" | "int32";
  status?: KernelStatus;
  /** The result of complex operands, of which the other may be real; without it they go to the cpu backend. */
  complex?: (call: Call, a: Parts, b: Parts) => Parts;
  /** Structure that the values decide. */
  attrs?: (a: Value, b: Value) => Record<string, boolean>;
}

function binary(
  name: string,
  expression: BinaryExpression,
  { dtype, takes = numbers, through = "int32", status = "native", complex, attrs }: BinaryOptions = {},
): void {
  kernel(
    name,
    (call) => {
      const a = call.inputs["a"]!;
      const b = call.inputs["b"]!;
      if (complex && isComplex(a, b)) return call.complex(...complex(call, partsOf(call, a), partsOf(call, b)));
      if (a.dtype === "string" || b.dtype === "string") return call.onCpu();
      const shape = tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
      const [p, q] = [call.value(a), call.value(b)];
      return call.tensor(call.record(name, [p, q], [{ shape, dtype: dtype ?? a.dtype }], attrs?.(p, q))[0]!);
    },
    { status, anyDtype: complex !== undefined },
  );
  lowering(name, (c, node) => {
    const output = node.outputs[0]!;
    const { names, perm } = c.align(node.inputs, output.shape);
    const [a, b] = node.inputs;
    const common = a!.dtype === b!.dtype ? a!.dtype : tf.upcastType(a!.dtype, b!.dtype);
    const own = takes.includes(common);
    const computed = own ? common : through;
    const [p, q] = [convert(c, names[0]!, a!.dtype, computed), convert(c, names[1]!, b!.dtype, computed)];
    const y = expression(c, p, q, computed, node.attrs);
    c.set(output, convert(c, y, dtype ?? computed, output.dtype), perm);
  });
}

const nativeBinary =
  (opType: string): BinaryExpression =>
  (c, a, b) =>
    c.emit(opType, [a, b]);
/** A tensor as complex numbers; the imaginary part of a real one is 0. */
function partsOf(call: Call, x: tf.TensorInfo): Parts {
  if (x.dtype === "complex64") return call.parts(x);
  const real = call.value(x);
  const cast = { shape: x.shape, dtype: "float32" as const };
  return [x.dtype === "float32" ? real : call.record("Cast", [real], [cast])[0]!, call.zeros(x.shape)];
}
/** Records an elementwise kernel of two float32 values. */
function pairwise(call: Call, op: string, a: Value, b: Value): Value {
  const shape = tf.backend_util.assertAndGetBroadcastShape([...a.shape], [...b.shape]);
  return call.record(op, [a, b], [{ shape, dtype: "float32" }])[0]!;
}
for (const name of ["Add", "Sub"]) {
  binary(name, nativeBinary(name), {
    complex: (call, [ar, ai], [br, bi]) => [pairwise(call, name, ar, br), pairwise(call, name, ai, bi)],
  });
}
// (ar + i ai)(br + i bi)
binary("Multiply", nativeBinary("Mul"), {
  complex(call, [ar, ai], [br, bi]) {
    const times = (a: Value, b: Value) => pairwise(call, "Multiply", a, b);
    return [pairwise(call, "Sub", times(ar, br), times(ai, bi)), pairwise(call, "Add", times(ar, bi), times(ai, br))];
  },
});
binary("Maximum", nativeBinary("Max"));
binary("Minimum", nativeBinary("Min"));
binary(
  "SquaredDifference",
  (c, a, b) => {
    const d = c.emit("Sub", [a, b]);
    return c.emit("Mul", [d, d]);
  },
  { status: "composed" },
);
// Integer Div and Mod kill the process on -2^31 / -1 and fail on a zero divisor: float64 holds every int32 and quotient exactly.
binary("RealDiv", (c, a, b, dtype) => {
  if (dtype === "float32") return c.emit("Div", [a, b]);
  return doubleToInt(c, c.emit("Div", [toDouble(c, a), toDouble(c, b)]));
});
/** Elements of a fed exponent that are looked at; larger ones take the general form. */
const SMALL = 4096;
const allFinite = (value: Value) =>
  value.host !== null && value.host.length <= SMALL && value.host.every(Number.isFinite);
// JavaScript: 1 ** NaN and (+-1) ** +-Infinity are NaN; in C they are 1. That matters only for an exponent that is not finite.
binary(
  "Pow",
  (c, a, b, dtype, { finite }) => {
    if (dtype === "int32") return doubleToInt(c, c.emit("Pow", [toDouble(c, a), toDouble(c, b)]));
    const y = c.emit("Pow", [a, b]);
    if (finite) return y;
    const unit = c.emit("Equal", [c.emit("Abs", [a]), c.scalar(1, "float32")]);
    const wild = c.emit("Or", [c.emit("IsNaN", [b]), c.emit("IsInf", [b])]);
    return c.emit("Where", [c.emit("And", [unit, wild]), c.float([Number.NaN], []), y]);
  },
  { attrs: (_, b) => ({ finite: b.dtype !== "float32" || allFinite(b) }) },
);
// floor(a / b) of the exact quotient, always int32
binary("FloorDiv", (c, a, b) => doubleToInt(c, c.emit("Floor", [c.emit("Div", [toDouble(c, a), toDouble(c, b)])])), {
  dtype: "int32",
  takes: every,
  status: "composed",
});
// The remainder has the divisor's sign: r = fmod(a, b) where a and b have one sign, else fmod(r + b, b)
binary(
  "Mod",
  (c, a, b, dtype) => {
    const [p, q] = [toDouble(c, a), toDouble(c, b)];
    const rest = c.emit("Mod", [p, q], { fmod: 1 });
    const wrapped = c.emit("Mod", [c.emit("Add", [rest, q]), q], { fmod: 1 });
    const zero = c.scalar(0, dtype);
    const negative = (x: string) => c.emit("Less", [x, zero]);
    const positive = (x: string) => c.emit("GreaterOrEqual", [x, zero]);
    const same = c.emit("Or", [c.emit("And", [negative(a), negative(b)]), c.emit("And", [positive(a), positive(b)])]);
    const y = c.emit("Where", [same, rest, wrapped]);
    return dtype === "int32" ? doubleToInt(c, y) : c.emit("Cast", [y], { to: 1 });
  },
  { status: "composed" },
);
/**
 * atan2(y, x) with q = atan(y / x): q for x > 0, q + pi for x < 0 and y >= +0, q - pi for x < 0 and y < 0 or y = -0. On the axis
 * x = 0: half a turn for y != 0; zeros keep their signs, which 1 / x tells. Both infinite: odd multiples of pi / 4.
 */
binary(
  "Atan2",
  (c, y, x) => {
    const k = (value: number) => c.float([value], []);
    const [zero, one] = [k(0), k(1)];
    const less = (v: string) => c.emit("Less", [v, zero]);
    const equal = (v: string, w: string) => c.emit("Equal", [v, w]);
    const where = (condition: string, v: string, w: string) => c.emit("Where", [condition, v, w]);
    const sign = (v: string) => {
      // 1 / -0 = -inf
      const negative = c.emit("Or", [less(v), c.emit("And", [equal(v, zero), less(c.emit("Div", [one, v]))])]);
      return where(negative, k(-1), one);
    };
    const both = c.emit("And", [c.emit("IsInf", [y]), c.emit("IsInf", [x])]);
    const ratio = where(both, c.emit("Mul", [sign(y), sign(x)]), c.emit("Div", [y, x]));
    const angle = c.emit("Atan", [ratio]);
    const turned = c.emit("Add", [angle, c.emit("Mul", [sign(y), k(Math.PI)])]);
    const general = where(less(x), turned, angle);
    // x = 0: y / x is infinite (right up to the sign of x) or NaN at the origin
    const half = c.emit("Mul", [sign(y), k(Math.PI / 2)]);
    const origin = where(
      c.emit("Less", [sign(x), zero]),
      c.emit("Mul", [sign(y), k(Math.PI)]),
      c.emit("Mul", [sign(y), zero]),
    );
    const axis = where(equal(y, zero), origin, where(c.emit("IsNaN", [y]), y, half));
    return where(equal(x, zero), axis, general);
  },
  { takes: ["float32"], through: "float32", status: "composed" },
);
// Order comparisons have no bool form.
for (const [name, opType] of [
  ["Greater", "Greater"],
  ["Less", "Less"],
  ["GreaterEqual", "GreaterOrEqual"],
  ["LessEqual", "LessOrEqual"],
] as const) {
  binary(name, nativeBinary(opType), { dtype: "bool" });
}
binary("Equal", nativeBinary("Equal"), { dtype: "bool", takes: every });
binary("NotEqual", (c, a, b) => c.emit("Not", [c.emit("Equal", [a, b])]), {
  dtype: "bool",
  takes: every,
  status: "composed",
});
for (const [name, opType] of [
  ["LogicalAnd", "And"],
  ["LogicalOr", "Or"],
  ["LogicalXor", "Xor"],
] as const) {
  binary(name, (c, a, b, dtype) => c.emit(opType, [convert(c, a, dtype, "bool"), convert(c, b, dtype, "bool")]), {
    dtype: "bool",
    takes: every,
  });
}

kernel(
  "Prelu",
  (call) => {
    const [x, alpha] = [call.inputs["x"]!, call.inputs["alpha"]!];
    const shape = tf.backend_util.assertAndGetBroadcastShape(x.shape, alpha.shape);
    return call.tensor(call.record("Prelu", [call.value(x), call.value(alpha)], [{ shape, dtype: "float32" }])[0]!);
  },
  { status: "composed" },
);
lowering("Prelu", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [x, alpha] = node.inputs.map((value, i) => convert(c, names[i]!, value.dtype, "float32")) as [string, string];
  const negative = c.emit("Less", [x, c.scalar(0, "float32")]);
  c.set(node.outputs[0]!, c.emit("Where", [negative, c.emit("Mul", [x, alpha]), x]), perm);
});

kernel(
  "EluGrad",
  (call) => {
    const dy = call.inputs["dy"]!;
    const values = [call.value(dy), call.value(call.inputs["y"]!)];
    return call.tensor(call.record("EluGrad", values, [{ shape: dy.shape, dtype: "float32" }])[0]!);
  },
  { status: "composed" },
);
lowering("EluGrad", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [dy, y] = names as [string, string];
  const negative = c.emit("Mul", [dy, c.emit("Add", [y, c.scalar(1, "float32")])]);
  c.set(node.outputs[0]!, c.emit("Where", [c.emit("GreaterOrEqual", [y, c.scalar(0, "float32")]), dy, negative]), perm);
});

kernel(
  "AddN",
  (call) => {
    const inputs = Object.values(call.inputs) as tf.TensorInfo[];
    const first = inputs[0]!;
    if (inputs.length === 1) return call.view(first, first.shape);
    const values = inputs.map((x) => call.value(x));
    return call.tensor(call.record("AddN", values, [{ shape: first.shape, dtype: first.dtype }])[0]!);
  },
  { status: "composed" },
);
// A chain, not Sum: Sum is float only and no faster.
lowering("AddN", (c, node) => {
  const output = node.outputs[0]!;
  const { names, perm } = c.align(node.inputs, output.shape);
  const computed = output.dtype === "bool" ? "int32" : output.dtype;
  const terms = node.inputs.map((value, i) => convert(c, names[i]!, value.dtype, computed));
  const sum = terms.slice(1).reduce((total, x) => c.emit("Add", [total, x]), terms[0]!);
  c.set(output, convert(c, sum, computed, output.dtype), perm);
});

kernel("Select", (call) => {
  const condition = call.inputs["condition"]!;
  const t = call.inputs["t"]!;
  const e = call.inputs["e"]!;
  // A rank-1 condition with branches of higher rank selects rows.
  let mask = call.value(condition);
  if (condition.shape.length === 1 && t.shape.length > 1) {
    const shape = [condition.shape[0]!, ...new Array<number>(t.shape.length - 1).fill(1)];
    mask = call.record("Reshape", [mask], [{ shape, dtype: condition.dtype }])[0]!;
  }
  const dtype = tf.upcastType(t.dtype, e.dtype);
  return call.tensor(call.record("Select", [mask, call.value(t), call.value(e)], [{ shape: t.shape, dtype }])[0]!);
});
lowering("Select", (c, node) => {
  const output = node.outputs[0]!;
  const { names, perm } = c.align(node.inputs, output.shape);
  const mask = convert(c, names[0]!, node.inputs[0]!.dtype, "bool");
  // Where has no bool branches on the CPU provider: go through uint8.
  const branches = [1, 2].map((i) => {
    const value = convert(c, names[i]!, node.inputs[i]!.dtype, output.dtype);
    return output.dtype === "bool" ? c.emit("Cast", [value], { to: 2 }) : value;
  });
  const y = c.emit("Where", [mask, ...branches]);
  c.set(output, output.dtype === "bool" ? c.emit("Cast", [y], { to: 9 }) : y, perm);
});

// Complex numbers are a pair of graph values: a cast takes or makes the real part.
kernel(
  "Cast",
  (call) => {
    const x = call.inputs["x"]!;
    const dtype = call.attrs["dtype"] as tf.DataType;
    if (dtype === x.dtype) return call.view(x, x.shape);
    if (x.dtype === "string" || dtype === "string") return call.onCpu();
    const cast = (value: Value, to: tf.DataType): Value =>
      value.dtype === to ? value : call.record("Cast", [value], [{ shape: x.shape, dtype: to }])[0]!;
    if (dtype === "complex64") return call.complex(cast(call.value(x), "float32"), call.zeros(x.shape));
    return call.tensor(cast(x.dtype === "complex64" ? call.parts(x)[0] : call.value(x), dtype));
  },
  { anyDtype: true },
);
lowering("Cast", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const y = convert(c, name, node.inputs[0]!.dtype, node.outputs[0]!.dtype);
  c.set(node.outputs[0]!, y === name ? c.emit("Identity", [name]) : y, perm);
});

for (const [name, attr] of [
  ["Softmax", "dim"],
  ["LogSoftmax", "axis"],
] as const) {
  kernel(name, (call) => {
    const x = call.inputs["logits"]!;
    const given = (call.attrs[attr] as number | undefined) ?? -1;
    const axis = given < 0 ? given + x.shape.length : given;
    return call.tensor(call.record(name, [call.value(x)], [{ shape: x.shape, dtype: "float32" }], { axis })[0]!);
  });
  lowering(name, (c, node) => {
    const { name: x, perm } = c.preferred(node.inputs[0]!);
    const logits = convert(c, x, node.inputs[0]!.dtype, "float32");
    c.set(node.outputs[0]!, c.emit(name, [logits], { axis: perm[node.attrs["axis"] as number]! }), perm);
  });
}

kernel("Cumsum", (call) => {
  const x = call.inputs["x"]!;
  const { axis, exclusive, reverse } = call.attrs as { axis: number; exclusive: boolean; reverse: boolean };
  const [y] = call.record("Cumsum", [call.value(x)], [{ shape: x.shape, dtype: tf.upcastType(x.dtype, "int32") }], {
    axis: axis < 0 ? axis + x.shape.length : axis,
    exclusive: exclusive ? 1 : 0,
    reverse: reverse ? 1 : 0,
  });
  return call.tensor(y!);
});
lowering("Cumsum", (c, node) => {
  const { axis, exclusive, reverse } = node.attrs as { axis: number; exclusive: number; reverse: number };
  const input = node.inputs[0]!;
  const x = convert(c, c.plain(input), input.dtype, node.outputs[0]!.dtype);
  c.set(node.outputs[0]!, c.emit("CumSum", [x, c.int64([axis], true)], { exclusive, reverse }));
});
