import { encodeModel, type Model } from "@seg/onnx";
import { createSession } from "../runtime/session.js";
import type { CalibrationTable } from "./calibrate.js";
import { headNodes } from "./head.js";
import { type LayerGroup, layerGroups } from "./layer-groups.js";
import { type QuantizeOptions, quantizeStatic } from "./quantize-static.js";
import { Energy, outputParts } from "./sqnr.js";

/** How much one layer's quantisation disturbs the outputs. */
export interface LayerSensitivity extends LayerGroup {
  /** SQNR of the worst output part (boxes, classes, coefficients, prototypes) when only this layer is quantised, dB. */
  readonly sqnrDb: number;
  /** That part. */
  readonly output: string;
}

/** What a ranking of layers by their effect on the output needs. */
export interface RankOptions extends Pick<QuantizeOptions, "preset" | "excludeNodes"> {
  readonly numClasses: number;
  /** Inputs as the network sees them, CHW; a handful is enough. */
  readonly images: readonly Float32Array[];
  /** @defaultValue 1 */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: { done: number; total: number; layer: string }) => void;
}

/**
 * Ranks layers by what quantising each one alone does to the outputs, worst first: one short session a layer.
 *
 * @throws ExportError `CALIBRATION_STALE`, `QUANT_CONFIG`; the signal's reason when aborted
 */
export async function rankSensitivity(
  model: Model,
  table: CalibrationTable,
  { images, numClasses, preset = "x64", excludeNodes = [], threads = 1, signal, onProgress }: RankOptions,
): Promise<LayerSensitivity[]> {
  const { graph } = model;
  const input = graph.inputs[0]!;
  const dims = (input.shape ?? []).map(Number);
  const run = async (candidate: Model) => {
    const session = await createSession({ model: encodeModel(candidate), threads });
    try {
      const outputs = [];
      for (const data of images) outputs.push(await session.run({ [input.name]: { data, dims } }));
      return outputs;
    } finally {
      await session.dispose();
    }
  };
  const float = new Set([...[...headNodes(graph).values()].flat(), ...excludeNodes]);
  const groups = layerGroups(graph, float);
  const reference = await run(model);
  const ranked: LayerSensitivity[] = [];
  for (const [done, group] of groups.entries()) {
    signal?.throwIfAborted();
    const own = new Set(group.nodes);
    const others = graph.nodes.filter(({ name }) => !own.has(name)).map(({ name }) => name);
    const outputs = await run(quantizeStatic(model, table, { preset, excludeNodes: others }));
    const energies = new Map<string, Energy>();
    for (const [i, x] of reference.entries()) {
      for (const { name } of graph.outputs) {
        for (const [part, from, to] of outputParts(name, x[name]!, numClasses)) {
          const energy = energies.get(part) ?? new Energy();
          energies.set(part, energy);
          energy.add(x[name]!.data, outputs[i]![name]!.data, from, to);
        }
      }
    }
    const [worst] = [...energies].sort(([, a], [, b]) => a.decibels - b.decibels);
    ranked.push({ ...group, output: worst?.[0] ?? "", sqnrDb: worst?.[1].decibels ?? Number.POSITIVE_INFINITY });
    onProgress?.({ done: done + 1, total: groups.length, layer: group.layer });
  }
  return ranked.sort((a, b) => a.sqnrDb - b.sqnrDb);
}
