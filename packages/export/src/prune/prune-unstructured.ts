import type { Model, Tensor } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatTensor, floatValues } from "../graph-index.js";
import { headNodes } from "../quantize/head.js";
import { planQuantization } from "../quantize/plan.js";

/** Which single weights become 0: a share of all, or two of four in a row. */
export interface UnstructuredOptions {
  /** Share of the weights that becomes 0, over all layers together; not together with a pattern. @defaultValue 0.3 */
  readonly amount?: number;
  /** `2:4`: of four weights in a row along the input channels two become 0, as sparse tensor cores want it (`trtexec --sparsity=enable`). */
  readonly pattern?: "2:4";
}

/** What {@link pruneUnstructured} did. */
export interface UnstructuredReport {
  readonly weights: number;
  readonly zeros: number;
  /** Layers that were left alone: the last ones of each head branch, and those without four input channels for a pattern. */
  readonly skipped: readonly string[];
}

/** Zeroes the two smallest of every four weights along the second axis; null when its size is no multiple of 4. */
function twoOfFour(values: Float32Array, [, channels = 0, ...kernel]: readonly number[]): Float32Array | null {
  if (channels % 4 !== 0) return null;
  const result = values.slice();
  const taps = kernel.reduce((all, size) => all * size, 1);
  for (let block = 0; block < values.length; block += 4 * taps) {
    for (let tap = 0; tap < taps; tap++) {
      const four = [0, 1, 2, 3].map((i) => block + i * taps + tap);
      four.sort((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!) || a - b);
      result[four[0]!] = 0;
      result[four[1]!] = 0;
    }
  }
  return result;
}

/**
 * Zeroes the smallest weights by magnitude (L1) over all convolutions and products together. Biases, the distribution decoder and the last
 * layer of each head branch stay. The file compresses better and zeros survive symmetric INT8, but dense kernels run no faster: size only, unless
 * TensorRT runs the 2:4 pattern.
 *
 * @throws ExportError `PRUNE_CONFIG` for an amount outside 0..1, or an amount together with a pattern
 */
export function pruneUnstructured(
  model: Model,
  { amount, pattern }: UnstructuredOptions = {},
): { model: Model; report: UnstructuredReport } {
  const share = amount ?? 0.3;
  if (!(share > 0 && share < 1) || (amount !== undefined && pattern !== undefined)) {
    throw new ExportError({
      code: "PRUNE_CONFIG",
      message:
        pattern === undefined
          ? `amount is ${share}, expected a share between 0 and 1.`
          : "A 2:4 pattern fixes the share at one half; leave amount out.",
      details: { option: "amount" },
    });
  }
  const { graph } = model;
  const head = new Set([...headNodes(graph).values()].flat());
  const readByHead = new Set(graph.nodes.flatMap(({ name, inputs }) => (head.has(name) ? inputs : [])));
  const layers = planQuantization(graph, head).weighted;
  const isLast = (output: string): boolean =>
    readByHead.has(output) || graph.outputs.some(({ name }) => name === output);
  const last = new Set(layers.flatMap(({ node, weight }) => (isLast(node.outputs[0]!) ? [weight] : [])));
  const names = new Set(layers.map(({ weight }) => weight).filter((weight) => !last.has(weight)));
  const tensors = graph.initializers.filter(({ name }) => names.has(name));
  const skipped = [...last];
  const weights = tensors.reduce((sum, { dims }) => sum + dims.reduce((all, size) => all * size, 1), 0);

  const changed = new Map<string, Tensor>();
  const store = ({ name, dims }: Tensor, data: Float32Array): void =>
    void changed.set(name, floatTensor(name, data, dims));
  if (pattern === "2:4") {
    for (const tensor of tensors) {
      const data = twoOfFour(floatValues(tensor), tensor.dims);
      if (data === null) skipped.push(tensor.name);
      else store(tensor, data);
    }
  } else {
    const magnitudes = new Float32Array(weights);
    let at = 0;
    for (const tensor of tensors) for (const value of floatValues(tensor)) magnitudes[at++] = Math.abs(value);
    const count = Math.floor(share * weights);
    const threshold = magnitudes.sort()[count - 1] ?? -1;
    // Of weights that equal the threshold, the first ones go, so that exactly `count` do.
    let ties = count;
    for (const value of magnitudes) {
      if (value >= threshold) break;
      ties--;
    }
    for (const tensor of tensors) {
      store(
        tensor,
        floatValues(tensor).map((value) => {
          const size = Math.abs(value);
          if (size > threshold || (size === threshold && ties-- <= 0)) return value;
          return 0;
        }),
      );
    }
  }
  const initializers = graph.initializers.map((tensor) => changed.get(tensor.name) ?? tensor);
  let zeros = 0;
  for (const tensor of initializers) {
    if (names.has(tensor.name)) for (const value of floatValues(tensor)) if (value === 0) zeros++;
  }
  return { model: { ...model, graph: { ...graph, initializers } }, report: { weights, zeros, skipped } };
}
