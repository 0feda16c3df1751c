import * as tf from "@tensorflow/tfjs";
import { registerBroadcastGradients } from "./gradients-broadcast.js";
import { registerComplexRefusals } from "./gradients-complex.js";
import { registerIndexGradients } from "./gradients-index.js";
import { registerStructureGradients } from "./gradients-structure.js";

/** Piecewise constant kernels: tfjs has no gradient for them and throws when a loss passes one; the gradient is zero. */
const CONSTANT: Readonly<Record<string, readonly string[]>> = {
  Equal: ["a", "b"],
  NotEqual: ["a", "b"],
  Greater: ["a", "b"],
  GreaterEqual: ["a", "b"],
  Less: ["a", "b"],
  LessEqual: ["a", "b"],
  LogicalAnd: ["a", "b"],
  LogicalOr: ["a", "b"],
  LogicalXor: ["a", "b"],
  LogicalNot: ["x"],
  ArgMax: ["x"],
  ArgMin: ["x"],
  IsNan: ["x"],
  IsInf: ["x"],
  IsFinite: ["x"],
};

/** Registers what tfjs lacks and replaces what is wrong in it; what is right stays. */
export function registerMissingGradients(): void {
  for (const [kernelName, inputs] of Object.entries(CONSTANT)) {
    if (tf.getGradient(kernelName)) continue;
    tf.registerGradient({
      kernelName,
      inputsToSave: [...inputs],
      gradFunc: (_dy, saved) =>
        Object.fromEntries(inputs.map((name, i) => [name, () => tf.zeros(saved[i]!.shape, "float32")])),
    });
  }
  registerBroadcastGradients();
  registerIndexGradients();
  registerStructureGradients();
  registerComplexRefusals();
}
