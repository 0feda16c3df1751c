import type * as tf from "@tensorflow/tfjs";
import type { Value } from "../graph.js";
import { kernel, lowering, sizeOf } from "./define.js";

// A complex64 tensor is a pair of float32 graph values: making and taking apart moves nothing.
const view = { status: "view", anyDtype: true } as const;
kernel("Complex", (call) => call.complex(call.value(call.inputs["real"]!), call.value(call.inputs["imag"]!)), view);
kernel("Real", (call) => call.tensor(call.parts(call.inputs["input"]!)[0]), view);
kernel("Imag", (call) => call.tensor(call.parts(call.inputs["input"]!)[1]), view);

kernel(
  "ComplexAbs",
  (call) => {
    const x = call.inputs["x"]!;
    return call.tensor(call.record("ComplexAbs", call.parts(x), [{ shape: x.shape, dtype: "float32" }])[0]!);
  },
  { status: "composed", anyDtype: true },
);
// m sqrt((re / m)^2 + (im / m)^2) with m the larger part: squares of small numbers would be 0, of large ones infinite
lowering("ComplexAbs", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [re, im] = names.map((x) => c.emit("Abs", [x])) as [string, string];
  const largest = c.emit("Max", [re, im]);
  const plain = c.emit("Or", [c.emit("Equal", [largest, c.scalar(0, "float32")]), c.emit("IsInf", [largest])]);
  const scale = c.emit("Where", [plain, c.scalar(1, "float32"), largest]);
  const square = (x: string) => {
    const scaled = c.emit("Div", [x, scale]);
    return c.emit("Mul", [scaled, scaled]);
  };
  const length = c.emit("Sqrt", [c.emit("Add", [square(re), square(im)])]);
  c.set(node.outputs[0]!, c.emit("Mul", [length, scale]), perm);
});

for (const [name, inverse] of [
  ["FFT", 0],
  ["IFFT", 1],
] as const) {
  kernel(
    name,
    (call) => {
      const input = call.inputs["input"]!;
      const part = { shape: input.shape, dtype: "float32" as const };
      const [real, imag] = call.record("FFT", call.parts(input), [part, part], { inverse }) as [Value, Value];
      return call.complex(real, imag);
    },
    { anyDtype: true },
  );
}
// DFT along the last axis of [batch, n], with the two parts as a last axis of their own
lowering("FFT", (c, node) => {
  const { shape } = node.outputs[0]!;
  const n = shape[shape.length - 1]!;
  const batch = sizeOf(shape) / n;
  const columns = node.inputs.map((x) => c.emit("Reshape", [c.plain(x), c.int64([batch, n, 1])]));
  const pairs = c.emit("Concat", columns, { axis: 2 });
  const spectrum = c.emit("DFT", [pairs], { axis: 1, inverse: node.attrs["inverse"] as number, onesided: 0 });
  const parts = c.emitMany("Split", [spectrum, c.int64([1, 1])], 2, { axis: 2 });
  node.outputs.forEach((output, i) => {
    c.set(output, c.emit("Reshape", [parts[i]!, c.int64(shape)]));
  });
});

/** A tensor as a pair of float32 values; a real one has imaginary part 0. */
export type Parts = readonly [Value, Value];

/** Whether a call has a complex operand. */
export const isComplex = (...infos: readonly tf.TensorInfo[]): boolean => infos.some((x) => x.dtype === "complex64");
