import * as tf from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";

/** Arrays and plain objects of tensors; strings, booleans and null may be among them. */
export type TensorTree = tf.Tensor | string | boolean | null | undefined | TensorTree[] | { [key: string]: TensorTree };

const isLeaf = (node: unknown): node is string | boolean | null | undefined =>
  node === null || node === undefined || typeof node === "string" || typeof node === "boolean";

/** Tensors of a tree in order of keys as they stand. */
export function tensorsOf(tree: unknown): tf.Tensor[] {
  if (tree instanceof tf.Tensor) return [tree];
  if (isLeaf(tree) || typeof tree !== "object") return [];
  return Object.values(tree as object).flatMap(tensorsOf);
}

/** The same tree with other tensors; `replace` is called in the order of {@link tensorsOf}. */
export function mapTensors<T>(tree: T, replace: (tensor: tf.Tensor) => tf.Tensor): T {
  if (tree instanceof tf.Tensor) return replace(tree) as T;
  if (isLeaf(tree) || typeof tree !== "object") return tree;
  if (Array.isArray(tree)) return tree.map((item) => mapTensors(item, replace)) as T;
  return Object.fromEntries(Object.entries(tree as object).map(([key, item]) => [key, mapTensors(item, replace)])) as T;
}

/**
 * Text that is equal for trees of the same structure, shapes and dtypes.
 * @throws {@link EngineError} `COMPILE_SIGNATURE` for a number or an object with a class
 */
export function signatureOf(tree: unknown, path = "argument"): string {
  if (tree instanceof tf.Tensor) return `${tree.dtype}[${tree.shape}]`;
  if (isLeaf(tree)) return JSON.stringify(tree) ?? "-";
  if (typeof tree === "number") {
    throw new EngineError({
      code: "COMPILE_SIGNATURE",
      message: `${path} of a compiled function is the number ${tree}, which would be built into the graph.`,
      hint: "Pass tf.scalar(value).",
    });
  }
  const isPlain = Array.isArray(tree) || Object.getPrototypeOf(tree) === Object.prototype;
  if (typeof tree !== "object" || !isPlain) {
    throw new EngineError({
      code: "COMPILE_SIGNATURE",
      message: `${path} of a compiled function is ${typeof tree === "object" ? `a ${tree?.constructor?.name}` : `a ${typeof tree}`}.`,
      hint: "Pass tensors, or arrays and plain objects of tensors.",
    });
  }
  const items = Object.entries(tree as object).map(([key, item]) => `${key}:${signatureOf(item, `${path}.${key}`)}`);
  return Array.isArray(tree) ? `[${items}]` : `{${items}}`;
}
