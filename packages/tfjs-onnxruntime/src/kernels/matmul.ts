import type { Value } from "../graph.js";
import type { LowerContext } from "../lower/context.js";
import { isIdentity } from "../lower/context.js";
import { kernel, lowering, sizeOf } from "./define.js";

kernel("BatchMatMul", (call) => {
  const a = call.inputs["a"]!;
  const b = call.inputs["b"]!;
  const { transposeA, transposeB } = call.attrs as { transposeA: boolean; transposeB: boolean };
  const rankA = a.shape.length;
  const rankB = b.shape.length;
  const m = a.shape[rankA - (transposeA ? 1 : 2)]!;
  const n = b.shape[rankB - (transposeB ? 2 : 1)]!;
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batch = sizeOf(batchA) >= sizeOf(batchB) ? batchA : batchB;
  const [y] = call.record(
    "BatchMatMul",
    [call.value(a), call.value(b)],
    [{ shape: [...batch, m, n], dtype: "float32" }],
    {
      transposeA,
      transposeB,
    },
  );
  return call.tensor(y!);
});

/** Operand of a matrix product: a layout whose base is the logical matrix or its transpose costs nothing. */
function operand(c: LowerContext, value: Value): { name: string; transposed: boolean } {
  const rank = value.shape.length;
  for (const layout of c.layouts(value)) {
    if (isIdentity(layout.perm)) return { name: layout.name, transposed: false };
  }
  for (const layout of c.layouts(value)) {
    const swapped = layout.perm.every((p, i) => p === (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i));
    if (swapped) return { name: layout.name, transposed: true };
  }
  return { name: c.plain(value), transposed: false };
}

lowering("BatchMatMul", (c, node) => {
  const [a, b] = node.inputs;
  const left = operand(c, a!);
  const right = operand(c, b!);
  const transA = (node.attrs["transposeA"] as boolean) !== left.transposed;
  const transB = (node.attrs["transposeB"] as boolean) !== right.transposed;
  const output = node.outputs[0]!;
  if (!transA && !transB) return c.set(output, c.emit("MatMul", [left.name, right.name]));
  if (a!.shape.length === 2 && b!.shape.length === 2) {
    return c.set(output, c.emit("Gemm", [left.name, right.name], { transA: transA ? 1 : 0, transB: transB ? 1 : 0 }));
  }
  if (c.contrib && a!.shape.length === b!.shape.length) {
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
