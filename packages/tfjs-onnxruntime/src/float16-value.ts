import { DataType } from "@seg/onnx";
import { record, type Value } from "./graph.js";
import { lowerings } from "./lower/registry.js";

const WIDEN = "Widen";

/** A float32 value whose data is float16. */
export const float16Value = (bits: Uint16Array, shape: readonly number[]): Value => {
  return { node: null, index: 0, shape, dtype: "float32", host: bits, storedAs: "float16" };
};

/** A stored float16 value as float32, widened by the graph that uses it. */
export function widen(stored: Value): Value {
  const { shape } = stored;
  return record({ op: WIDEN, inputs: [stored], outputs: [{ shape, dtype: "float32" }] })[0]!;
}

lowerings.set(WIDEN, (context, { inputs, outputs }) => {
  const wide = context.emit("Cast", [context.plain(inputs[0]!)], { to: DataType.FLOAT });
  context.set(outputs[0]!, wide);
});
