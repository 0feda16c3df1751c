import { intAttribute, intsAttribute } from "./attributes.js";
import { integers, listOperand } from "./evaluate.js";
import type { ValueType } from "./infer-shapes.js";
import { convShape, convTransposeShape, poolShape, resizeShape } from "./infer-spatial.js";
import { DataType, type Dim, type Node, type Tensor } from "./model.js";
import { normalizeAxes, normalizeAxis, reshapedDims, sliceRange, unsqueezedDims } from "./shape-rules.js";

/** What a rule sees: input types and, where known, input values. */
export interface InferContext {
  readonly node: Node;
  readonly opset: number;
  readonly inputs: readonly (ValueType | undefined)[];
  readonly constants: readonly (Tensor | undefined)[];
}

type Rule = (context: InferContext) => (ValueType | null)[] | null;

const typed = (dataType: number, shape: Dim[] | null | undefined): ValueType =>
  shape ? { dataType, shape } : { dataType };

const one =
  (shapeOf: (x: Dim[], context: InferContext) => Dim[] | null): Rule =>
  (context) => {
    const x = context.inputs[0];
    if (!x) return null;
    return [typed(x.dataType, x.shape && shapeOf(x.shape, context))];
  };

const same = one((shape) => [...shape]);
const isNumber = (dim: Dim): dim is number => typeof dim === "number";

/** Sum of dimensions, null unless all are known. */
const sum = (dims: readonly Dim[]): Dim => (dims.every(isNumber) ? dims.reduce((a, b) => a + b, 0) : null);

/** Product of dimensions; a lone symbol times ones stays a symbol. */
export function product(dims: readonly Dim[]): Dim {
  const rest = dims.filter((dim) => dim !== 1);
  if (rest.length === 1) return rest[0]!;
  return rest.every(isNumber) ? rest.reduce((a, b) => a * b, 1) : null;
}

/** Broadcast of two dimensions: null where it depends on what a symbol stands for. */
function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === 1) return b;
  if (b === 1 || a === b) return a;
  if (isNumber(a)) return isNumber(b) ? null : a;
  return isNumber(b) ? b : null;
}

export function broadcastShapes(a: readonly Dim[], b: readonly Dim[]): Dim[] | null {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly Dim[], i: number): Dim =>
    i - rank + shape.length < 0 ? 1 : shape[i - rank + shape.length]!;
  const shape: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const [x, y] = [at(a, i), at(b, i)];
    if (isNumber(x) && isNumber(y) && x !== y && x !== 1 && y !== 1) return null; // the model is wrong
    shape.push(broadcastDim(x, y));
  }
  return shape;
}

function broadcastAll(inputs: readonly (ValueType | undefined)[]): Dim[] | null {
  let shape: Dim[] | null = [];
  for (const input of inputs) {
    if (!input?.shape || !shape) return null;
    shape = broadcastShapes(shape, input.shape);
  }
  return shape;
}

const elementwise: Rule = ({ inputs }) => {
  const dataType = inputs.find((input) => input?.dataType)?.dataType ?? 0;
  return [typed(dataType, broadcastAll(inputs))];
};
const comparison: Rule = ({ inputs }) => [typed(DataType.BOOL, broadcastAll(inputs))];

const reduce: Rule = (context) => {
  const { node, inputs, constants, opset } = context;
  const x = inputs[0];
  if (!x) return null;
  const isArg = node.opType.startsWith("Arg");
  const dataType = isArg ? DataType.INT64 : x.dataType;
  if (!x.shape) return [typed(dataType, null)];
  const axesAreInput = node.opType === "ReduceSum" ? opset >= 13 : opset >= 18;
  let axes: number[] | undefined | null;
  if (isArg) axes = [intAttribute(node, "axis", 0)];
  else axes = axesAreInput ? listOperand(node, constants, 1, "") : intsAttribute(node, "axes");
  if (axes === null) return [typed(dataType, null)];
  if ((!axes || axes.length === 0) && intAttribute(node, "noop_with_empty_axes", 0) !== 0)
    return [typed(dataType, [...x.shape])];
  const rank = x.shape.length;
  const normal = axes && axes.length > 0 ? normalizeAxes(axes, rank) : x.shape.map((_, i) => i);
  if (!normal) return [typed(dataType, null)];
  const keeps = intAttribute(node, "keepdims", 1) !== 0;
  const shape = x.shape.flatMap((dim, i): Dim[] => (normal.includes(i) ? (keeps ? [1] : []) : [dim]));
  return [typed(dataType, shape)];
};

const reshape: Rule = ({ node, inputs, constants }) => {
  const x = inputs[0];
  if (!x) return null;
  const target = integers(constants[1]);
  if (!target) {
    const length = inputs[1]?.shape?.[0];
    return [typed(x.dataType, isNumber(length ?? null) ? new Array<Dim>(length as number).fill(null) : null)];
  }
  const allowZero = intAttribute(node, "allowzero", 0) !== 0;
  if (x.shape?.every(isNumber)) return [typed(x.dataType, reshapedDims(x.shape, target, allowZero))];
  const shape = target.map(
    (dim, i): Dim => (dim === 0 && !allowZero ? (x.shape?.[i] ?? null) : dim === -1 ? null : dim),
  );
  // The rest is known if what is copied cancels: compare the other dimensions of source and target.
  const rest = target.indexOf(-1);
  if (rest >= 0 && x.shape) {
    const open = [...x.shape];
    const others = shape.filter((_, i) => i !== rest);
    for (const symbol of others.filter((dim) => typeof dim === "string")) {
      const at = open.indexOf(symbol);
      if (at < 0) return [typed(x.dataType, shape)];
      open.splice(at, 1);
    }
    const [total, known] = [product(open), product(others.filter((dim) => typeof dim !== "string"))];
    if (isNumber(total) && isNumber(known) && known > 0 && total % known === 0) shape[rest] = total / known;
    else if (typeof total === "string" && known === 1) shape[rest] = total;
  }
  return [typed(x.dataType, shape)];
};

const concat: Rule = ({ node, inputs }) => {
  const dataType = inputs.find((input) => input?.dataType)?.dataType ?? 0;
  const shapes = inputs.map((input) => input?.shape);
  const first = shapes.find((shape) => shape !== undefined);
  const axis = first ? normalizeAxis(intAttribute(node, "axis", 0), first.length) : null;
  if (!first || axis === null || shapes.some((shape) => shape && shape.length !== first.length))
    return [typed(dataType, null)];
  const shape = first.map((_, i): Dim => {
    const dims = shapes.map((s) => s?.[i] ?? null);
    if (i === axis) return sum(dims);
    return dims.find(isNumber) ?? dims.find((dim) => dim !== null) ?? null;
  });
  return [typed(dataType, shape)];
};

const split: Rule = ({ node, inputs, constants }) => {
  const x = inputs[0];
  if (!x) return null;
  const count = node.outputs.length;
  const axis = x.shape ? normalizeAxis(intAttribute(node, "axis", 0), x.shape.length) : null;
  if (!x.shape || axis === null) return node.outputs.map(() => typed(x.dataType, null));
  const given = listOperand(node, constants, 1, "split");
  const size = x.shape[axis]!;
  const chunk = isNumber(size) ? Math.ceil(size / count) : null;
  return node.outputs.map((_, i) => {
    let dim: Dim = null;
    if (given) dim = given[i] ?? null;
    else if (given === undefined && chunk !== null) dim = Math.max(0, Math.min(chunk, (size as number) - i * chunk));
    return typed(x.dataType, x.shape!.with(axis, dim));
  });
};

const slice = one((shape, { node, constants }) => {
  const starts = listOperand(node, constants, 1, "starts");
  const ends = listOperand(node, constants, 2, "ends");
  const given = listOperand(node, constants, 3, "axes");
  if (given === null) return shape.map(() => null);
  const axes = given ? normalizeAxes(given, shape.length) : starts?.map((_, i) => i);
  if (!axes) return shape.map(() => null);
  const steps = node.inputs[4] ? integers(constants[4]) : axes.map(() => 1);
  const out = [...shape];
  for (const [i, axis] of axes.entries()) {
    const [size, start, end, step] = [shape[axis]!, starts?.[i], ends?.[i], steps?.[i]];
    const isKnown = isNumber(size) && start !== undefined && end !== undefined && step;
    out[axis] = isKnown ? sliceRange({ size, start, end, step }).count : null;
  }
  return out;
});

const gather: Rule = ({ node, inputs: [x, index] }) => {
  if (!x) return null;
  const axis = x.shape ? normalizeAxis(intAttribute(node, "axis", 0), x.shape.length) : null;
  if (!x.shape || !index?.shape || axis === null) return [typed(x.dataType, null)];
  return [typed(x.dataType, [...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)])];
};

const matMul: Rule = ({ inputs: [a, b] }) => {
  if (!a) return null;
  if (!a.shape || !b?.shape || a.shape.length === 0 || b.shape.length === 0) return [typed(a.dataType, null)];
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const rows = a.shape.length > 1 ? [a.shape.at(-2)!] : [];
  const columns = b.shape.length > 1 ? [b.shape.at(-1)!] : [];
  return [typed(a.dataType, batch && [...batch, ...rows, ...columns])];
};

const gemm: Rule = ({ node, inputs: [a, b] }) => {
  if (!a) return null;
  const rows = a.shape?.[intAttribute(node, "transA", 0) ? 1 : 0];
  const columns = b?.shape?.[intAttribute(node, "transB", 0) ? 0 : 1];
  return [typed(a.dataType, rows === undefined || columns === undefined ? null : [rows, columns])];
};

const quantize: Rule = ({ node, inputs: [x, , zeroPoint] }) => {
  if (!x) return null;
  const dataType = zeroPoint?.dataType || intAttribute(node, "output_dtype", DataType.UINT8) || DataType.UINT8;
  return [typed(dataType, x.shape && [...x.shape])];
};

const pad = one((shape, { node, constants }) => {
  const pads = listOperand(node, constants, 1, "pads");
  const given = node.inputs[3] ? integers(constants[3]) : shape.map((_, i) => i);
  const axes = given && normalizeAxes(given, shape.length);
  if (!pads || !axes || pads.length !== 2 * axes.length) return shape.map(() => null);
  const out = [...shape];
  for (const [i, axis] of axes.entries()) {
    const added = pads[i]! + pads[i + axes.length]!;
    if (added !== 0) out[axis] = sum([out[axis]!, added]);
  }
  return out;
});

const squeeze = one((shape, { node, constants }) => {
  const given = listOperand(node, constants, 1, "axes");
  if (given === null) return null;
  if (given === undefined) return shape.every(isNumber) ? shape.filter((dim) => dim !== 1) : null;
  const axes = normalizeAxes(given, shape.length);
  return axes && shape.filter((_, i) => !axes.includes(i));
});

const unsqueeze = one((shape, { node, constants }) => {
  const axes = listOperand(node, constants, 1, "axes");
  return axes ? unsqueezedDims<Dim>(shape, axes, 1) : null;
});

const transpose = one((shape, { node }) => {
  const perm = intsAttribute(node, "perm") ?? shape.map((_, i) => shape.length - 1 - i);
  const axes = normalizeAxes(perm, shape.length);
  return axes?.length === shape.length ? axes.map((axis) => shape[axis]!) : null;
});

const flatten = one((shape, { node }) => {
  const axis = intAttribute(node, "axis", 1);
  const at = axis < 0 ? axis + shape.length : axis;
  return [product(shape.slice(0, at)), product(shape.slice(at))];
});

const expand: Rule = ({ inputs: [x], constants }) => {
  if (!x) return null;
  const target = integers(constants[1]);
  return [typed(x.dataType, x.shape && target ? broadcastShapes(x.shape, target) : null)];
};

const topK: Rule = ({ node, inputs: [x], constants }) => {
  if (!x) return null;
  const k = integers(constants[1])?.[0] ?? null;
  const axis = x.shape ? normalizeAxis(intAttribute(node, "axis", -1), x.shape.length) : null;
  const shape = x.shape && axis !== null ? x.shape.with(axis, k) : null;
  return [typed(x.dataType, shape), typed(DataType.INT64, shape && [...shape])];
};

const where: Rule = ({ inputs }) => [typed(inputs[1]?.dataType || (inputs[2]?.dataType ?? 0), broadcastAll(inputs))];

const rules = new Map<string, Rule>();
const add = (opTypes: string, rule: Rule): void => {
  for (const opType of opTypes.split(" ")) rules.set(opType, rule);
};
add(
  "Identity Relu LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Tanh Elu Selu Gelu Softplus Softsign Clip Neg Abs Exp Log Sqrt Reciprocal Erf Floor Ceil Round Sign Sin Cos Not Softmax LogSoftmax InstanceNormalization GroupNormalization CumSum",
  same,
);
add("Add Sub Mul Div Pow Mod Max Min Sum Mean", elementwise);
add("Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor", comparison);
add(
  "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp ArgMax ArgMin",
  reduce,
);
const firstOnly =
  (rule: Rule): Rule =>
  (context) =>
    rule(context)?.slice(0, 1) ?? null;
add("BatchNormalization LayerNormalization", firstOnly(same));
add("Dropout", (context) => {
  const x = same(context)?.[0];
  return x ? [x, typed(DataType.BOOL, x.shape && [...x.shape])] : null;
});
add("Reshape", reshape);
add("Concat", concat);
add("Split", split);
add("Slice", slice);
add("Gather", gather);
add("MatMul", matMul);
add("Gemm", gemm);
add("QuantizeLinear", quantize);
add("DequantizeLinear", ({ inputs: [x, scale] }) =>
  x ? [typed(scale?.dataType ?? 0, x.shape && [...x.shape])] : null,
);
add("Cast", ({ node, inputs: [x] }) => [typed(intAttribute(node, "to", 0), x?.shape && [...x.shape])]);
add("Pad", pad);
add("Squeeze", squeeze);
add("Unsqueeze", unsqueeze);
add("Transpose", transpose);
add("Flatten", flatten);
add("Expand", expand);
add("TopK", topK);
add("Where", where);
add("Conv", one(convShape));
add("ConvTranspose", one(convTransposeShape));
add("MaxPool AveragePool", (context) => {
  const x = one(poolShape)(context)?.[0];
  return x ? [x, typed(DataType.INT64, x.shape && [...x.shape])] : null;
});
add(
  "GlobalAveragePool GlobalMaxPool",
  one((shape) => shape.map((dim, i) => (i < 2 ? dim : 1))),
);
add("Resize", one(resizeShape));
add("Shape", ({ node, inputs: [x] }) => {
  if (!x?.shape) return [typed(DataType.INT64, [null])];
  const length = x.shape.slice(intAttribute(node, "start", 0), intAttribute(node, "end")).length;
  return [typed(DataType.INT64, [length])];
});
add("Constant", ({ node }) => {
  const value = node.attributes[0];
  if (value?.type === "TENSOR") return [typed(value.value.dataType, [...value.value.dims])];
  if (value?.type === "FLOAT") return [typed(DataType.FLOAT, [])];
  if (value?.type === "INT") return [typed(DataType.INT64, [])];
  if (value?.type === "FLOATS") return [typed(DataType.FLOAT, [value.value.length])];
  return value?.type === "INTS" ? [typed(DataType.INT64, [value.value.length])] : null;
});
add("ConstantOfShape", ({ node, constants }) => {
  const value = node.attributes.find(({ name }) => name === "value");
  return [typed(value?.type === "TENSOR" ? value.value.dataType : DataType.FLOAT, integers(constants[0]) ?? null)];
});

const contrib = new Map<string, Rule>([
  ["QuickGelu", same],
  ["Gelu", same],
  ["FastGelu", same],
  ["QuantizeLinear", quantize],
  ["DequantizeLinear", rules.get("DequantizeLinear")!],
]);

/** Types of a node's outputs; null (as a whole or for one output) where no rule knows. */
export function inferNode(context: InferContext): (ValueType | null)[] | null {
  const { domain, opType } = context.node;
  const table = domain === "" || domain === "ai.onnx" ? rules : domain === "com.microsoft" ? contrib : undefined;
  return table?.get(opType)?.(context) ?? null;
}
