import * as tf from "@tensorflow/tfjs";
import { addGradient } from "./gradients-register.js";

const zeros = (x: tf.Tensor) => () => tf.zeros(x.shape, "float32");

/** Gradients of kernels that pick or place elements by index. */
export function registerIndexGradients(): void {
  addGradient({
    kernelName: "GatherNd",
    inputsToSave: ["params", "indices"],
    gradFunc: (dy, saved) => {
      const [params, indices] = saved as [tf.Tensor, tf.Tensor];
      return {
        params: () => tf.scatterND(indices, dy as tf.Tensor, params.shape as never),
        indices: zeros(indices),
      };
    },
  });
  addGradient({
    kernelName: "ScatterNd",
    inputsToSave: ["indices"],
    gradFunc: (dy, saved) => {
      const [indices] = saved as [tf.Tensor];
      return { updates: () => tf.gatherND(dy as tf.Tensor, indices), indices: zeros(indices) };
    },
  });
  // Of updates to one place the last is in the result, so only it has a gradient: number them, place the numbers, look who won.
  addGradient({
    kernelName: "TensorScatterUpdate",
    inputsToSave: ["tensor", "indices", "updates"],
    gradFunc: (dyOne, saved) => {
      const dy = dyOne as tf.Tensor;
      const [tensor, indices, updates] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      const depth = indices.shape[indices.rank - 1]!;
      const places = indices.shape.slice(0, -1);
      return {
        tensor: () => tf.tensorScatterUpdate(dy, indices, tf.zeros(updates.shape)),
        indices: zeros(indices),
        updates: () => {
          const count = places.reduce((a, b) => a * b, 1);
          const numbers = tf.reshape(tf.range(1, count + 1, 1, "int32"), places);
          const placed = tf.tensorScatterUpdate(tf.zeros(tensor.shape.slice(0, depth), "int32"), indices, numbers);
          const won = tf.cast(tf.equal(tf.gatherND(placed, indices), numbers), "float32");
          const wide = tf.reshape(won, [...places, ...new Array<number>(updates.rank - places.length).fill(1)]);
          return tf.mul(tf.gatherND(dy, indices), wide);
        },
      };
    },
  });
  // The gradient of the values goes back to where they were taken from.
  addGradient({
    kernelName: "TopK",
    inputsToSave: ["x"],
    outputsToSave: [false, true],
    gradFunc: (dys, saved) => {
      const [dy] = dys as tf.Tensor[] as [tf.Tensor];
      const [x, indices] = saved as [tf.Tensor, tf.Tensor];
      return {
        x: () => {
          const length = x.shape[x.rank - 1]!;
          const k = indices.shape[indices.rank - 1]!;
          const rows = x.size / length;
          const starts = tf.range(0, rows * length, length, "int32");
          const flat = tf.add(tf.reshape(indices, [rows, k]), tf.reshape(starts, [rows, 1]));
          const placed = tf.scatterND(tf.reshape(flat, [rows * k, 1]), tf.reshape(dy, [rows * k]), [x.size]);
          return tf.reshape(placed, x.shape);
        },
      };
    },
  });
}
