import { intAttribute, intsAttribute } from "./attributes.js";
import { evaluateArithmetic } from "./evaluate-arithmetic.js";
import { DataType, type Node, type Tensor } from "./model.js";
import { normalizeAxes, normalizeAxis, reshapedDims, sliceRange, unsqueezedDims } from "./shape-rules.js";
import { gatherStrided, rowMajor, sameClass } from "./strided.js";
import { elementCount, type TensorArray, tensorData, tensorFrom } from "./tensor.js";

/** Numbers of an integer tensor. */
export function integers(tensor: Tensor | undefined): number[] | undefined {
  if (!tensor || (tensor.dataType !== DataType.INT64 && tensor.dataType !== DataType.INT32)) return undefined;
  if (!tensor.rawData && elementCount(tensor.dims) > 0) return undefined;
  return Array.from(tensorData(tensor) as BigInt64Array | Int32Array, Number);
}

/** Numbers of an optional list that is an input since some opset and an attribute before; undefined if absent, null if not constant. */
export function listOperand(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  position: number,
  name: string,
): number[] | undefined | null {
  const given = node.inputs[position];
  if (given) return integers(inputs[position]) ?? null;
  return intsAttribute(node, name);
}

const folded = new Set(
  "Identity Transpose Reshape Flatten Squeeze Unsqueeze Cast Concat Slice Gather Shape ConstantOfShape Range Add Sub Mul Div Neg Sqrt Reciprocal Abs Floor Ceil".split(
    " ",
  ),
);

/** True for operators that {@link evaluateNode} may compute. */
export function isFoldable(node: Node): boolean {
  return node.domain === "" && folded.has(node.opType);
}

/**
 * The value of a node whose inputs are all constant, without a name; null if this node, element type or combination is not covered (never a
 * guess). Float arithmetic is done in float64 and rounded once, which equals float32 arithmetic for + - * / and square root.
 */
export function evaluateNode(node: Node, inputs: readonly (Tensor | undefined)[]): Tensor | null {
  if (!isFoldable(node)) return null;
  const x = inputs[0];
  if (!x || x.dataType === DataType.STRING || (!x.rawData && elementCount(x.dims) > 0)) return null;
  for (const [i, name] of node.inputs.entries()) if (name !== "" && !inputs[i]) return null;
  switch (node.opType) {
    case "Identity":
      return { ...x };
    case "Transpose":
      return transposeTensor(x, intsAttribute(node, "perm") ?? x.dims.map((_, i) => x.dims.length - 1 - i));
    case "Reshape": {
      const target = integers(inputs[1]);
      return reshape(x, target && reshapedDims(x.dims, target, intAttribute(node, "allowzero", 0) !== 0));
    }
    case "Flatten": {
      const rank = x.dims.length;
      const axis = intAttribute(node, "axis", 1);
      const split = axis < 0 ? axis + rank : axis;
      return reshape(x, [elementCount(x.dims.slice(0, split)), elementCount(x.dims.slice(split))]);
    }
    case "Squeeze": {
      const given = listOperand(node, inputs, 1, "axes");
      const axes =
        given === undefined
          ? x.dims.flatMap((dim, i) => (dim === 1 ? [i] : []))
          : given && normalizeAxes(given, x.dims.length);
      if (!axes || axes.some((axis) => x.dims[axis] !== 1)) return null;
      return reshape(
        x,
        x.dims.filter((_, i) => !axes.includes(i)),
      );
    }
    case "Unsqueeze": {
      const axes = listOperand(node, inputs, 1, "axes");
      return reshape(x, axes && unsqueezedDims(x.dims, axes, 1));
    }
    case "Cast":
      return cast(x, intAttribute(node, "to", 0));
    case "Concat":
      return concat(inputs as Tensor[], intAttribute(node, "axis", 0));
    case "Slice":
      return slice(node, x, inputs);
    case "Gather":
      return gather(x, inputs[1], intAttribute(node, "axis", 0));
    case "Shape":
      return shapeTensor(node, x.dims);
    case "ConstantOfShape":
      return constantOfShape(node, x);
    case "Range":
      return range(inputs);
    default:
      return evaluateArithmetic(node.opType, inputs as Tensor[]);
  }
}

function reshape(x: Tensor, dims: readonly number[] | null | undefined): Tensor | null {
  if (!dims || elementCount(dims) !== elementCount(x.dims)) return null;
  return { name: "", dataType: x.dataType, dims: [...dims], rawData: x.rawData ?? new Uint8Array(0) };
}

/** Value of Shape for a static shape, with the start and end of opset 15. */
export function shapeTensor(node: Node, dims: readonly number[]): Tensor {
  const data = dims.slice(intAttribute(node, "start", 0), intAttribute(node, "end"));
  return tensorFrom({ dataType: DataType.INT64, dims: [data.length], data });
}

function wrap(dataType: number, dims: readonly number[], data: TensorArray): Tensor {
  return tensorFrom({ dataType, dims, data });
}

/** A constant with permuted axes: out.dims[i] = dims[perm[i]]; null if `perm` is no permutation or the type is packed. */
export function transposeTensor(x: Tensor, perm: readonly number[]): Tensor | null {
  const axes = normalizeAxes(perm, x.dims.length);
  if (!axes || axes.length !== x.dims.length) return null;
  const data = tensorData(x);
  if (data.length !== elementCount(x.dims)) return null;
  const strides = rowMajor(x.dims);
  const dims = axes.map((axis) => x.dims[axis]!);
  return wrap(x.dataType, dims, gatherStrided({ data, dims, strides: axes.map((axis) => strides[axis]!) }));
}

const intRange: Readonly<Record<number, readonly [number, number]>> = {
  [DataType.UINT8]: [0, 255],
  [DataType.INT8]: [-128, 127],
  [DataType.UINT16]: [0, 65535],
  [DataType.INT16]: [-32768, 32767],
  [DataType.INT32]: [-(2 ** 31), 2 ** 31 - 1],
  [DataType.UINT32]: [0, 2 ** 32 - 1],
  [DataType.INT64]: [-(2 ** 53), 2 ** 53],
};

/** Cast between float32/64, bool and integers; null where ONNX leaves the result open (out of range, NaN) or for 16-bit floats. */
function cast(x: Tensor, to: number): Tensor | null {
  if (to === x.dataType) return { ...x };
  const isNumber = (type: number): boolean =>
    type === DataType.FLOAT || type === DataType.DOUBLE || type === DataType.BOOL || type in intRange;
  if (!isNumber(x.dataType) || !isNumber(to)) return null;
  const limits = intRange[to];
  const values: number[] = [];
  for (const item of tensorData(x)) {
    const value = Number(item);
    if (typeof item === "bigint" && !Number.isSafeInteger(value)) return null;
    if (!limits) values.push(to === DataType.BOOL ? Number(value !== 0) : value);
    else {
      const whole = Math.trunc(value);
      if (!(whole >= limits[0] && whole <= limits[1])) return null;
      values.push(whole);
    }
  }
  return tensorFrom({ dataType: to, dims: x.dims, data: values });
}

function concat(parts: readonly Tensor[], axisGiven: number): Tensor | null {
  const first = parts[0]!;
  const axis = normalizeAxis(axisGiven, first.dims.length);
  if (axis === null) return null;
  const fits = parts.every(
    ({ dims, dataType }) =>
      dataType === first.dataType &&
      dims.length === first.dims.length &&
      dims.every((dim, i) => i === axis || dim === first.dims[i]),
  );
  if (!fits) return null;
  const dims = first.dims.with(
    axis,
    parts.reduce((sum, part) => sum + part.dims[axis]!, 0),
  );
  const arrays = parts.map(tensorData) as Float32Array[];
  const out = sameClass(arrays[0]!, elementCount(dims)) as Float32Array;
  if (arrays.some((array, i) => array.length !== elementCount(parts[i]!.dims))) return null;
  const outer = elementCount(dims.slice(0, axis));
  let at = 0;
  for (let o = 0; o < outer; o++)
    for (const array of arrays) {
      const run = array.length / outer;
      out.set(array.subarray(o * run, (o + 1) * run), at);
      at += run;
    }
  return wrap(first.dataType, dims, out);
}

function slice(node: Node, x: Tensor, inputs: readonly (Tensor | undefined)[]): Tensor | null {
  const starts = listOperand(node, inputs, 1, "starts");
  const ends = listOperand(node, inputs, 2, "ends");
  if (!starts || !ends) return null;
  const given = listOperand(node, inputs, 3, "axes");
  const axes = given === undefined ? starts.map((_, i) => i) : given && normalizeAxes(given, x.dims.length);
  const steps = node.inputs[4] ? integers(inputs[4]) : starts.map(() => 1);
  if (!axes || !steps || steps.includes(0)) return null;
  const dims = [...x.dims];
  const strides = rowMajor(x.dims);
  let base = 0;
  for (const [i, axis] of axes.entries()) {
    const step = steps[i]!;
    const { start, count } = sliceRange({ size: x.dims[axis]!, start: starts[i]!, end: ends[i]!, step });
    base += start * strides[axis]!;
    dims[axis] = count;
    strides[axis] = strides[axis]! * step;
  }
  const data = tensorData(x);
  if (data.length !== elementCount(x.dims)) return null;
  return wrap(x.dataType, dims, gatherStrided({ data, dims, strides, base }));
}

function gather(x: Tensor, indexTensor: Tensor | undefined, axisGiven: number): Tensor | null {
  const axis = normalizeAxis(axisGiven, x.dims.length);
  const indices = integers(indexTensor);
  if (axis === null || !indices || !indexTensor) return null;
  const size = x.dims[axis]!;
  const data = tensorData(x) as Float32Array;
  if (data.length !== elementCount(x.dims)) return null;
  const dims = [...x.dims.slice(0, axis), ...indexTensor.dims, ...x.dims.slice(axis + 1)];
  const outer = elementCount(x.dims.slice(0, axis));
  const inner = elementCount(x.dims.slice(axis + 1));
  const out = sameClass(data, elementCount(dims)) as Float32Array;
  let at = 0;
  for (let o = 0; o < outer; o++)
    for (const index of indices) {
      const i = normalizeAxis(index, size);
      if (i === null) return null;
      const from = (o * size + i) * inner;
      out.set(data.subarray(from, from + inner), at);
      at += inner;
    }
  return wrap(x.dataType, dims, out);
}

/** Constants grow no larger than this by Range and ConstantOfShape: the model would outgrow the nodes it saves. */
const MAX_GENERATED = 1 << 16;

function constantOfShape(node: Node, x: Tensor): Tensor | null {
  const dims = integers(x);
  if (!dims || dims.some((dim) => dim < 0) || elementCount(dims) > MAX_GENERATED) return null;
  const value = node.attributes.find(({ name }) => name === "value");
  const seed = value?.type === "TENSOR" ? value.value : tensorFrom({ dataType: DataType.FLOAT, dims: [1], data: [0] });
  if (elementCount(seed.dims) !== 1) return null;
  return wrap(seed.dataType, dims, gatherStrided({ data: tensorData(seed), dims, strides: dims.map(() => 0) }));
}

function range(inputs: readonly (Tensor | undefined)[]): Tensor | null {
  const dataType = inputs[0]!.dataType;
  const values = inputs.map(integers);
  const [start, limit, delta] = values.map((list) => list?.[0]);
  if (start === undefined || limit === undefined || !delta) return null;
  const count = Math.max(0, Math.ceil((limit - start) / delta));
  if (count > MAX_GENERATED) return null;
  return tensorFrom({ dataType, dims: [count], data: Array.from({ length: count }, (_, i) => start + i * delta) });
}
