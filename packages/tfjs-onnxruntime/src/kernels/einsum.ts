import * as tf from "@tensorflow/tfjs";
import { convert } from "./convert.js";
import { kernel, lowering, sizeOf } from "./define.js";

kernel("Einsum", (call) => {
  const inputs = Object.values(call.inputs) as tf.TensorInfo[];
  const equation = (call.attrs["equation"] as string).replaceAll(/\s/g, "");
  const { allDims, idDims } = tf.backend_util.decodeEinsumEquation(equation, inputs.length);
  tf.backend_util.checkEinsumDimSizes(allDims.length, idDims, inputs as tf.Tensor[]);
  const [terms, result] = equation.split("->") as [string, string];
  const sizes = new Map<string, number>();
  terms.split(",").forEach((term, i) => {
    [...term].forEach((letter, axis) => {
      sizes.set(letter, inputs[i]!.shape[axis]!);
    });
  });
  const shape = [...result].map((letter) => sizes.get(letter)!);
  const { dtype } = inputs[0]!;
  // A sum over nothing
  if (inputs.some((x) => sizeOf(x.shape) === 0)) return call.tensor(call.zeros(shape, dtype));
  const values = inputs.map((x) => call.value(x));
  return call.tensor(call.record("Einsum", values, [{ shape, dtype }], { equation })[0]!);
});
lowering("Einsum", (c, node) => {
  const output = node.outputs[0]!;
  const type = output.dtype === "bool" ? "int32" : output.dtype;
  const names = node.inputs.map((x) => convert(c, c.plain(x), x.dtype, type));
  const y = c.emit("Einsum", names, { equation: node.attrs["equation"] as string });
  c.set(output, convert(c, y, type, output.dtype));
});
