import { collect, type RecordedNode, storageType, type Value } from "./graph.js";

/** What graphs of one session have in common: operators, attributes, wiring, shapes and dtypes, never values. */
export class GraphStructure {
  readonly hash: number;
  readonly #words: Int32Array;

  constructor(words: Int32Array) {
    this.#words = words;
    this.hash = hash(words);
  }

  /** Compares in full: equal hashes are not enough. */
  equals(other: GraphStructure): boolean {
    const a = this.#words;
    const b = other.#words;
    if (a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
    return true;
  }
}

/** Description of a graph as int32: per node its key and, per input, where it comes from; then the outputs. */
export function describeGraph(roots: readonly Value[]): {
  readonly nodes: readonly RecordedNode[];
  /** Values without producer, in the order in which the structure meets them. */
  readonly sources: readonly Value[];
  readonly structure: GraphStructure;
} {
  const nodes = collect(roots);
  const nodeIndex = new Map<RecordedNode, number>();
  const sourceIndex = new Map<Value, number>();
  const sources: Value[] = [];
  const words: number[] = [];
  const dtypeCode: Record<string, number> = { float32: 1, int32: 2, bool: 3, float16: 4 };
  for (let n = 0; n < nodes.length; n++) {
    const node = nodes[n]!;
    nodeIndex.set(node, n);
    words.push(node.key, node.inputs.length);
    for (const input of node.inputs) {
      if (input.node !== null) {
        words.push(nodeIndex.get(input.node)!, input.index);
        continue;
      }
      let at = sourceIndex.get(input);
      if (at === undefined) {
        at = sources.length;
        sourceIndex.set(input, at);
        sources.push(input);
        words.push(-1, at, dtypeCode[storageType(input)] ?? 0, input.shape.length, ...input.shape);
      } else {
        words.push(-2, at);
      }
    }
  }
  words.push(-3);
  for (const root of roots) words.push(nodeIndex.get(root.node!)!, root.index);
  return { nodes, sources, structure: new GraphStructure(Int32Array.from(words)) };
}

function hash(structure: Int32Array): number {
  let h = 0x811c9dc5;
  let g = 0x9e3779b9;
  for (let i = 0; i < structure.length; i++) {
    h = Math.imul(h ^ structure[i]!, 0x01000193);
    g = Math.imul(g + structure[i]!, 0x85ebca6b) ^ (g >>> 15);
  }
  // 52 bits in one exact double
  return (h >>> 0) * 0x100000 + ((g >>> 0) & 0xfffff);
}
