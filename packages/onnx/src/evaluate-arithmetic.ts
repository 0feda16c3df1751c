import { DataType, type Tensor } from "./model.js";
import { broadcastDims, broadcastStrides, gatherStrided, sameClass } from "./strided.js";
import { elementCount, tensorData, tensorFrom } from "./tensor.js";

const unary: Readonly<Record<string, (x: number) => number>> = {
  Neg: (x) => -x,
  Sqrt: Math.sqrt,
  Reciprocal: (x) => 1 / x,
  Abs: Math.abs,
  Floor: Math.floor,
  Ceil: Math.ceil,
};

const binary: Readonly<Record<string, (x: number, y: number) => number>> = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Div: (x, y) => x / y,
};

const bigBinary: Readonly<Record<string, (x: bigint, y: bigint) => bigint>> = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Div: (x, y) => x / y, // truncates toward zero, as ONNX does for integers
};

/** Elementwise operators on float32, float64, int32 and int64 constants with broadcasting; null for anything else. */
export function evaluateArithmetic(opType: string, inputs: readonly Tensor[]): Tensor | null {
  const { dataType, dims } = inputs[0]!;
  const isFloat = dataType === DataType.FLOAT || dataType === DataType.DOUBLE;
  const one = unary[opType];
  if (one) {
    if (!isFloat) return null;
    const x = tensorData(inputs[0]!) as Float32Array;
    return tensorFrom({ dataType, dims, data: x.map(one) });
  }
  const other = inputs[1];
  const two = binary[opType];
  if (!two || !other || other.dataType !== dataType) return null;
  if (!isFloat && dataType !== DataType.INT64 && dataType !== DataType.INT32) return null;
  const outDims = broadcastDims(dims, other.dims);
  if (!outDims) return null;
  const [a, b] = [inputs[0]!, other].map((tensor) =>
    gatherStrided({ data: tensorData(tensor), dims: outDims, strides: broadcastStrides(tensor.dims, outDims) }),
  ) as [Float32Array, Float32Array];
  const out = sameClass(a, elementCount(outDims));
  if (out instanceof BigInt64Array) {
    const [x, y] = [a, b] as unknown as [BigInt64Array, BigInt64Array];
    if (opType === "Div" && y.includes(0n)) return null;
    const big = bigBinary[opType]!;
    for (let i = 0; i < out.length; i++) out[i] = big(x[i]!, y[i]!); // wraps like int64
  } else {
    if (!isFloat && opType === "Div" && b.includes(0)) return null;
    // int32 products are exact in int32 arithmetic only through imul.
    const combine = !isFloat && opType === "Mul" ? Math.imul : two;
    for (let i = 0; i < out.length; i++) (out as Float32Array)[i] = combine(a[i]!, b[i]!);
  }
  return tensorFrom({ dataType, dims: outDims, data: out });
}
