import { DataType, type Graph, type Node, type Tensor } from "./model.js";
import { renameUse, usedNames } from "./scopes.js";
import { tensorFrom } from "./tensor.js";

/**
 * Index over a graph (who produces, who consumes) with edits. The graph itself is never changed; {@link GraphView.build} makes a new one.
 * Nodes are immutable: an edit that changes a node replaces the object, so look nodes up again after edits ({@link GraphView.has}).
 */
export class GraphView {
  readonly graph: Graph;
  /** One slot per original node, so that replacements keep their place. */
  readonly #slots: Node[][];
  readonly #slotOf = new Map<Node, number>();
  readonly #producers = new Map<string, Node>();
  readonly #consumers = new Map<string, Set<Node>>();
  readonly #initializers = new Map<string, Tensor>();
  readonly #inputs: Set<string>;
  readonly #outputs: Set<string>;
  readonly #staleInfo = new Set<string>();
  readonly #names = new Set<string>();
  #changed = false;

  constructor(graph: Graph) {
    this.graph = graph;
    this.#inputs = new Set(graph.inputs.map(({ name }) => name));
    this.#outputs = new Set(graph.outputs.map(({ name }) => name));
    for (const tensor of graph.initializers) this.#initializers.set(tensor.name, tensor);
    this.#slots = graph.nodes.map((node, slot) => {
      this.#index(node, slot);
      return [node];
    });
    for (const name of [...this.#inputs, ...this.#outputs, ...this.#initializers.keys()]) this.#names.add(name);
  }

  #index(node: Node, slot: number): void {
    this.#slotOf.set(node, slot);
    for (const output of node.outputs) {
      if (output !== "") this.#producers.set(output, node);
      this.#names.add(output);
    }
    for (const name of usedNames(node)) {
      const users = this.#consumers.get(name);
      if (users) users.add(node);
      else this.#consumers.set(name, new Set([node]));
      this.#names.add(name);
    }
  }

  #unindex(node: Node): void {
    this.#slotOf.delete(node);
    for (const output of node.outputs) if (this.#producers.get(output) === node) this.#producers.delete(output);
    for (const name of usedNames(node)) this.#consumers.get(name)?.delete(node);
  }

  /** True after any edit. */
  get changed(): boolean {
    return this.#changed;
  }

  /** Current nodes in graph order. */
  nodes(): Node[] {
    return this.#slots.flat();
  }

  /** Nodes in graph order, each as it is when its turn comes: edits of nodes further down are seen. */
  *walk(): Generator<Node> {
    for (const slot of this.#slots) for (const node of [...slot]) if (this.#slotOf.has(node)) yield node;
  }

  has(node: Node): boolean {
    return this.#slotOf.has(node);
  }

  producer(name: string): Node | undefined {
    return this.#producers.get(name);
  }

  /** Nodes that use a value, also from inside their subgraphs. */
  consumers(name: string): Node[] {
    return [...(this.#consumers.get(name) ?? [])];
  }

  /** The only node that uses a value, if it is no graph output. */
  soleConsumer(name: string): Node | undefined {
    const users = this.#consumers.get(name);
    if (users?.size !== 1 || this.#outputs.has(name)) return undefined;
    return [...users][0];
  }

  isInput(name: string): boolean {
    return this.#inputs.has(name);
  }

  isOutput(name: string): boolean {
    return this.#outputs.has(name);
  }

  initializer(name: string): Tensor | undefined {
    return this.#initializers.get(name);
  }

  initializers(): Tensor[] {
    return [...this.#initializers.values()];
  }

  /** The tensor that a value always holds: an initializer that no caller can override, or the output of a Constant node. */
  constant(name: string): Tensor | undefined {
    const tensor = this.#initializers.get(name);
    if (tensor) return this.#inputs.has(name) ? undefined : tensor;
    const node = this.#producers.get(name);
    return node?.opType === "Constant" && node.domain === "" ? constantValue(node) : undefined;
  }

  /** Puts `replacements` (possibly none) where `node` was. */
  replace(node: Node, ...replacements: Node[]): void {
    const slot = this.#slotOf.get(node);
    if (slot === undefined) throw new RangeError(`Node "${node.name}" is not in this graph (any more).`);
    const list = this.#slots[slot]!;
    this.#unindex(node);
    list.splice(list.indexOf(node), 1, ...replacements);
    for (const added of replacements) this.#index(added, slot);
    this.#changed = true;
  }

  remove(node: Node): void {
    this.replace(node);
  }

  /** Adds an initializer, or replaces that of the same name. */
  setInitializer(tensor: Tensor): void {
    this.#initializers.set(tensor.name, tensor);
    this.#names.add(tensor.name);
    this.#changed = true;
  }

  removeInitializer(name: string): void {
    if (this.#initializers.delete(name)) this.#changed = true;
  }

  /** All uses of `from` by nodes read `to` instead; graph outputs stay as they are. */
  rewire(from: string, to: string): void {
    for (const node of this.consumers(from)) this.replace(node, renameUse(node, from, to));
  }

  /**
   * Takes a node out by letting its consumers read `input` in place of its first output. Keeps graph output names.
   * @returns false (and nothing done) if the node forwards a graph input, initializer or another output to a graph output.
   */
  bypass(node: Node, input: string): boolean {
    const output = node.outputs[0]!;
    if (!this.#outputs.has(output)) {
      this.remove(node);
      this.rewire(output, input);
      return true;
    }
    const producer = this.#producers.get(input);
    if (!producer || this.#outputs.has(input)) return false;
    this.remove(node);
    this.replace(producer, { ...producer, outputs: producer.outputs.map((name) => (name === input ? output : name)) });
    this.rewire(input, output);
    return true;
  }

  /** A value name that is not taken: `base`, or `base` with a counter. */
  freshName(base: string): string {
    let name = base;
    for (let i = 1; this.#names.has(name); i++) name = `${base}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** Forgets the recorded shape of a value because an edit changed it. */
  forgetShape(name: string): void {
    this.#staleInfo.add(name);
  }

  /** The edited graph; the original object if nothing changed. */
  build(): Graph {
    if (!this.#changed) return this.graph;
    return {
      ...this.graph,
      nodes: this.nodes(),
      initializers: this.initializers(),
      valueInfo: this.graph.valueInfo.filter(
        ({ name }) => (this.#producers.has(name) || this.#initializers.has(name)) && !this.#staleInfo.has(name),
      ),
    };
  }
}

/** The tensor that a Constant node yields; undefined for sparse or string constants. */
export function constantValue(node: Node): Tensor | undefined {
  const attribute = node.attributes[0];
  if (node.attributes.length !== 1 || !attribute) return undefined;
  const name = node.outputs[0] ?? "";
  switch (attribute.type) {
    case "TENSOR":
      return { ...attribute.value, name };
    case "FLOAT":
      return tensorFrom({ name, dataType: DataType.FLOAT, dims: [], data: [attribute.value] });
    case "FLOATS":
      return tensorFrom({ name, dataType: DataType.FLOAT, dims: [attribute.value.length], data: attribute.value });
    case "INT":
      return tensorFrom({ name, dataType: DataType.INT64, dims: [], data: [attribute.value] });
    case "INTS":
      return tensorFrom({ name, dataType: DataType.INT64, dims: [attribute.value.length], data: attribute.value });
    default:
      return undefined;
  }
}
