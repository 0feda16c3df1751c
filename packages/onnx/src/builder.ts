import type { Attribute, Dim, Graph, Model, Node, Tensor, ValueInfo } from "./model.js";
import { irVersionFor } from "./opsets.js";
import { tensorFrom } from "./tensor.js";

/** Attribute values as written in code: a bare number or bigint is INT, `{ float: x }` FLOAT, a list of numbers INTS, `{ floats }` FLOATS. */
export type AttributeInput =
  | number
  | bigint
  | string
  | readonly number[]
  | readonly bigint[]
  | readonly string[]
  | Tensor
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly graph: Graph };

/** Turns a code value into a typed ONNX attribute. An empty list is INTS. @throws RangeError for a bare number that is no integer. */
export function toAttribute(name: string, value: AttributeInput): Attribute {
  if (typeof value === "number" || typeof value === "bigint") {
    if (typeof value === "number" && !Number.isSafeInteger(value))
      throw new RangeError(
        `Attribute "${name}" is ${value}: bare numbers are INT. Pass { float: ${value} } for a float.`,
      );
    return { name, type: "INT", value };
  }
  if (typeof value === "string") return { name, type: "STRING", value };
  if (Array.isArray(value)) {
    if (typeof value[0] === "string") return { name, type: "STRINGS", value: [...(value as string[])] };
    for (const item of value as (number | bigint)[])
      if (typeof item === "number" && !Number.isSafeInteger(item))
        throw new RangeError(
          `Attribute "${name}" holds ${item}: lists of numbers are INTS. Pass { floats: [...] } for floats.`,
        );
    return { name, type: "INTS", value: [...(value as (number | bigint)[])] };
  }
  const object = value as Exclude<AttributeInput, number | bigint | string | readonly unknown[]>;
  if ("float" in object) return { name, type: "FLOAT", value: Math.fround(object.float) };
  if ("floats" in object) return { name, type: "FLOATS", value: object.floats.map(Math.fround) };
  if ("graph" in object) return { name, type: "GRAPH", value: object.graph };
  return { name, type: "TENSOR", value: object };
}

/**
 * Writes a graph node by node, in topological order.
 *
 * @example
 * const b = new GraphBuilder("relu");
 * const x = b.input("x", DataType.FLOAT, [1, 3]);
 * const [y] = b.node("Relu", [x]);
 * b.output(y!, DataType.FLOAT, [1, 3]);
 * encodeModel(b.build()).length // 109
 */
export class GraphBuilder {
  readonly #name: string;
  readonly #nodes: Node[] = [];
  readonly #initializers: Tensor[] = [];
  readonly #inputs: ValueInfo[] = [];
  readonly #outputs: ValueInfo[] = [];
  readonly #valueNames = new Set<string>();
  readonly #nodeNames = new Set<string>();
  readonly #domains = new Set<string>();
  #counter = 0;

  constructor(name = "graph") {
    this.#name = name;
  }

  #claim(name: string): string {
    if (this.#valueNames.has(name))
      throw new RangeError(`Value "${name}" exists already; ONNX values are assigned once.`);
    this.#valueNames.add(name);
    return name;
  }

  /** Adds a graph input; returns its name. Dimensions may be sizes, symbolic names or null. */
  input(name: string, dataType: number, shape?: readonly Dim[]): string {
    this.#inputs.push(valueInfo(this.#claim(name), dataType, shape));
    return name;
  }

  /** Marks a value as graph output. A runtime infers a missing type. */
  output(name: string, dataType = 0, shape?: readonly Dim[]): void {
    this.#outputs.push(valueInfo(name, dataType, shape));
  }

  /**
   * Adds a constant tensor; returns its name. Typed arrays are not copied.
   * @throws {@link TensorDataError} if `data` is not exactly dims x element size.
   */
  initializer(
    name: string,
    dataType: number,
    dims: readonly number[],
    data: ArrayBufferView | readonly (number | bigint)[],
  ): string {
    this.#initializers.push(tensorFrom({ name: this.#claim(name), dataType, dims, data }));
    return name;
  }

  /**
   * Adds a node; returns the names of its outputs.
   *
   * @param inputs - value names, "" for an absent optional input
   * @param options.outputs - how many outputs to name automatically, or their names. @defaultValue 1
   * @param options.name - node name; made unique by a counter if left out
   */
  node(
    opType: string,
    inputs: readonly string[],
    {
      outputs = 1,
      attributes,
      domain = "",
      name,
    }: {
      outputs?: number | readonly string[];
      attributes?: Readonly<Record<string, AttributeInput>>;
      domain?: string;
      name?: string;
    } = {},
  ): string[] {
    let nodeName = name;
    if (nodeName === undefined) {
      do nodeName = `${opType}_${this.#counter++}`;
      while (this.#nodeNames.has(nodeName));
    } else if (this.#nodeNames.has(nodeName)) throw new RangeError(`Node "${nodeName}" exists already.`);
    this.#nodeNames.add(nodeName);
    const names: string[] = [];
    if (typeof outputs === "number") {
      for (let i = 0; i < outputs; i++) {
        let output = `${nodeName}_out${i}`;
        while (this.#valueNames.has(output)) output = `${nodeName}_out${i}_${this.#counter++}`;
        this.#valueNames.add(output);
        names.push(output);
      }
    } else for (const output of outputs) names.push(output === "" ? "" : this.#claim(output));
    const list: Attribute[] = [];
    for (const key in attributes) list.push(toAttribute(key, attributes[key]!));
    if (domain !== "") this.#domains.add(domain);
    this.#nodes.push({ opType, domain, name: nodeName, inputs: [...inputs], outputs: names, attributes: list });
    return names.slice();
  }

  /**
   * @param options.opset - version of the standard operators. @defaultValue 17
   * @param options.irVersion - @defaultValue the version that belongs to `opset` (8 for 17)
   * @param options.contrib - import `com.microsoft` 1 even if no node needs it; domains in use are always imported. @defaultValue false
   * @param options.opsets - versions of further domains. @defaultValue 1 each
   */
  build({
    opset = 17,
    irVersion = irVersionFor(opset),
    contrib = false,
    producerName = "@seg/onnx",
    opsets = {},
  }: {
    opset?: number;
    irVersion?: number;
    contrib?: boolean;
    producerName?: string;
    opsets?: Readonly<Record<string, number>>;
  } = {}): Model {
    const domains = new Set([...(contrib ? ["com.microsoft"] : []), ...this.#domains, ...Object.keys(opsets)]);
    return {
      irVersion,
      producerName,
      opsetImport: [
        { domain: "", version: opset },
        ...[...domains].map((domain) => ({ domain, version: opsets[domain] ?? 1 })),
      ],
      graph: this.graph(),
      metadataProps: [],
    };
  }

  /** The graph alone, for the body of an If, Loop or Scan. */
  graph(): Graph {
    return {
      name: this.#name,
      nodes: [...this.#nodes],
      initializers: [...this.#initializers],
      inputs: [...this.#inputs],
      outputs: [...this.#outputs],
      valueInfo: [],
    };
  }
}

function valueInfo(name: string, dataType: number, shape?: readonly Dim[]): ValueInfo {
  return shape ? { name, dataType, shape: [...shape] } : { name, dataType };
}
