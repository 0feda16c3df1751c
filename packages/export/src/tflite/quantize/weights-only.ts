import { float32ToFloat16 } from "@seg/nn";
import { ExportError } from "../../errors.js";
import { constantFloats, type LiteGraph, type LiteOp, type LiteTensor } from "../graph.js";
import { quantizeWeights, WEIGHTED_OPS } from "./parameters-of-weights.js";

/** Largest finite float16. */
const FLOAT16_MAX = 65504;

/** A DEQUANTIZE of a constant, so that the operator reads float32. */
function dequantized(constant: LiteTensor, node: string): { op: LiteOp; output: LiteTensor } {
  const output: LiteTensor = { name: `${constant.name}/float32`, shape: constant.shape, type: "float32" };
  return { op: { op: "DEQUANTIZE", inputs: [constant], outputs: [output], options: {}, node }, output };
}

function rewriteWeighted(
  graph: LiteGraph,
  rewrite: (op: LiteOp, before: LiteOp[]) => (LiteTensor | null)[],
): LiteGraph {
  const ops = graph.ops.flatMap((op) => {
    if (!(op.op in WEIGHTED_OPS)) return [op];
    const before: LiteOp[] = [];
    const inputs = rewrite(op, before);
    return [...before, { ...op, inputs }];
  });
  return { ...graph, ops };
}

/**
 * Weights and biases of convolutions as float16 that the runtime expands; everything computes in float32.
 * @throws ExportError `QUANT_CONFIG` naming a tensor with a value beyond ±65504
 */
export function convertWeightsToFloat16(graph: LiteGraph): LiteGraph {
  return rewriteWeighted(graph, (op, before) => {
    const { weight, bias } = WEIGHTED_OPS[op.op]!;
    return op.inputs.map((input, position) => {
      if (input === null || (position !== weight && position !== bias)) return input;
      const values = constantFloats(input);
      const outside = values.find((value) => !(Math.abs(value) <= FLOAT16_MAX));
      if (outside !== undefined) {
        throw new ExportError({
          code: "QUANT_CONFIG",
          message: `Tensor ${input.name} holds ${outside}, float16 ends at ${FLOAT16_MAX}. Use the flavour float32 or int8.`,
          details: { tensor: input.name },
        });
      }
      const data = new Uint8Array(float32ToFloat16(values).buffer);
      const { op: expand, output } = dequantized({ ...input, type: "float16", data }, op.node);
      before.push(expand);
      return output;
    });
  });
}

/** Operators that compute from float32 activations and int8 weights themselves. */
const HYBRID: ReadonlySet<string> = new Set(["CONV_2D", "DEPTHWISE_CONV_2D"]);

/**
 * Int8 weights per channel, float32 activations ("dynamic range"): the runtime quantises activations as it goes, or expands the weights.
 * @param floatNodes - ONNX nodes that keep float32 weights
 */
export function quantizeWeightsOnly(graph: LiteGraph, floatNodes: ReadonlySet<string>): LiteGraph {
  return rewriteWeighted(graph, (op, before) => {
    if (floatNodes.has(op.node)) return op.inputs;
    const { weight } = quantizeWeights(op);
    let replacement = weight;
    if (!HYBRID.has(op.op)) {
      const { op: expand, output } = dequantized(weight, op.node);
      before.push(expand);
      replacement = output;
    }
    return op.inputs.map((input, position) => (position === WEIGHTED_OPS[op.op]!.weight ? replacement : input));
  });
}
