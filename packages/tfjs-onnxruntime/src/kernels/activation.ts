import type { LowerContext } from "../lower/context.js";
import { kernel, lowering } from "./define.js";

/** y = x sigmoid(x) */
kernel("SegSilu", (call) => {
  const x = call.inputs["x"]!;
  return call.tensor(call.record("SegSilu", [call.value(x)], [{ shape: x.shape, dtype: "float32" }])[0]!);
});
lowering("SegSilu", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const y = c.contrib.has("QuickGelu")
    ? c.emit("QuickGelu", [name], { alpha: { float: 1 } }, "com.microsoft")
    : c.emit("Mul", [name, c.emit("Sigmoid", [name])]);
  c.set(node.outputs[0]!, y, perm);
});

/** dx = dy (s + y - y s) with s = sigmoid(x), y = x s: saves recomputing x (1 - s). */
kernel(
  "SegSiluGrad",
  (call) => {
    const { dy, x, y } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
    const values = [call.value(dy!), call.value(x!), call.value(y!)];
    return call.tensor(call.record("SegSiluGrad", values, [{ shape: x!.shape, dtype: "float32" }])[0]!);
  },
  { status: "composed" },
);
lowering("SegSiluGrad", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [dy, x, y] = names;
  const s = c.emit("Sigmoid", [x!]);
  const slope = c.emit("Add", [s, c.emit("Sub", [y!, c.emit("Mul", [y!, s])])]);
  c.set(node.outputs[0]!, c.emit("Mul", [dy!, slope]), perm);
});

const half = (c: LowerContext) => c.scalar(0.5, "float32");
const normalCdf = (c: LowerContext, x: string) => {
  const erf = c.emit("Erf", [c.emit("Mul", [x, c.scalar(Math.SQRT1_2, "float32")])]);
  return c.emit("Mul", [c.emit("Add", [erf, c.scalar(1, "float32")]), half(c)]);
};

/** y = x Phi(x), erf form */
kernel("SegGelu", (call) => {
  const x = call.inputs["x"]!;
  return call.tensor(call.record("SegGelu", [call.value(x)], [{ shape: x.shape, dtype: "float32" }])[0]!);
});
lowering("SegGelu", (c, node) => {
  const { name, perm } = c.preferred(node.inputs[0]!);
  const y = c.contrib.has("Gelu")
    ? c.emit("Gelu", [name], {}, "com.microsoft")
    : c.emit("Mul", [name, normalCdf(c, name)]);
  c.set(node.outputs[0]!, y, perm);
});

/** dx = dy (Phi(x) + x phi(x)) */
kernel(
  "SegGeluGrad",
  (call) => {
    const { dy, x } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
    return call.tensor(
      call.record("SegGeluGrad", [call.value(dy!), call.value(x!)], [{ shape: x!.shape, dtype: "float32" }])[0]!,
    );
  },
  { status: "composed" },
);
lowering("SegGeluGrad", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [dy, x] = names;
  const square = c.emit("Mul", [c.emit("Mul", [x!, x!]), c.scalar(-0.5, "float32")]);
  const density = c.emit("Mul", [c.emit("Exp", [square]), c.scalar(1 / Math.sqrt(2 * Math.PI), "float32")]);
  const slope = c.emit("Add", [normalCdf(c, x!), c.emit("Mul", [x!, density])]);
  c.set(node.outputs[0]!, c.emit("Mul", [dy!, slope]), perm);
});

/** max(x, 0) - x t + log(1 + exp(-|x|)) */
kernel(
  "SegSigmoidCrossEntropy",
  (call) => {
    const { x, t } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
    const values = [call.value(x!), call.value(t!)];
    return call.tensor(call.record("SegSigmoidCrossEntropy", values, [{ shape: x!.shape, dtype: "float32" }])[0]!);
  },
  { status: "composed" },
);
// log(1 + exp(-|x|)) = -log(sigmoid(|x|)): both have vector forms, the runtime's Softplus computes two branches of scalar ones.
lowering("SegSigmoidCrossEntropy", (c, node) => {
  const { names, perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const [x, t] = names as [string, string];
  const rest = c.emit("Log", [c.emit("Sigmoid", [c.emit("Abs", [x])])]);
  const linear = c.emit("Sub", [c.emit("Relu", [x]), c.emit("Mul", [x, t])]);
  c.set(node.outputs[0]!, c.emit("Sub", [linear, rest]), perm);
});
