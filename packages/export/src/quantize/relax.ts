import type { Model } from "@seg/onnx";
import { ExportError } from "../errors.js";
import type { CalibrationTable } from "./calibrate.js";
import { type QuantizeOptions, quantizeStatic } from "./quantize-static.js";
import { type LayerSensitivity, type RankOptions, rankSensitivity } from "./rank-sensitivity.js";

/** Verdict of a gate on one candidate. */
export interface GateResult {
  readonly passed: boolean;
  /** What was measured, for example the loss of mAP50-95, and its limit. */
  readonly value: number;
  readonly limit: number;
}

/** How layers go back to float, worst first, until a gate passes. */
export interface RelaxOptions extends RankOptions, Pick<QuantizeOptions, "overrides"> {
  /** Name of the gate, for errors. */
  readonly gate: string;
  /** Judges a candidate. */
  readonly judge: (candidate: Model) => GateResult | Promise<GateResult>;
  /** Layers that may stay float. @defaultValue 8 */
  readonly maxLayers?: number;
}

/** Result of {@link quantizeWithin}. */
export interface RelaxedModel {
  readonly model: Model;
  /** Layers that stay float, worst first; empty when full quantisation passed. */
  readonly floatLayers: readonly string[];
  /** Verdict after 0, 1, 2, ... layers. */
  readonly attempts: readonly GateResult[];
  /** Every layer, worst first; null when no ranking was needed. */
  readonly ranking: readonly LayerSensitivity[] | null;
}

/**
 * Quantises, and leaves the worst layers float one after the other until the gate passes. Layers are ranked only if the gate fails.
 *
 * @throws ExportError `GATE_FAILED` naming the worst layers when `maxLayers` float layers are not enough
 */
export async function quantizeWithin(
  model: Model,
  table: CalibrationTable,
  { gate, judge, maxLayers = 8, overrides = {}, ...rank }: RelaxOptions,
): Promise<RelaxedModel> {
  const { preset = "x64", excludeNodes = [] } = rank;
  const attempts: GateResult[] = [];
  let ranking: LayerSensitivity[] | null = null;
  for (let layers = 0; ; layers++) {
    rank.signal?.throwIfAborted();
    const float: LayerSensitivity[] = ranking?.slice(0, layers) ?? [];
    const kept = [...excludeNodes, ...float.flatMap(({ nodes }) => nodes)];
    const candidate = quantizeStatic(model, table, { preset, excludeNodes: kept, overrides });
    const result = await judge(candidate);
    attempts.push(result);
    if (result.passed) return { model: candidate, floatLayers: float.map(({ layer }) => layer), attempts, ranking };
    ranking ??= await rankSensitivity(model, table, rank);
    if (layers < Math.min(maxLayers, ranking.length)) continue;
    const worst = ranking.slice(0, 5).map(({ layer, sqnrDb }) => ({ tensor: layer, sqnrDb }));
    const names = worst.map(({ tensor, sqnrDb }) => `${tensor} (${sqnrDb.toFixed(1)} dB)`).join(", ");
    throw new ExportError({
      code: "GATE_FAILED",
      message: `INT8 misses the gate ${gate}: ${result.value.toFixed(4)}, limit ${result.limit}, with ${layers} layers left float. Worst layers: ${names}. Calibrate with more images of the domain, or allow more float layers.`,
      details: { gate, value: result.value, limit: result.limit, worst },
    });
  }
}
