import { DataType, type Model, type Node, type Tensor } from "@seg/onnx";
import type { LoweredGraph } from "./build-session.js";
import { sizeOf, type Value } from "./graph.js";
import { engineConfig } from "./settings.js";

/** Elements from which an input or output is worth a binding of its own: below, the call costs more than the copy. */
const LARGE = 4096;
/** Fewer small ones than this are bound one by one. */
const FEW = 8;

/** A small value inside of a packed input or output. */
export interface PackedPart<Key> {
  readonly key: Key;
  /** First element. */
  readonly offset: number;
  readonly length: number;
}

/** A lowered graph whose small float32 inputs and outputs are one of each. */
export interface PackedGraph {
  readonly model: Model;
  /** Inputs that are bound one by one. */
  readonly feeds: LoweredGraph["feeds"];
  /** Outputs that are fetched one by one, by position of the root. */
  readonly fetches: readonly { readonly name: string; readonly root: number }[];
  /** Null if there were too few small ones. */
  readonly input: Packed<Value> | null;
  readonly output: Packed<number> | null;
}

/** One input or output for many values; float32. */
export interface Packed<Key> {
  readonly name: string;
  readonly length: number;
  readonly parts: readonly PackedPart<Key>[];
}

function pack<Key>(name: string, entries: readonly { key: Key; length: number }[]): Packed<Key> | null {
  if (entries.length < FEW || !engineConfig().passes.packedState) return null;
  let length = 0;
  const parts = entries.map((entry) => {
    const offset = length;
    length += entry.length;
    return { ...entry, offset };
  });
  return { name, length, parts };
}

const isSmall = ({ dtype, storedAs, shape }: Value) =>
  dtype === "float32" && storedAs === undefined && sizeOf(shape) > 0 && sizeOf(shape) < LARGE;

/**
 * Joins the small float32 inputs of a graph into one input that a Split takes apart, and its small outputs into one by a Concat: each bound
 * tensor costs 2 to 4 microseconds in the runtime and about as much in JavaScript, and a training step has hundreds of vectors.
 */
export function packState({ model, feeds, outputs }: LoweredGraph, roots: readonly Value[]): PackedGraph {
  const input = pack(
    "packed_in",
    feeds.filter(({ value }) => isSmall(value)).map(({ value }) => ({ key: value, length: sizeOf(value.shape) })),
  );
  const output = pack(
    "packed_out",
    roots.flatMap((root, key) => (isSmall(root) ? [{ key, length: sizeOf(root.shape) }] : [])),
  );
  const { graph } = model;
  const before: Node[] = [];
  const after: Node[] = [];
  const initializers: Tensor[] = [];
  const int64 = (values: readonly number[]): string => {
    const name = `packed_c${initializers.length}`;
    const data = BigInt64Array.from(values, BigInt);
    initializers.push({ name, dataType: DataType.INT64, dims: [values.length], rawData: new Uint8Array(data.buffer) });
    return name;
  };
  let count = 0;
  const node = (opType: string, inputs: string[], names: string[], attributes: Node["attributes"]): Node => ({
    opType,
    domain: "",
    name: `pack_${count++}`,
    inputs,
    outputs: names,
    attributes,
  });
  const axis0: Node["attributes"] = [{ name: "axis", type: "INT", value: 0 }];

  const packedNames = new Set<string>();
  if (input) {
    const nameOf = new Map(feeds.map(({ value, name }) => [value, name]));
    const reshapes: Node[] = [];
    const names = input.parts.map(({ key }) => {
      const name = nameOf.get(key)!;
      packedNames.add(name);
      if (key.shape.length === 1) return name;
      reshapes.push(node("Reshape", [`${name}_flat`, int64(key.shape)], [name], []));
      return `${name}_flat`;
    });
    before.push(node("Split", [input.name, int64(input.parts.map(({ length }) => length))], names, axis0), ...reshapes);
  }
  if (output) {
    const flat = int64([-1]);
    const names = output.parts.map(({ key }) => {
      const name = outputs[key]!;
      if (roots[key]!.shape.length === 1) return name;
      after.push(node("Reshape", [name, flat], [`${name}_flat`], []));
      return `${name}_flat`;
    });
    after.push(node("Concat", names, [output.name], axis0));
  }
  const joined = new Set(output?.parts.map(({ key }) => key));
  const vector = ({ name, length }: Packed<unknown>) => ({ name, dataType: DataType.FLOAT, shape: [length] });
  return {
    model: {
      ...model,
      graph: {
        ...graph,
        nodes: [...before, ...graph.nodes, ...after],
        initializers: [...graph.initializers, ...initializers],
        inputs: [...graph.inputs.filter(({ name }) => !packedNames.has(name)), ...(input ? [vector(input)] : [])],
        outputs: [...graph.outputs.filter((_, i) => !joined.has(i)), ...(output ? [vector(output)] : [])],
      },
    },
    feeds: feeds.filter(({ name }) => !packedNames.has(name)),
    fetches: outputs.flatMap((name, root) => (joined.has(root) ? [] : [{ name, root }])),
    input,
    output,
  };
}
