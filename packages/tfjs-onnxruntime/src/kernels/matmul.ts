import * as tf from "@tensorflow/tfjs";
import type { Value } from "../graph.js";
import type { LowerContext } from "../lower/context.js";
import { isIdentity } from "../lower/context.js";
import { engineConfig } from "../settings.js";
import { convert } from "./convert.js";
import { type Call, kernel, lowering, sizeOf } from "./define.js";
import { epilogue, type FusedAttrs } from "./epilogue.js";

interface Product {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Shape of a @ b, batches broadcast. */
export function productShape(
  a: readonly number[],
  b: readonly number[],
  { transposeA, transposeB }: Product,
): number[] {
  const [rankA, rankB] = [a.length, b.length];
  const inner = [a[rankA - (transposeA ? 2 : 1)], b[rankB - (transposeB ? 1 : 2)]];
  const [batchA, batchB] = [a.slice(0, -2), b.slice(0, -2)];
  tf.util.assert(
    inner[0] === inner[1],
    () =>
      `Error in matMul: inner shapes (${inner[0]}) and (${inner[1]}) of Tensors with shapes ${a} and ${b} and ` +
      `transposeA=${transposeA} and transposeB=${transposeB} must match.`,
  );
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  return [...batch, a[rankA - (transposeA ? 1 : 2)]!, b[rankB - (transposeB ? 2 : 1)]!];
}

/** Records a @ b. A sum over nothing is zero. */
export function product(call: Call, a: tf.TensorInfo, b: tf.TensorInfo, attrs: Product): Value {
  const shape = productShape(a.shape, b.shape, attrs);
  const dtype = a.dtype === "float32" || b.dtype === "float32" ? "float32" : "int32";
  if (sizeOf(a.shape) === 0) return call.zeros(shape, dtype);
  const { transposeA, transposeB } = attrs;
  return call.record("BatchMatMul", [call.value(a), call.value(b)], [{ shape, dtype }], { transposeA, transposeB })[0]!;
}

kernel("BatchMatMul", (call) =>
  call.tensor(product(call, call.inputs["a"]!, call.inputs["b"]!, call.attrs as unknown as Product)),
);

kernel(
  "_FusedMatMul",
  (call) => {
    const { a, b, bias, preluActivationWeights } = call.inputs as Record<string, tf.TensorInfo | undefined>;
    const attrs = call.attrs as unknown as Product & FusedAttrs;
    const [shift, slope] = [bias, preluActivationWeights].map((t) => t && call.value(t));
    return call.tensor(epilogue(call, product(call, a!, b!, attrs), attrs, shift, slope));
  },
  { status: "composed" },
);

/** Operand of a matrix product: a layout whose base is the logical matrix or its transpose costs nothing. */
function operand(c: LowerContext, value: Value): { name: string; transposed: boolean } {
  const rank = value.shape.length;
  for (const layout of c.layouts(value)) {
    if (isIdentity(layout.perm)) return { name: layout.name, transposed: false };
  }
  for (const layout of c.layouts(value)) {
    const swapped = layout.perm.every((p, i) => p === (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i));
    if (swapped && engineConfig().passes.matmulTransposes) return { name: layout.name, transposed: true };
  }
  return { name: c.plain(value), transposed: false };
}

lowering("BatchMatMul", (c, node) => {
  const [a, b] = node.inputs;
  const type = node.outputs[0]!.dtype;
  const converted = (value: Value) => {
    const { name, transposed } = operand(c, value);
    return { name: convert(c, name, value.dtype, type), transposed };
  };
  const left = converted(a!);
  const right = converted(b!);
  const transA = (node.attrs["transposeA"] as boolean) !== left.transposed;
  const transB = (node.attrs["transposeB"] as boolean) !== right.transposed;
  const output = node.outputs[0]!;
  if (!transA && !transB) return c.set(output, c.emit("MatMul", [left.name, right.name]));
  // Gemm and FusedMatMul are float only.
  const flags = type === "float32" && engineConfig().passes.matmulTransposes;
  if (flags && a!.shape.length === 2 && b!.shape.length === 2) {
    return c.set(output, c.emit("Gemm", [left.name, right.name], { transA: transA ? 1 : 0, transB: transB ? 1 : 0 }));
  }
  if (flags && c.contrib.has("FusedMatMul") && a!.shape.length === b!.shape.length) {
    const attrs = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: 1 } };
    return c.set(output, c.emit("FusedMatMul", [left.name, right.name], attrs, "com.microsoft"));
  }
  const swap = (name: string, rank: number) =>
    c.emit("Transpose", [name], {
      perm: Array.from({ length: rank }, (_, i) => (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i)),
    });
  const p = transA ? swap(left.name, a!.shape.length) : left.name;
  const q = transB ? swap(right.name, b!.shape.length) : right.name;
  c.set(output, c.emit("MatMul", [p, q]));
});
