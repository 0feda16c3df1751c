import { DataType } from "@seg/onnx";
import type { LowerContext } from "../lower/context.js";

/** ONNX element type of a tfjs dtype that may be in a graph. */
const elementType: Readonly<Record<string, number>> = {
  float32: DataType.FLOAT,
  int32: DataType.INT32,
  bool: DataType.BOOL,
};

/** 2^63: from here on a float is a multiple of 2^32, hence 0 as an int32. */
const INT64_LIMIT = 2 ** 63;

/**
 * float32 to int32 as JavaScript's ToInt32: truncated, modulo 2^32, NaN and infinities 0. ONNX Runtime's own Cast saturates, so it
 * goes through int64, whose low half is the result.
 */
export function floatToInt(c: LowerContext, x: string): string {
  const representable = c.emit("Less", [c.emit("Abs", [x]), c.float([INT64_LIMIT], [])]);
  const safe = c.emit("Where", [representable, x, c.float([0], [])]);
  return c.emit("Cast", [c.emit("Cast", [safe], { to: DataType.INT64 })], { to: DataType.INT32 });
}

/** The same from float64. */
export function doubleToInt(c: LowerContext, x: string): string {
  const double = (value: number) => c.emit("Cast", [c.float([value], [])], { to: DataType.DOUBLE });
  const representable = c.emit("Less", [c.emit("Abs", [x]), double(INT64_LIMIT)]);
  const safe = c.emit("Where", [representable, x, double(0)]);
  return c.emit("Cast", [c.emit("Cast", [safe], { to: DataType.INT64 })], { to: DataType.INT32 });
}

/** `x` of dtype `from` as `to`, by tfjs's rules of cast: NaN is true; float32 to int32 is {@link floatToInt}. */
export function convert(c: LowerContext, x: string, from: string, to: string): string {
  if (from === to) return x;
  if (from === "float32" && to === "int32") return floatToInt(c, x);
  return c.emit("Cast", [x], { to: elementType[to]! });
}

export const toDouble = (c: LowerContext, x: string): string => c.emit("Cast", [x], { to: DataType.DOUBLE });
