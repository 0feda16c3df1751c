import type { TfliteModel, TfliteOptions, TfliteQuantization, TfliteTensor, TfliteType } from "./model.js";
import { minimumVersion, OPERATORS, type OperatorName } from "./operators.js";

/** A value while a graph is built and rewritten; a constant where it has `data`. */
export interface LiteTensor {
  name: string;
  shape: readonly number[];
  type: TfliteType;
  data?: Uint8Array;
  quantization?: TfliteQuantization;
  /** ONNX value that this tensor holds, whatever its layout; its calibrated range is this tensor's range. */
  origin?: string;
}

/** An operator while a graph is built and rewritten. */
export interface LiteOp {
  op: OperatorName;
  /** null = absent optional input. */
  inputs: (LiteTensor | null)[];
  outputs: LiteTensor[];
  options: TfliteOptions;
  /** ONNX node that this operator comes from. */
  node: string;
}

/** A graph of tensors and operators that refer to each other as objects. */
export interface LiteGraph {
  ops: LiteOp[];
  inputs: LiteTensor[];
  outputs: LiteTensor[];
}

/** Operators that read each tensor. */
export function consumersOf(graph: LiteGraph): Map<LiteTensor, LiteOp[]> {
  const consumers = new Map<LiteTensor, LiteOp[]>();
  for (const op of graph.ops) {
    for (const input of new Set(op.inputs)) {
      if (input === null) continue;
      const list = consumers.get(input);
      if (list === undefined) consumers.set(input, [op]);
      else list.push(op);
    }
  }
  return consumers;
}

/** Operator that makes each tensor. */
export function producersOf(graph: LiteGraph): Map<LiteTensor, LiteOp> {
  return new Map(graph.ops.flatMap((op) => op.outputs.map((output) => [output, op] as const)));
}

/** Little-endian bytes of float32 values. */
export function floatBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** float32 values of a constant; a copy where the bytes are not aligned. */
export function constantFloats({ data }: LiteTensor): Float32Array {
  const bytes = data!.byteOffset % 4 === 0 ? data! : data!.slice();
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** int32 constant. */
export function int32Constant(name: string, values: readonly number[], shape: readonly number[]): LiteTensor {
  return { name, shape, type: "int32", data: new Uint8Array(Int32Array.from(values).buffer) };
}

/**
 * Numbers the tensors of a graph and gives every operator the lowest version that allows its types.
 * One subgraph, one signature `serving_default` whose names are those of the graph's inputs and outputs.
 */
export function assembleModel(
  graph: LiteGraph,
  { description, metadata }: { description: string; metadata?: Readonly<Record<string, unknown>> },
): TfliteModel {
  const indices = new Map<LiteTensor, number>();
  const tensors: TfliteTensor[] = [];
  const names = new Map<string, number>();
  const indexOf = (tensor: LiteTensor | null): number => {
    if (tensor === null) return -1;
    let index = indices.get(tensor);
    if (index === undefined) {
      const { name, shape, type, data, quantization } = tensor;
      const uses = names.get(name) ?? 0;
      names.set(name, uses + 1);
      index = tensors.push({
        name: uses === 0 ? name : `${name}#${uses}`,
        shape,
        type,
        ...(data === undefined ? {} : { data }),
        ...(quantization === undefined ? {} : { quantization }),
      });
      index--;
      indices.set(tensor, index);
    }
    return index;
  };
  // Inputs and outputs first: their names stay as they are whatever else is called the same.
  const inputs = graph.inputs.map(indexOf);
  const outputs = graph.outputs.map(indexOf);
  const operators = graph.ops.map((op) => {
    const describe = ({ type, quantization }: LiteTensor) => ({
      type,
      isPerChannel: (quantization?.scale.length ?? 0) > 1,
      ...(quantization === undefined ? {} : { scale: quantization.scale[0]! }),
    });
    const present = op.inputs.filter((input) => input !== null);
    return {
      op: op.op,
      version: minimumVersion({
        op: op.op,
        inputs: present.map(describe),
        output: describe(op.outputs[0]!),
        options: op.options,
      }),
      inputs: op.inputs.map(indexOf),
      outputs: op.outputs.map(indexOf),
      options: op.options,
    };
  });
  const named = (list: readonly LiteTensor[]) => list.map((tensor) => [tensor.name, indices.get(tensor)!] as const);
  return {
    description,
    subgraphs: [{ name: "main", tensors, operators, inputs, outputs }],
    signatures: [{ key: "serving_default", subgraph: 0, inputs: named(graph.inputs), outputs: named(graph.outputs) }],
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** True for operators whose options hold a fused activation. */
export function hasActivation({ op }: LiteOp): boolean {
  return OPERATORS[op].fields.some(({ name }) => name === "activation");
}
