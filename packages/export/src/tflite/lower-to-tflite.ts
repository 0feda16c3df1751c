import { inferValues, type Model } from "@seg/onnx";
import { ExportError, type UnsupportedOp } from "../errors.js";
import { consumersOf, hasActivation, type LiteGraph, type LiteOp, type LiteTensor, producersOf } from "./graph.js";
import { channelsLast, identityLayout } from "./layout.js";
import { CannotLower, LowerContext } from "./lower/context.js";
import { lowerConvolution, lowerTransposedConvolution } from "./lower/convolution.js";
import { lowerBinary, lowerClip, lowerMatMul, lowerSoftmax, lowerUnary } from "./lower/elementwise.js";
import { lowerPool, lowerResize } from "./lower/pooling.js";
import {
  lowerConcat,
  lowerGather,
  lowerPad,
  lowerReshape,
  lowerSlice,
  lowerSplit,
  lowerTranspose,
} from "./lower/rearrange.js";
import { ACTIVATIONS } from "./operators.js";

const RULES: Readonly<Record<string, (context: LowerContext) => void>> = {
  Add: lowerBinary,
  AveragePool: lowerPool,
  Clip: lowerClip,
  Concat: lowerConcat,
  Conv: lowerConvolution,
  ConvTranspose: lowerTransposedConvolution,
  Div: lowerBinary,
  Flatten: lowerReshape,
  Gather: lowerGather,
  MatMul: lowerMatMul,
  Max: lowerBinary,
  MaxPool: lowerPool,
  Min: lowerBinary,
  Mul: lowerBinary,
  Pad: lowerPad,
  Relu: lowerUnary,
  Reshape: lowerReshape,
  Resize: lowerResize,
  Sigmoid: lowerUnary,
  Slice: lowerSlice,
  Softmax: lowerSoftmax,
  Split: lowerSplit,
  Squeeze: lowerReshape,
  Sub: lowerBinary,
  Transpose: lowerTranspose,
  Unsqueeze: lowerReshape,
};

/** How a graph is lowered. */
export interface LowerOptions {
  /** Rank-3 outputs as `[1, anchors, channels]`, the order in which they are computed, instead of ONNX order. @defaultValue false */
  channelsLastOutputs?: boolean;
}

/**
 * Float32 TFLite graph of an ONNX graph: images and feature maps NHWC, weights OHWI, rank-4 outputs NHWC, other outputs in ONNX order.
 *
 * No transposes are carried over: every value remembers which of its dimensions is which ONNX axis, and only an operator that needs another order
 * (Softmax over an inner axis, a Reshape that mixes axes, an output) makes data move. Batch 1, fixed sizes.
 *
 * @throws ExportError `UNSUPPORTED_OP`; `details.findings` lists every node that cannot be expressed, with its reason
 */
export function lowerToTflite(model: Model, { channelsLastOutputs = false }: LowerOptions = {}): LiteGraph {
  const { graph } = model;
  const types = inferValues(model);
  const context = new LowerContext(model, new Map([...types].map(([name, { shape }]) => [name, shape])));
  const findings: UnsupportedOp[] = [];
  const attempt = (node: LowerContext["node"], rule: () => void): void => {
    context.node = node;
    try {
      rule();
    } catch (error) {
      if (!(error instanceof CannotLower)) throw error;
      findings.push({ op: node.opType, node: node.name, reason: error.reason, detail: error.message });
    }
  };
  const constants = new Set(graph.initializers.map(({ name }) => name));
  const inputs: LiteTensor[] = [];
  const edge = (opType: string, name: string) => ({
    opType,
    domain: "",
    name,
    inputs: [],
    outputs: [],
    attributes: [],
  });
  for (const { name } of graph.inputs) {
    if (constants.has(name)) continue;
    attempt(edge("Input", name), () => {
      const shape = context.shape(name);
      const layout = channelsLast(shape.length);
      const tensor: LiteTensor = { name, shape: layout.map((axis) => shape[axis]!), type: "float32", origin: name };
      inputs.push(tensor);
      context.set(name, { tensor, layout });
    });
  }
  /** Values that follow from a node without a rule: their readers are no findings of their own. */
  const broken = new Set<string>();
  for (const node of graph.nodes) {
    const known = findings.length;
    const rule = node.domain === "" ? RULES[node.opType] : undefined;
    if (!node.inputs.some((name) => broken.has(name))) {
      attempt(node, () => {
        if (rule === undefined) throw new CannotLower("unsupported_op", `${node.opType} has no TFLite form here`);
        rule(context);
      });
      if (findings.length === known) continue;
    } else if (rule === undefined) {
      findings.push({ op: node.opType, node: node.name, reason: "unsupported_op", detail: "has no TFLite form here" });
    }
    for (const output of node.outputs) broken.add(output);
  }
  const outputs: LiteTensor[] = [];
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node.name] as const)));
  for (const { name } of graph.outputs) {
    if (broken.has(name)) continue;
    // A final TRANSPOSE belongs to the node that makes the output: both stay float or neither.
    attempt(edge("Output", producers.get(name) ?? name), () => {
      const value = context.value(name);
      const rank = value.layout.length;
      const isChannelsLast = rank === 4 || (rank === 3 && channelsLastOutputs);
      const { tensor } = context.toLayout(value, isChannelsLast ? channelsLast(rank) : identityLayout(rank));
      if (tensor !== value.tensor) value.tensor.name = `${name}/channels-last`;
      tensor.name = name;
      outputs.push(tensor);
    });
  }
  if (findings.length > 0) {
    const [first] = findings as [UnsupportedOp];
    const list = findings.slice(0, 5).map(({ op, node, detail }) => `${op} ${node}: ${detail}`);
    throw new ExportError({
      code: "UNSUPPORTED_OP",
      message: `${findings.length} nodes have no TFLite form: ${list.join("; ")}${findings.length > 5 ? "; ..." : ""}. Change them in the network, or use the ONNX file.`,
      details: { op: first.op, node: first.node, reason: first.reason, findings },
    });
  }
  return removeUnread(fuseActivations({ ops: context.ops, inputs, outputs }));
}

/** Moves RELU and RELU6 into the operator above, where nothing else reads what that one makes. */
function fuseActivations(graph: LiteGraph): LiteGraph {
  const consumers = consumersOf(graph);
  const producers = producersOf(graph);
  const outputs = new Set(graph.outputs);
  const ops: LiteOp[] = [];
  for (const op of graph.ops) {
    const activation = op.op === "RELU" ? ACTIVATIONS.relu : op.op === "RELU6" ? ACTIVATIONS.relu6 : undefined;
    const source = op.inputs[0] ?? null;
    const above = source === null ? undefined : producers.get(source);
    const isFusible =
      activation !== undefined &&
      above !== undefined &&
      hasActivation(above) &&
      above.op !== "CONCATENATION" &&
      above.options["activation"] === ACTIVATIONS.none &&
      consumers.get(source!)?.length === 1 &&
      !outputs.has(source!);
    if (!isFusible) {
      ops.push(op);
      continue;
    }
    above.options = { ...above.options, activation };
    above.outputs = op.outputs;
    producers.set(op.outputs[0]!, above);
  }
  return { ...graph, ops };
}

/** Drops operators that no output depends on. */
function removeUnread(graph: LiteGraph): LiteGraph {
  const needed = new Set<LiteTensor | null>(graph.outputs);
  const ops: LiteOp[] = [];
  for (const op of graph.ops.toReversed()) {
    if (!op.outputs.some((output) => needed.has(output))) continue;
    for (const input of op.inputs) needed.add(input);
    ops.push(op);
  }
  return { ...graph, ops: ops.reverse() };
}
