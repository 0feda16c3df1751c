import * as tf from "@tensorflow/tfjs";
import { replaceGradient } from "./gradients-register.js";

/** The gradient of an operand that was broadcast to the shape of `gradient`: summed over what it was repeated along. */
function unbroadcast(gradient: tf.Tensor, shape: number[]): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, gradient.shape);
  return tf.reshape(axes.length > 0 ? tf.sum(gradient, axes) : gradient, shape);
}

/** Gradient of an elementwise kernel of a and b with a local slope each; tfjs's own have the shape of the result, not of the operand. */
function elementwise(
  kernelName: string,
  slopes: (dy: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => [() => tf.Tensor, () => tf.Tensor],
): void {
  replaceGradient({
    kernelName,
    inputsToSave: ["a", "b"],
    gradFunc: (dy, saved) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const [da, db] = slopes(dy as tf.Tensor, a, b);
      return { a: () => unbroadcast(da(), a.shape), b: () => unbroadcast(db(), b.shape) };
    },
  });
}

/** Gradients that tfjs gets wrong when operands are broadcast. */
export function registerBroadcastGradients(): void {
  elementwise("SquaredDifference", (dy, a, b) => [
    () => tf.mul(dy, tf.mul(tf.sub(a, b), 2)),
    () => tf.mul(dy, tf.mul(tf.sub(b, a), 2)),
  ]);
  // Ties go to a, as tfjs has it.
  elementwise("Maximum", (dy, a, b) => [
    () => tf.mul(dy, tf.cast(tf.greaterEqual(a, b), "float32")),
    () => tf.mul(dy, tf.cast(tf.less(a, b), "float32")),
  ]);
  elementwise("Minimum", (dy, a, b) => [
    () => tf.mul(dy, tf.cast(tf.lessEqual(a, b), "float32")),
    () => tf.mul(dy, tf.cast(tf.greater(a, b), "float32")),
  ]);
  // tfjs's reads the shape of the operand from an attribute that the kernel does not have.
  replaceGradient({
    kernelName: "BroadcastTo",
    inputsToSave: ["x"],
    gradFunc: (dy, saved) => ({ x: () => unbroadcast(dy as tf.Tensor, saved[0]!.shape) }),
  });
  // y = op(a) op(b), op transposing where asked: the gradient of each is a product with the other, summed over repeated batches.
  replaceGradient({
    kernelName: "BatchMatMul",
    inputsToSave: ["a", "b"],
    gradFunc: (dyOne, saved, attrs) => {
      const dy = dyOne as tf.Tensor;
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const { transposeA, transposeB } = attrs as unknown as { transposeA: boolean; transposeB: boolean };
      return {
        a: () => {
          const da = transposeA ? tf.matMul(b, dy, transposeB, true) : tf.matMul(dy, b, false, !transposeB);
          return unbroadcast(da, a.shape);
        },
        b: () => {
          const db = transposeB ? tf.matMul(dy, a, true, transposeA) : tf.matMul(a, dy, !transposeA, false);
          return unbroadcast(db, b.shape);
        },
      };
    },
  });
}
