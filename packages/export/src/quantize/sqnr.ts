import { encodeModel, type Model } from "@seg/onnx";
import type { RawTensor } from "../runtime/decode.js";
import { createSession } from "../runtime/session.js";
import { withOutputs } from "./observe.js";

/** Signal-to-quantisation-noise ratio of one tensor. */
export interface SqnrEntry {
  tensor: string;
  /** 20 log10(|x| / |x - y|); Infinity for equal tensors. */
  sqnrDb: number;
}

/** Signal to quantisation noise, in decibels, of activations and outputs. */
export interface SqnrReport {
  /** Quantised activations in graph order. */
  tensors: SqnrEntry[];
  /** Graph outputs; `output0` in its parts: boxes, classes, coefficients. */
  outputs: SqnrEntry[];
  /** The tensors with the lowest ratio, worst first. */
  worst: SqnrEntry[];
  samples: number;
}

/** Energies of a signal and its noise that add up over samples. */
export class Energy {
  #signal = 0;
  #noise = 0;

  add(x: Float32Array, y: Float32Array, from = 0, to = x.length): void {
    for (let i = from; i < to; i++) {
      this.#signal += x[i]! * x[i]!;
      this.#noise += (x[i]! - y[i]!) ** 2;
    }
  }

  get decibels(): number {
    if (this.#noise === 0) return Number.POSITIVE_INFINITY;
    return 10 * Math.log10(this.#signal / this.#noise);
  }
}

/**
 * SQNR of two equal-sized tensors in dB.
 * @example sqnrDb(Float32Array.of(10), Float32Array.of(9)) // 20
 */
export function sqnrDb(x: Float32Array, y: Float32Array): number {
  const energy = new Energy();
  energy.add(x, y);
  return energy.decibels;
}

/** Element ranges of an output: `output0` [1, 4 + nc + nm, A] in its parts, others whole. */
export function outputParts(
  output: string,
  { dims, data }: RawTensor,
  numClasses: number,
): [name: string, from: number, to: number][] {
  if (output !== "output0") return [[output, 0, data.length]];
  const [, channels = 0, anchors = 0] = dims;
  const list: [string, number, number][] = [
    ["output0 boxes", 0, 4],
    ["output0 classes", 4, 4 + numClasses],
    ["output0 coefficients", 4 + numClasses, channels],
  ];
  return list.filter(([, from, to]) => to > from).map(([name, from, to]) => [name, from * anchors, to * anchors]);
}

/**
 * Compares a quantised model with its float source, tensor by tensor, over samples.
 *
 * @param samples - inputs as the network sees them, CHW each
 * @param options.numClasses - splits `output0` into boxes, classes and coefficients
 * @param options.worst - how many tensors `worst` lists. @defaultValue 10
 */
export async function sqnrReport(
  float: Model,
  quantized: Model,
  samples: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  { numClasses, worst = 10, threads = 1 }: { numClasses: number; worst?: number; threads?: number },
): Promise<SqnrReport> {
  const made = new Set(quantized.graph.nodes.flatMap((node) => node.outputs));
  const inputs = new Set(float.graph.inputs.map(({ name }) => name));
  const pairs: [string, string][] = [];
  for (const node of quantized.graph.nodes) {
    if (node.opType !== "QuantizeLinear") continue;
    const tensor = node.name.slice(0, -"_QuantizeLinear".length);
    const dequantized = `${tensor}_DequantizeLinear_Output`;
    if (!inputs.has(tensor)) pairs.push([tensor, made.has(dequantized) ? dequantized : tensor]);
  }
  const reference = await createSession({
    model: encodeModel(
      withOutputs(
        float,
        pairs.map(([tensor]) => tensor),
      ),
    ),
    threads,
  });
  const candidate = await createSession({
    model: encodeModel(
      withOutputs(
        quantized,
        pairs.map(([, tensor]) => tensor),
      ),
    ),
    threads,
  });
  const input = float.graph.inputs[0]!;
  const dims = (input.shape ?? []).map(Number);
  const energies = new Map(pairs.map(([tensor]) => [tensor, new Energy()]));
  const outputEnergies = new Map<string, Energy>();
  let count = 0;
  try {
    for await (const data of samples) {
      count++;
      const x = await reference.run({ [input.name]: { data, dims } });
      const y = await candidate.run({ [input.name]: { data, dims } });
      for (const [tensor, other] of pairs) energies.get(tensor)!.add(x[tensor]!.data, y[other]!.data);
      for (const { name } of float.graph.outputs) {
        const tensor = x[name]!;
        for (const [part, from, to] of outputParts(name, tensor, numClasses)) {
          const energy = outputEnergies.get(part) ?? new Energy();
          outputEnergies.set(part, energy);
          energy.add(tensor.data, y[name]!.data, from, to);
        }
      }
    }
  } finally {
    await reference.dispose();
    await candidate.dispose();
  }
  const entries = (map: Map<string, Energy>): SqnrEntry[] =>
    [...map].map(([tensor, energy]) => ({ tensor, sqnrDb: energy.decibels }));
  const tensors = entries(energies);
  return {
    tensors,
    outputs: entries(outputEnergies),
    worst: [...tensors].sort((a, b) => a.sqnrDb - b.sqnrDb).slice(0, worst),
    samples: count,
  };
}
