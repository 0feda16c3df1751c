import type { Attribute, Graph, Model, Node, Tensor } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatTensor, floatValues, integerTensor, makeNode } from "../graph-index.js";
import type { CalibrationTable } from "./calibrate.js";
import { headNodes } from "./head.js";
import { INTEGER_RANGES, type QuantParameters, quantizeValue, quantParameters } from "./parameters.js";
import { planQuantization, type QuantPlan } from "./plan.js";
import { assertFresh } from "./quantization-plan.js";
import { assertFinite, biasScaleFloor, quantizeBias, quantizeWeight } from "./weights.js";

/**
 * Number formats per target. `x64`: activations uint8 asymmetric, weights int8 per channel, bias int32 (AVX-512 VNNI or AVX-VNNI).
 * `arm64`: activations int8 asymmetric.
 */
export type QuantPreset = "x64" | "arm64";

export interface QuantizeOptions {
  /** @defaultValue "x64" */
  preset?: QuantPreset;
  /** `head` keeps the decode head float; `none` quantises everything and ruins class probabilities: for tests only. @defaultValue "head" */
  exclude?: "head" | "none";
  /** Further nodes to keep float, by name. @defaultValue [] */
  excludeNodes?: readonly string[];
}

const ACTIVATIONS = { x64: "uint8", arm64: "int8" } as const satisfies Record<QuantPreset, "uint8" | "int8">;
/** Int8 quantisation in float32 models needs no newer opset; opset 21 changes the operators. */
const LAST_OPSET = 20;

/** Collects the new parts of the graph. */
class Rewriter {
  /** Nodes that start the graph (constants) and nodes that follow a value. */
  readonly constantNodes: Node[] = [];
  readonly after = new Map<string, Node[]>();
  readonly initializers: Tensor[] = [];
  /** old value name -> dequantised name that consumers read. */
  readonly renamed = new Map<string, string>();
  readonly #activation: "uint8" | "int8";

  constructor(activation: "uint8" | "int8") {
    this.#activation = activation;
  }

  #zero(value: number): Uint8Array | Int8Array {
    return this.#activation === "uint8" ? Uint8Array.of(value) : Int8Array.of(value);
  }

  /** Adds scale and zero point constants named after `owner` once; returns their names. */
  parameters(owner: string, { scale, zeroPoint }: QuantParameters): [string, string] {
    const names: [string, string] = [`${owner}_scale`, `${owner}_zero_point`];
    if (!this.initializers.some((tensor) => tensor.name === names[0])) {
      this.initializers.push(floatTensor(names[0], Float32Array.of(scale), []));
      this.initializers.push(integerTensor(names[1], this.#zero(zeroPoint), []));
    }
    return names;
  }

  /** Q -> DQ after an activation. `isOutput`: the producer writes another name, so that the graph output keeps its own. */
  activation({ tensor, names, isOutput }: { tensor: string; names: [string, string]; isOutput: boolean }): void {
    const source = isOutput ? `${tensor}_QuantizeLinear_Input` : tensor;
    const target = isOutput ? tensor : `${tensor}_DequantizeLinear_Output`;
    const quantized = `${tensor}_QuantizeLinear_Output`;
    this.after.set(tensor, [
      makeNode("QuantizeLinear", `${tensor}_QuantizeLinear`, [source, ...names], [quantized]),
      makeNode("DequantizeLinear", `${tensor}_DequantizeLinear`, [quantized, ...names], [target]),
    ]);
    this.renamed.set(tensor, target);
  }

  /** Integer constant -> DQ at the start of the graph. */
  constant({
    name,
    values,
    dims,
    scale,
    zeroPoint,
    axis,
  }: {
    name: string;
    values: Int8Array | Uint8Array | Int32Array;
    dims: readonly number[];
    scale: Float32Array;
    zeroPoint: Int8Array | Uint8Array | Int32Array;
    axis?: number;
  }): string {
    const output = `${name}_DequantizeLinear_Output`;
    const shape = axis === undefined ? [] : [scale.length];
    const integers = `${name}_quantized`;
    const attributes: Attribute[] = axis === undefined ? [] : [{ name: "axis", type: "INT", value: axis }];
    const names = values instanceof Int32Array ? `${integers}` : name;
    this.initializers.push(integerTensor(integers, values, dims));
    this.initializers.push(floatTensor(`${names}_scale`, scale, shape));
    this.initializers.push(integerTensor(`${names}_zero_point`, zeroPoint, shape));
    const inputs = [integers, `${names}_scale`, `${names}_zero_point`];
    this.constantNodes.push(makeNode("DequantizeLinear", `${name}_DequantizeLinear`, inputs, [output], attributes));
    return output;
  }
}

function assertOptions(model: Model, table: CalibrationTable): void {
  const opset = model.opsetImport.find(({ domain }) => domain === "")?.version ?? 0;
  if (opset > LAST_OPSET || opset < 13) {
    throw new ExportError({
      code: "QUANT_CONFIG",
      message: `The model uses opset ${opset}; INT8 export needs 13 to ${LAST_OPSET}. Export the float model with opset 17.`,
      details: { option: "opset" },
    });
  }
  assertFresh(model, table);
}

/** Parameters of every quantised activation, shared ones included. */
function activationParameters({
  graph,
  plan,
  table,
  activation,
}: {
  graph: Graph;
  plan: QuantPlan;
  table: CalibrationTable;
  activation: "uint8" | "int8";
}): Map<string, QuantParameters> {
  const softmax = new Set(graph.nodes.filter((node) => node.opType === "Softmax").flatMap((node) => node.outputs));
  const parameters = new Map<string, QuantParameters>();
  for (const tensor of plan.activations) {
    const observed = table.ranges[tensor];
    if (observed === undefined) {
      throw new ExportError({
        code: "QUANT_CONFIG",
        message: `The calibration table has no range for ${tensor}. Calibrate with the same exclusion (includeHead for exclude: "none").`,
        details: { tensor },
      });
    }
    const [rmin, rmax] = softmax.has(tensor) ? [0, 1] : observed;
    parameters.set(tensor, quantParameters({ rmin, rmax, range: INTEGER_RANGES[activation], tensor }));
  }
  return parameters;
}

/**
 * Static INT8 quantisation in QDQ form: a quantise / dequantise pair per activation, int8 weights per output channel (axis 1 for transposed
 * convolutions), int32 biases at scale s_in * s_w. Operators that only move values share the parameters of their input. The decode
 * head stays float (see {@link headNodes}).
 *
 * @throws ExportError `CALIBRATION_STALE`; `QUANT_CONFIG` for an opset, a range or a weight (named) that cannot be quantised
 */
export function quantizeStatic(
  model: Model,
  table: CalibrationTable,
  { preset = "x64", exclude = "head", excludeNodes = [] }: QuantizeOptions = {},
): Model {
  assertOptions(model, table);
  const { graph } = model;
  const head = exclude === "head" ? [...headNodes(graph).values()].flat() : [];
  const plan = planQuantization(graph, new Set([...head, ...excludeNodes]));
  const activation = ACTIVATIONS[preset];
  const range = INTEGER_RANGES[activation];
  const parameters = activationParameters({ graph, plan, table, activation });
  const constants = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const outputs = new Set(graph.outputs.map((output) => output.name));
  const rewriter = new Rewriter(activation);

  for (const name of plan.constants) {
    const tensor = constants.get(name)!;
    assertFinite(tensor);
    const values = floatValues(tensor);
    let rmin = 0;
    let rmax = 0;
    for (let i = 0; i < values.length; i++) {
      rmin = Math.min(rmin, values[i]!);
      rmax = Math.max(rmax, values[i]!);
    }
    const own = quantParameters({ rmin, rmax, range, tensor: name });
    parameters.set(name, own);
    const make = (numbers: ArrayLike<number>) =>
      activation === "uint8" ? Uint8Array.from(numbers) : Int8Array.from(numbers);
    const quantized = make(Array.from(values, (value) => quantizeValue({ value, ...own, range })));
    const target = rewriter.constant({
      name,
      values: quantized,
      dims: tensor.dims,
      scale: Float32Array.of(own.scale),
      zeroPoint: make([own.zeroPoint]),
    });
    rewriter.renamed.set(name, target);
  }
  for (const tensor of [...plan.activations, ...plan.shared.keys()]) {
    const owner = plan.shared.get(tensor) ?? tensor;
    const names = rewriter.parameters(owner, parameters.get(owner)!);
    rewriter.activation({ tensor, names, isOutput: outputs.has(tensor) });
  }
  const ownInputs = quantizeConvolutions({ plan, constants, parameters, rewriter });
  return assemble({ model, rewriter, ownInputs });
}

/** Quantises weights and biases; returns, per node name, the new names of inputs 1 and 2. */
function quantizeConvolutions({
  plan,
  constants,
  parameters,
  rewriter,
}: {
  plan: QuantPlan;
  constants: ReadonlyMap<string, Tensor>;
  parameters: ReadonlyMap<string, QuantParameters>;
  rewriter: Rewriter;
}): Map<string, (string | undefined)[]> {
  const scaleOf = (tensor: string): number => parameters.get(plan.shared.get(tensor) ?? tensor)!.scale;
  const byWeight = groupBy(plan.weighted);
  const renamed = new Map<string, (string | undefined)[]>();
  const biasNames = new Set<string>();
  for (const [weight, users] of byWeight) {
    const tensor = constants.get(weight)!;
    const { axis } = users[0]!;
    const minimumScales = new Float64Array(tensor.dims[axis]!);
    for (const { node, bias } of users) {
      const biasTensor = bias === undefined ? undefined : constants.get(bias);
      if (biasTensor === undefined) continue;
      assertFinite(biasTensor);
      const floor = biasScaleFloor({ bias: biasTensor, inputScale: scaleOf(node.inputs[0]!) });
      for (let c = 0; c < minimumScales.length; c++) minimumScales[c] = Math.max(minimumScales[c]!, floor[c]!);
    }
    const { values, scales } = quantizeWeight({ tensor, axis, minimumScales });
    const zeroPoint = new Int8Array(scales.length);
    const weightName = rewriter.constant({ name: weight, values, dims: tensor.dims, scale: scales, zeroPoint, axis });
    for (const { node, bias } of users) {
      let biasName: string | undefined;
      const biasTensor = bias === undefined ? undefined : constants.get(bias);
      if (bias !== undefined && biasTensor !== undefined) {
        // A bias shared by two nodes has two scales: the second use gets its own copy.
        const name = biasNames.has(bias) ? `${bias}_${node.name}` : bias;
        biasNames.add(bias);
        const inputScale = scaleOf(node.inputs[0]!);
        const quantized = quantizeBias({ bias: biasTensor, inputScale, weightScales: scales });
        biasName = rewriter.constant({
          name,
          values: quantized.values,
          dims: biasTensor.dims,
          scale: quantized.scales,
          zeroPoint: new Int32Array(quantized.scales.length),
          axis: 0,
        });
      }
      renamed.set(node.name, [undefined, weightName, biasName]);
    }
  }
  return renamed;
}

function groupBy(weighted: QuantPlan["weighted"]): Map<string, QuantPlan["weighted"]> {
  const groups = new Map<string, QuantPlan["weighted"]>();
  for (const entry of weighted) groups.set(entry.weight, [...(groups.get(entry.weight) ?? []), entry]);
  return groups;
}

/** The new graph: constants first, each pair right after the node that makes its tensor; unread constants dropped. */
function assemble({
  model,
  rewriter,
  ownInputs,
}: {
  model: Model;
  rewriter: Rewriter;
  ownInputs: ReadonlyMap<string, (string | undefined)[]>;
}): Model {
  const { graph } = model;
  const outputs = new Set(graph.outputs.map((output) => output.name));
  const nodes: Node[] = [...rewriter.constantNodes];
  for (const input of graph.inputs) nodes.push(...(rewriter.after.get(input.name) ?? []));
  for (const node of graph.nodes) {
    const own = ownInputs.get(node.name);
    nodes.push({
      ...node,
      inputs: node.inputs.map((name, position) => own?.[position] ?? rewriter.renamed.get(name) ?? name),
      outputs: node.outputs.map((name) =>
        outputs.has(name) && rewriter.after.has(name) ? `${name}_QuantizeLinear_Input` : name,
      ),
    });
    for (const output of node.outputs) nodes.push(...(rewriter.after.get(output) ?? []));
  }
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const initializers = [...graph.initializers, ...rewriter.initializers].filter((tensor) => read.has(tensor.name));
  return { ...model, graph: { ...graph, nodes, initializers } };
}
