import type { DataType } from "@tensorflow/tfjs";
import { captureSource } from "./source.js";
import { engineState } from "./state.js";

/** Host storage of a value: float32, int32, bool (one byte each) or the bits of float16. */
export type HostData = Float32Array | Int32Array | Uint8Array | Uint16Array;

/** A tensor value: pending (its node has not run), on the host, or a placeholder of a trace. */
export interface Value {
  /** Producer; null once the value is on the host, or if it always was. */
  node: RecordedNode | null;
  readonly index: number;
  readonly shape: readonly number[];
  readonly dtype: DataType;
  host: HostData | null;
  /** Element type of the data where it is not that of `dtype`: such a value is an input that a node widens. */
  readonly storedAs?: "float16";
  /** Name of the graph input that this value stands for while tracing. */
  readonly placeholder?: string;
  /** Fills the value on the host with every call of a compiled function. Inputs have no producer: what a graph computes comes too late. */
  readonly generator?: {
    readonly inputs: readonly Value[];
    readonly run: (inputs: readonly HostData[]) => HostData;
  };
}

/** Attributes: structure, not values. What changes from step to step is an input instead. */
export type Attrs = Readonly<Record<string, number | boolean | string | readonly number[]>>;

/** One recorded kernel. */
export interface RecordedNode {
  /** Creation order; ascending ids are a topological order. */
  readonly id: number;
  readonly op: string;
  readonly attrs: Attrs;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Interned number of (op, attributes, output shapes and dtypes): equal numbers mean equal structure. */
  readonly key: number;
  /** The line that recorded it; null unless {@link sourceEnabled}. */
  readonly source: string | null;
}

/** Interned number of a structural description. */
export function intern(text: string): number {
  const { interned } = engineState;
  let key = interned.get(text);
  if (key === undefined) {
    key = interned.size + 1;
    interned.set(text, key);
  }
  return key;
}

/** Appends a node to the lazy graph and returns its output values. */
export function record({
  op,
  attrs = {},
  inputs,
  outputs,
}: {
  op: string;
  attrs?: Attrs;
  inputs: readonly Value[];
  outputs: readonly { shape: readonly number[]; dtype: DataType }[];
}): Value[] {
  let text = op;
  for (const name in attrs) text += `|${name}=${String(attrs[name])}`;
  for (const output of outputs) text += `>${output.dtype}[${output.shape.join()}]`;
  const values: Value[] = [];
  const node: RecordedNode = {
    id: engineState.nextNodeId++,
    op,
    attrs,
    inputs,
    outputs: values,
    key: intern(text),
    source: captureSource(),
  };
  for (let index = 0; index < outputs.length; index++) {
    const { shape, dtype } = outputs[index]!;
    values.push({ node, index, shape, dtype, host: null });
  }
  return values;
}

/** A value that is already on the host. */
export function hostValue(host: HostData, shape: readonly number[], dtype: DataType): Value {
  return { node: null, index: 0, shape, dtype, host };
}

/** Element type of a value's data. */
export const storageType = ({ dtype, storedAs }: Value): DataType | "float16" => storedAs ?? dtype;

/** Nodes that `roots` depend on, in topological order (iterative: graphs of thousands of nodes overflow recursion). */
export function collect(roots: readonly Value[]): RecordedNode[] {
  const seen = new Set<RecordedNode>();
  const stack: RecordedNode[] = [];
  for (const root of roots) {
    if (root.node !== null && !seen.has(root.node)) {
      seen.add(root.node);
      stack.push(root.node);
    }
  }
  const nodes: RecordedNode[] = [];
  while (stack.length > 0) {
    const node = stack.pop()!;
    nodes.push(node);
    for (const input of node.inputs) {
      const producer = input.node;
      if (producer !== null && !seen.has(producer)) {
        seen.add(producer);
        stack.push(producer);
      }
    }
  }
  return nodes.sort((a, b) => a.id - b.id);
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
