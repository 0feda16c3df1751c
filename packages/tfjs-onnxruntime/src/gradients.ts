import * as tf from "@tensorflow/tfjs";

/** Piecewise constant kernels: tfjs has no gradient for them and throws when a loss passes one; the gradient is zero. */
const CONSTANT = [
  "Equal",
  "NotEqual",
  "Greater",
  "GreaterEqual",
  "Less",
  "LessEqual",
  "LogicalAnd",
  "LogicalOr",
  "LogicalXor",
  "LogicalNot",
  "ArgMax",
  "ArgMin",
  "IsNan",
  "IsInf",
  "IsFinite",
];

/** Registers what tfjs lacks; existing gradients stay. */
export function registerMissingGradients(): void {
  for (const kernelName of CONSTANT) {
    if (tf.getGradient(kernelName)) continue;
    tf.registerGradient({
      kernelName,
      inputsToSave:
        kernelName.startsWith("Arg") || kernelName.startsWith("Is") || kernelName === "LogicalNot" ? ["x"] : ["a", "b"],
      gradFunc: (_dy, saved) => {
        const inputs = saved as tf.Tensor[];
        const zero = (t: tf.Tensor) => () => tf.zeros(t.shape, "float32");
        return inputs.length === 1 ? { x: zero(inputs[0]!) } : { a: zero(inputs[0]!), b: zero(inputs[1]!) };
      },
    });
  }
}
