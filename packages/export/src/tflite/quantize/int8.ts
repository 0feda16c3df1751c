import { ExportError } from "../../errors.js";
import { INTEGER_RANGES, quantizeValue, quantParameters } from "../../quantize/parameters.js";
import { constantFloats, type LiteGraph, type LiteOp, type LiteTensor, producersOf } from "../graph.js";
import type { TfliteQuantization } from "../model.js";
import { isSameQuantization } from "./is-same-quantization.js";
import { quantizeWeights, WEIGHTED_OPS } from "./parameters-of-weights.js";
import { type ConcatRule, SAME_SCALE_OPS, scaleGroups } from "./scale-groups.js";

export interface Int8Options {
  /** ONNX value name -> calibrated [min, max]. */
  ranges: Readonly<Record<string, readonly [min: number, max: number]>>;
  /** ONNX nodes that stay float32. */
  floatNodes: ReadonlySet<string>;
  /** @defaultValue "auto" */
  concat?: ConcatRule;
  /** Inputs and outputs of the model are int8 too. @defaultValue false */
  integerIo?: boolean;
}

/** Operators with an int8 form. */
const INT8_OPS: ReadonlySet<string> = new Set([
  ...Object.keys(WEIGHTED_OPS),
  ...SAME_SCALE_OPS,
  "ADD",
  "BATCH_MATMUL",
  "LOGISTIC",
  "MUL",
  "RELU",
  "RELU6",
  "SOFTMAX",
  "SUB",
]);
/** Outputs in [0, 1): scale 1/256, so that the kernels need no parameters. */
const UNIT: TfliteQuantization = { scale: [1 / 256], zeroPoint: [-128], dimension: 0 };
/** Smallest value of x * sigmoid(x), and where it lies. */
const SILU_MINIMUM = { at: -1.2784645, value: -0.2784645 };

const silu = (x: number): number => x / (1 + Math.exp(-x));

function int8Parameters(tensor: string, [rmin, rmax]: readonly [number, number]): TfliteQuantization {
  const { scale, zeroPoint } = quantParameters({ rmin, rmax, range: INTEGER_RANGES.int8, tensor });
  return { scale: [scale], zeroPoint: [zeroPoint], dimension: 0 };
}

function quantizedConstant(constant: LiteTensor, quantization: TfliteQuantization): LiteTensor {
  const [scale = 1] = quantization.scale;
  const [zeroPoint = 0] = quantization.zeroPoint;
  const values = Int8Array.from(constantFloats(constant), (value) =>
    quantizeValue({ value, scale, zeroPoint, range: INTEGER_RANGES.int8 }),
  );
  return {
    name: constant.name,
    shape: constant.shape,
    type: "int8",
    data: new Uint8Array(values.buffer),
    quantization,
  };
}

/**
 * Int8 graph: activations asymmetric [-128, 127] per tensor, weights symmetric per output channel, biases int32. Values cross between float32 and
 * int8 by QUANTIZE and DEQUANTIZE, once per tensor.
 *
 * @throws ExportError `QUANT_CONFIG` naming a tensor without a calibrated range
 */
export function quantizeInt8(
  graph: LiteGraph,
  { ranges, floatNodes, concat = "auto", integerIo = false }: Int8Options,
): LiteGraph {
  const ops = graph.ops.filter((op) => INT8_OPS.has(op.op) && !floatNodes.has(op.node));
  const quantized = new Set(ops);
  const producers = producersOf(graph);
  const isUnit = (tensor: LiteTensor): boolean => {
    const producer = producers.get(tensor);
    return (
      producer !== undefined && quantized.has(producer) && (producer.op === "LOGISTIC" || producer.op === "SOFTMAX")
    );
  };
  const rangeOf = (tensor: LiteTensor): readonly [number, number] | undefined => {
    const known = tensor.origin === undefined ? undefined : ranges[tensor.origin];
    return known ?? siluRange(tensor);
  };
  /** x * sigmoid(x) follows from the range of x, as in the last activation before an output, which calibration leaves out. */
  const siluRange = (tensor: LiteTensor): [number, number] | undefined => {
    const producer = producers.get(tensor);
    const [x, gate] = producer?.op === "MUL" ? producer.inputs : [];
    if (!x || !gate || producers.get(gate)?.op !== "LOGISTIC" || producers.get(gate)?.inputs[0] !== x) return undefined;
    const range = rangeOf(x);
    if (range === undefined) return undefined;
    const [low, high] = range;
    const bottom =
      low < SILU_MINIMUM.at && high > SILU_MINIMUM.at ? SILU_MINIMUM.value : Math.min(silu(low), silu(high));
    return [bottom, Math.max(silu(low), silu(high))];
  };
  const groups = scaleGroups({ graph, ops, isFixed: isUnit, rangeOf, concat });

  // Range of each set: the union of what its members were calibrated to.
  const activations = new Set<LiteTensor>();
  for (const op of ops) {
    for (const tensor of [...op.inputs, ...op.outputs]) {
      if (tensor !== null && tensor.data === undefined) activations.add(tensor);
    }
  }
  const sets = new Map<LiteTensor, { range?: [number, number]; isUnit: boolean }>();
  for (const tensor of activations) {
    const set = sets.get(groups.find(tensor)) ?? { isUnit: false };
    sets.set(groups.find(tensor), set);
    if (isUnit(tensor)) set.isUnit = true;
    const range = rangeOf(tensor);
    if (range === undefined) continue;
    set.range = set.range ? [Math.min(set.range[0], range[0]), Math.max(set.range[1], range[1])] : [range[0], range[1]];
  }
  for (const op of ops) {
    if (op.op !== "CONCATENATION") continue;
    // A converted operand is not in the set, but its values are.
    const set = sets.get(groups.find(op.outputs[0]!))!;
    for (const tensor of op.inputs) {
      const source = tensor === null ? undefined : sets.get(groups.find(tensor));
      const range = source?.isUnit ? ([0, 1] as const) : source?.range;
      if (range === undefined) continue;
      set.range = set.range ? [Math.min(set.range[0], range[0]), Math.max(set.range[1], range[1])] : [...range];
    }
  }
  const parameters = (tensor: LiteTensor): TfliteQuantization => {
    const { isUnit: isFixed, range } = sets.get(groups.find(tensor))!;
    if (isFixed) return UNIT;
    if (range !== undefined) return int8Parameters(tensor.name, range);
    throw new ExportError({
      code: "QUANT_CONFIG",
      message: `Tensor ${tensor.name} has no calibrated range. Calibrate this very model; for a whole int8 graph with includeHead.`,
      details: { tensor: tensor.name },
    });
  };

  const result: LiteOp[] = [];
  const integers = new Map<LiteTensor, LiteTensor>();
  const floats = new Map<LiteTensor, LiteTensor>();
  /** int8 form of a float32 tensor that an operator has made or will make. */
  const integerOf = (tensor: LiteTensor): LiteTensor => {
    const known = integers.get(tensor);
    if (known !== undefined) return known;
    const { name, shape } = tensor;
    const made: LiteTensor = { name: `${name}/int8`, shape, type: "int8", quantization: parameters(tensor) };
    integers.set(tensor, made);
    const producer = producers.get(tensor);
    const isFloat = producer === undefined ? !integerIo : !quantized.has(producer);
    if (isFloat)
      result.push({ op: "QUANTIZE", inputs: [tensor], outputs: [made], options: {}, node: producer?.node ?? name });
    return made;
  };
  const floatOf = (tensor: LiteTensor): LiteTensor => {
    const producer = producers.get(tensor);
    if (producer === undefined ? !integerIo : !quantized.has(producer)) return tensor;
    const known = floats.get(tensor);
    if (known !== undefined) return known;
    const made: LiteTensor = { ...tensor };
    floats.set(tensor, made);
    result.push({
      op: "DEQUANTIZE",
      inputs: [integerOf(tensor)],
      outputs: [made],
      options: {},
      node: producer?.node ?? tensor.name,
    });
    return made;
  };

  for (const op of graph.ops) {
    if (!quantized.has(op)) {
      result.push({
        ...op,
        inputs: op.inputs.map((input) => (input && input.data === undefined ? floatOf(input) : input)),
      });
      continue;
    }
    const weighted = WEIGHTED_OPS[op.op];
    const inputs = op.inputs.map((input, position) => {
      if (input === null) return null;
      if (input.data !== undefined) {
        if (input.type !== "float32" || position === weighted?.weight || position === weighted?.bias) return input;
        if (SAME_SCALE_OPS.has(op.op)) return quantizedConstant(input, parameters(op.outputs[0]!));
        const values = constantFloats(input);
        return quantizedConstant(input, int8Parameters(input.name, [Math.min(...values), Math.max(...values)]));
      }
      const integer = integerOf(input);
      if (!groups.needsRequant(op, position)) return integer;
      const quantization = parameters(op.outputs[0]!);
      if (isSameQuantization(integer.quantization!, quantization)) return integer;
      const converted: LiteTensor = { ...integer, name: `${input.name}/requantized`, quantization };
      result.push({ op: "QUANTIZE", inputs: [integer], outputs: [converted], options: {}, node: op.node });
      return converted;
    });
    if (weighted !== undefined) {
      const inputScale = inputs[weighted.input]!.quantization!.scale[0]!;
      const { weight, bias } = quantizeWeights(op, inputScale);
      inputs[weighted.weight] = weight;
      if (bias !== undefined) inputs[weighted.bias] = bias;
    }
    result.push({ ...op, inputs, outputs: op.outputs.map(integerOf) });
  }
  if (!integerIo) {
    const outputs = graph.outputs.map(floatOf);
    return { ops: result, inputs: graph.inputs, outputs };
  }
  const edge = (tensor: LiteTensor): LiteTensor => {
    const integer = integerOf(tensor);
    integer.name = tensor.name;
    return integer;
  };
  return { ops: result, inputs: graph.inputs.map(edge), outputs: graph.outputs.map(edge) };
}
