import { type AttributeInput, DataType, type Node, type Tensor, tensorFrom, toAttribute } from "@seg/onnx";

/** Adds nodes and constants to a graph under one name prefix. */
export class GraphAppend {
  readonly nodes: Node[] = [];
  readonly initializers: Tensor[] = [];
  readonly #prefix: string;
  #counter = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** A node with one output; returns the output's name. */
  node(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
    output = `${this.#prefix}/${opType}_${this.#counter++}`,
  ): string {
    this.#push(opType, inputs, attributes, [output]);
    return output;
  }

  /** A node with several outputs; returns their names. */
  split(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeInput>>,
    count: number,
  ): string[] {
    const base = `${this.#prefix}/${opType}_${this.#counter++}`;
    const outputs = Array.from({ length: count }, (_, i) => `${base}_${i}`);
    this.#push(opType, inputs, attributes, outputs);
    return outputs;
  }

  #push(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeInput>>,
    outputs: string[],
  ): void {
    const list = Object.entries(attributes).map(([name, value]) => toAttribute(name, value));
    this.nodes.push({ opType, domain: "", name: `${outputs[0]}_node`, inputs: [...inputs], outputs, attributes: list });
  }

  /** int64 constant: a number is a scalar. */
  int64(name: string, value: number | readonly number[]): string {
    return this.#constant(name, DataType.INT64, value);
  }

  /** float32 constant: a number is a scalar. */
  float(name: string, value: number | readonly number[], dims?: readonly number[]): string {
    return this.#constant(name, DataType.FLOAT, value, dims);
  }

  #constant(name: string, dataType: number, value: number | readonly number[], dims?: readonly number[]): string {
    const full = `${this.#prefix}/${name}`;
    if (!this.initializers.some((tensor) => tensor.name === full)) {
      const data = typeof value === "number" ? [value] : value;
      const shape = dims ?? (typeof value === "number" ? [] : [value.length]);
      this.initializers.push(tensorFrom({ name: full, dataType, dims: shape, data }));
    }
    return full;
  }
}
