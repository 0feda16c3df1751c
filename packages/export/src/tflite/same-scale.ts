import { ExportError } from "../errors.js";
import type { TfliteModel, TfliteTensor } from "./model.js";
import { isSameQuantization } from "./quantize/is-same-quantization.js";
import { SAME_SCALE_OPS } from "./quantize/scale-groups.js";

/**
 * Checks that operators which only move values have one scale and zero point on all sides. Runtimes do not: they return zeros or garbage.
 * @throws ExportError `SAME_SCALE_VIOLATION` naming operator and tensors
 */
export function assertSameScales({ subgraphs }: TfliteModel): void {
  for (const { tensors, operators } of subgraphs) {
    for (const [i, { op, inputs, outputs }] of operators.entries()) {
      if (!SAME_SCALE_OPS.has(op)) continue;
      const quantized = [...inputs, ...outputs]
        .map((index) => tensors[index])
        .filter((tensor): tensor is TfliteTensor => tensor?.type === "int8" || tensor?.type === "uint8");
      const [first] = quantized;
      if (first === undefined) continue;
      const different = quantized.filter(
        ({ quantization }) =>
          quantization === undefined ||
          first.quantization === undefined ||
          !isSameQuantization(quantization, first.quantization),
      );
      if (different.length === 0) continue;
      const describe = ({ name, quantization }: TfliteTensor): string =>
        `${name} (scale ${quantization?.scale[0] ?? "none"}, zero point ${quantization?.zeroPoint[0] ?? "none"})`;
      throw new ExportError({
        code: "SAME_SCALE_VIOLATION",
        message: `${op} number ${i} needs one scale and zero point, but ${describe(first)} differs from ${different.map(describe).join(", ")}. Insert a QUANTIZE.`,
        details: { op, node: String(i), tensors: quantized.map(({ name }) => name) },
      });
    }
  }
}
