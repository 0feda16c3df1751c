import { DataType } from "@seg/onnx";
import type { LowerContext } from "../lower/context.js";

/** ONNX element type of a tfjs dtype that may be in a graph. */
const elementType: Readonly<Record<string, number>> = {
  float32: DataType.FLOAT,
  int32: DataType.INT32,
  bool: DataType.BOOL,
};

/** Magnitudes from here on do not go through int64; as multiples of 2^10 at least they are rounded anyway, and count as 0. */
const INT64_LIMIT = 2 ** 62;

/**
 * ToInt32 of JavaScript: truncated, modulo 2^32, NaN and infinities 0. ONNX Runtime's Cast saturates instead, so the number goes
 * through int64, of which the low half is kept. The divisor is a constant: this integer Mod cannot trap.
 *
 * @param limit - {@link INT64_LIMIT} in the type of x @param zero - 0 in the type of x
 */
function toInt32(c: LowerContext, x: string, limit: string, zero: string): string {
  const safe = c.emit("Where", [c.emit("Less", [c.emit("Abs", [x]), limit]), x, zero]);
  const whole = c.emit("Cast", [safe], { to: DataType.INT64 });
  const half = c.int64([2 ** 31], true);
  const low = c.emit("Mod", [c.emit("Add", [whole, half]), c.int64([2 ** 32], true)]);
  return c.emit("Cast", [c.emit("Sub", [low, half])], { to: DataType.INT32 });
}

/** {@link toInt32} of float32. */
export function floatToInt(c: LowerContext, x: string): string {
  return toInt32(c, x, c.float([INT64_LIMIT], []), c.float([0], []));
}

export const toDouble = (c: LowerContext, x: string): string => c.emit("Cast", [x], { to: DataType.DOUBLE });

/** {@link toInt32} of float64. */
export function doubleToInt(c: LowerContext, x: string): string {
  return toInt32(c, x, toDouble(c, c.float([INT64_LIMIT], [])), toDouble(c, c.float([0], [])));
}

/** `x` of dtype `from` as `to`, by tfjs's rules of cast: NaN is true; float32 to int32 is {@link floatToInt}. */
export function convert(c: LowerContext, x: string, from: string, to: string): string {
  if (from === to) return x;
  if (from === "float32" && to === "int32") return floatToInt(c, x);
  return c.emit("Cast", [x], { to: elementType[to]! });
}

/**
 * A computed `x` put into a tensor of dtype `to`, as tfjs stores numbers into typed arrays: a boolean is its whole part, so 0.9 and NaN
 * are false.
 */
export function store(c: LowerContext, x: string, from: string, to: string): string {
  return from === "float32" && to === "bool" ? convert(c, floatToInt(c, x), "int32", "bool") : convert(c, x, from, to);
}
