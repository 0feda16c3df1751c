import { intAttribute } from "./attributes.js";
import { inferValues } from "./infer-shapes.js";
import type { Model } from "./model.js";

/** Multiply-accumulates of one forward pass. */
export interface MacCount {
  /** Of all counted nodes; FLOPs by the usual convention are twice this. */
  readonly total: number;
  /** Node name (or first output, where a node has none) -> multiply-accumulates. */
  readonly nodes: ReadonlyMap<string, number>;
  /** Nodes with weights or products whose shapes are not known, hence not counted. */
  readonly unknown: readonly string[];
}

const counted = new Set(["Conv", "ConvTranspose", "Gemm", "MatMul"]);

const product = (dims: readonly number[]): number => dims.reduce((all, size) => all * size, 1);

/**
 * Multiply-accumulates of Conv (output elements x kernel x input channels of a group), ConvTranspose (input elements x kernel x output
 * channels of a group), Gemm and MatMul (output elements x contracted size). Elementwise operators, pools and biases are not counted.
 *
 * @example countMacs(model).total * 2 / 1e9 // GFLOPs
 */
export function countMacs(model: Model): MacCount {
  const values = inferValues(model);
  const sizes = (name: string | undefined): number[] | null => {
    const shape = name === undefined ? undefined : values.get(name)?.shape;
    return shape?.every((size) => typeof size === "number") ? (shape as number[]) : null;
  };
  const nodes = new Map<string, number>();
  const unknown: string[] = [];
  let total = 0;
  for (const node of model.graph.nodes) {
    if (node.domain !== "" || !counted.has(node.opType)) continue;
    const name = node.name === "" ? node.outputs[0]! : node.name;
    const [x, w, y] = [sizes(node.inputs[0]), sizes(node.inputs[1]), sizes(node.outputs[0])];
    if (!x || !w || !y) {
      unknown.push(name);
      continue;
    }
    const isTransposed = intAttribute(node, "transA", 0) === 1;
    const macs =
      node.opType === "Conv"
        ? product(y) * product(w.slice(1))
        : node.opType === "ConvTranspose"
          ? product(x) * product(w.slice(1))
          : product(y) * (isTransposed ? x.at(-2)! : x.at(-1)!);
    nodes.set(name, macs);
    total += macs;
  }
  return { total, nodes, unknown };
}
