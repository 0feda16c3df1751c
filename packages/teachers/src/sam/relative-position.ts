import * as tf from "@tensorflow/tfjs";

/** Selection matrices by `query,key,length`; plain numbers, so they outlive backends and cost nothing to share. */
const selections = new Map<string, Float32Array>();

/**
 * Rows of a relative position table for every (query, key) pair of one axis: R[i, j] = table[i - j + key - 1] for equal sizes.
 * A table of another length is resized linearly first (align_corners false). Both are linear, so they are one constant matrix; a
 * matrix product keeps the gradient free of scatter operations.
 *
 * @param table - [L, d]
 * @returns [query, key, d]
 */
export function relativeTable(table: tf.Tensor, query: number, key: number): tf.Tensor3D {
  const [length = 0, depth = 0] = table.shape;
  const select = tf.tensor2d(selectionMatrix(query, key, length), [query * key, length]);
  return tf.reshape(tf.matMul(select, table as tf.Tensor2D), [query, key, depth]);
}

function selectionMatrix(query: number, key: number, length: number): Float32Array {
  const name = `${query},${key},${length}`;
  const known = selections.get(name);
  if (known) return known;
  const distances = 2 * Math.max(query, key) - 1;
  const matrix = new Float32Array(query * key * length);
  const queryScale = Math.max(key / query, 1);
  const keyScale = Math.max(query / key, 1);
  for (let i = 0; i < query; i++) {
    for (let j = 0; j < key; j++) {
      const distance = Math.trunc(i * queryScale - j * keyScale + (key - 1) * keyScale);
      const source = Math.min(Math.max(((distance + 0.5) * length) / distances - 0.5, 0), length - 1);
      const low = Math.floor(source);
      const weight = source - low;
      const row = (i * key + j) * length;
      matrix[row + low]! += 1 - weight;
      if (weight > 0) matrix[row + low + 1]! += weight;
    }
  }
  selections.set(name, matrix);
  return matrix;
}
