import type { Attribute, Model, Node, Tensor } from "@seg/onnx";
import { floatTensor, integerTensor, makeNode } from "../graph-index.js";
import type { QuantParameters } from "./parameters.js";
import type { EdgePair } from "./placement.js";

/** Integers of a constant with their parameters. */
interface IntegerConstant {
  readonly name: string;
  readonly values: Int8Array | Uint8Array | Int32Array;
  readonly dims: readonly number[];
  /** One, or one per slice of `axis`. */
  readonly scale: Float32Array;
  readonly zeroPoint: Int8Array | Uint8Array | Int32Array;
  readonly axis?: number;
}

/**
 * Collects what a QDQ graph has more than its float source, and writes it. Names follow the quantiser of ONNX Runtime: `{t}_scale`,
 * `{t}_zero_point`, `{t}_QuantizeLinear(_Output)`, `{t}_DequantizeLinear(_Output)`, `{w}_quantized`.
 */
export class QdqWriter {
  readonly #constantNodes: Node[] = [];
  /** Value -> nodes that follow it. */
  readonly #after = new Map<string, Node[]>();
  readonly #initializers: Tensor[] = [];
  readonly #known = new Set<string>();
  /** Old value name -> dequantised name that every consumer reads. */
  readonly #renamed = new Map<string, string>();
  /** Node name -> names of its inputs that only this node reads. */
  readonly #inputs = new Map<string, Map<number, string>>();
  readonly #activation: "uint8" | "int8";
  readonly #outputs: ReadonlySet<string>;
  readonly #model: Model;

  constructor(model: Model, activation: "uint8" | "int8") {
    this.#model = model;
    this.#activation = activation;
    this.#outputs = new Set(model.graph.outputs.map(({ name }) => name));
  }

  /** Scale and zero point constants named after `owner`, once. */
  #parameters(owner: string, { scale, zeroPoint }: QuantParameters): [string, string] {
    const names: [string, string] = [`${owner}_scale`, `${owner}_zero_point`];
    if (!this.#known.has(owner)) {
      this.#known.add(owner);
      const zero = this.#activation === "uint8" ? Uint8Array.of(zeroPoint) : Int8Array.of(zeroPoint);
      this.#initializers.push(floatTensor(names[0], Float32Array.of(scale), []), integerTensor(names[1], zero, []));
    }
    return names;
  }

  /** Q -> DQ behind an activation, for all its consumers. A graph output keeps its name: its producer writes another one. */
  tensorPair(tensor: string, owner: string, parameters: QuantParameters): void {
    const isOutput = this.#outputs.has(tensor);
    const source = isOutput ? `${tensor}_QuantizeLinear_Input` : tensor;
    const target = isOutput ? tensor : `${tensor}_DequantizeLinear_Output`;
    this.#follow(tensor, { prefix: tensor, source, target, names: this.#parameters(owner, parameters) });
    this.#renamed.set(tensor, target);
  }

  /** Q -> DQ that one input of one node reads; behind the tensor's own pair where it has one. */
  edgePair({ node, position, tensor }: EdgePair, owner: string, parameters: QuantParameters): void {
    const prefix = `${tensor}_${node.name}_${position}`;
    const source = this.#renamed.get(tensor) ?? tensor;
    const target = `${prefix}_DequantizeLinear_Output`;
    this.#follow(tensor, { prefix, source, target, names: this.#parameters(owner, parameters) });
    this.setInput(node, position, target);
  }

  #follow(
    tensor: string,
    { prefix, source, target, names }: { prefix: string; source: string; target: string; names: [string, string] },
  ): void {
    const quantized = `${prefix}_QuantizeLinear_Output`;
    const list = this.#after.get(tensor) ?? [];
    this.#after.set(tensor, list);
    list.push(
      makeNode("QuantizeLinear", `${prefix}_QuantizeLinear`, [source, ...names], [quantized]),
      makeNode("DequantizeLinear", `${prefix}_DequantizeLinear`, [quantized, ...names], [target]),
    );
  }

  /** Integer constant -> DQ at the start of the graph. @returns the dequantised name */
  constant({ name, values, dims, scale, zeroPoint, axis }: IntegerConstant): string {
    const output = `${name}_DequantizeLinear_Output`;
    const shape = axis === undefined ? [] : [scale.length];
    const integers = `${name}_quantized`;
    const attributes: Attribute[] = axis === undefined ? [] : [{ name: "axis", type: "INT", value: axis }];
    const prefix = values instanceof Int32Array ? integers : name;
    this.#initializers.push(
      integerTensor(integers, values, dims),
      floatTensor(`${prefix}_scale`, scale, shape),
      integerTensor(`${prefix}_zero_point`, zeroPoint, shape),
    );
    const inputs = [integers, `${prefix}_scale`, `${prefix}_zero_point`];
    this.#constantNodes.push(makeNode("DequantizeLinear", `${name}_DequantizeLinear`, inputs, [output], attributes));
    return output;
  }

  /** All consumers of `name` read `replacement`. */
  rename(name: string, replacement: string): void {
    this.#renamed.set(name, replacement);
  }

  /** Only this node reads `name` at this position. */
  setInput(node: Node, position: number, name: string): void {
    const inputs = this.#inputs.get(node.name) ?? new Map<number, string>();
    this.#inputs.set(node.name, inputs.set(position, name));
  }

  /** The new model: constants first, each pair right behind the node that makes its tensor; constants that nothing reads are gone. */
  build(): Model {
    const { graph } = this.#model;
    const nodes: Node[] = [...this.#constantNodes];
    for (const { name } of graph.inputs) nodes.push(...(this.#after.get(name) ?? []));
    for (const node of graph.nodes) {
      const own = this.#inputs.get(node.name);
      nodes.push({
        ...node,
        inputs: node.inputs.map((name, position) => own?.get(position) ?? this.#renamed.get(name) ?? name),
        outputs: node.outputs.map((name) =>
          this.#outputs.has(name) && this.#renamed.has(name) ? `${name}_QuantizeLinear_Input` : name,
        ),
      });
      for (const output of node.outputs) nodes.push(...(this.#after.get(output) ?? []));
    }
    const read = new Set([...nodes.flatMap(({ inputs }) => inputs), ...this.#outputs]);
    const initializers = [...graph.initializers, ...this.#initializers].filter(({ name }) => read.has(name));
    return { ...this.#model, graph: { ...graph, nodes, initializers } };
  }
}
