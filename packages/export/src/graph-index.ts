import { type Attribute, DataType, type Graph, type Node, type Tensor, tensorData, tensorFrom } from "@seg/onnx";

/** Who makes and who reads each value of a graph. */
export interface GraphIndex {
  producers: ReadonlyMap<string, Node>;
  consumers: ReadonlyMap<string, readonly Node[]>;
  initializers: ReadonlyMap<string, Tensor>;
}

/** Indexes a graph by value name. */
export function indexGraph(graph: Graph): GraphIndex {
  const producers = new Map<string, Node>();
  const consumers = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output !== "") producers.set(output, node);
    for (const input of node.inputs) {
      if (input === "") continue;
      const list = consumers.get(input);
      if (list === undefined) consumers.set(input, [node]);
      else list.push(node);
    }
  }
  return { producers, consumers, initializers: new Map(graph.initializers.map((tensor) => [tensor.name, tensor])) };
}

/** Values of a float32 tensor; read-only. */
export function floatValues(tensor: Tensor): Float32Array {
  return tensorData(tensor) as Float32Array;
}

/** Float32 constant. */
export function floatTensor(name: string, data: Float32Array, dims: readonly number[]): Tensor {
  return tensorFrom({ name, dataType: DataType.FLOAT, dims, data });
}

/** Integer constant whose element type follows the typed array. */
export function integerTensor(
  name: string,
  data: Uint8Array | Int8Array | Int32Array,
  dims: readonly number[],
): Tensor {
  const dataType =
    data instanceof Uint8Array ? DataType.UINT8 : data instanceof Int8Array ? DataType.INT8 : DataType.INT32;
  return tensorFrom({ name, dataType, dims, data });
}

/** Node of the standard domain. */
export function makeNode(
  opType: string,
  name: string,
  inputs: string[],
  outputs: string[],
  attributes: Attribute[] = [],
): Node {
  return { opType, domain: "", name, inputs, outputs, attributes };
}
