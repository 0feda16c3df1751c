import { type Model, modelHash } from "@seg/onnx";
import { ExportError } from "../errors.js";
import type { CalibrationMethod, CalibrationTable } from "./calibrate.js";
import { headNodes } from "./head.js";
import { planQuantization } from "./plan.js";

/**
 * What one INT8 conversion quantises and with which ranges, independent of the target format: QDQ ONNX and TFLite read the same plan.
 * Plain data. Names are value and node names of the float ONNX model.
 */
export interface QuantizationPlan {
  readonly version: 1;
  /** Canonical hash of the float model that the plan belongs to. */
  readonly modelSha256: string;
  readonly calibration: {
    readonly method: CalibrationMethod;
    readonly images: number;
    /** Hash of the image tensors in their order. */
    readonly imagesSha256: string;
  };
  /**
   * Activation -> [min, max] as calibrated, tensors that share their source's parameters included. A tensor that is absent stays float.
   * Softmax results are fixed to [0, 1].
   */
  readonly ranges: Readonly<Record<string, readonly [min: number, max: number]>>;
  /** Tensor -> the tensor whose parameters it takes (reshape, pool, resize, split ...); never a chain. */
  readonly shared: Readonly<Record<string, string>>;
  /** Nodes that stay float: the decode head and whatever was asked for, in graph order. */
  readonly floatNodes: readonly string[];
}

/** @throws ExportError `CALIBRATION_STALE` when the table was made for another model */
export function assertFresh(model: Model, { modelSha256 }: Pick<CalibrationTable, "modelSha256">): void {
  const actual = modelHash(model);
  if (actual === modelSha256) return;
  throw new ExportError({
    code: "CALIBRATION_STALE",
    message: `The calibration table was made for model ${modelSha256.slice(0, 12)}, this is ${actual.slice(0, 12)}. Calibrate again.`,
    details: { expected: modelSha256, actual },
  });
}

/**
 * Joins graph and calibration: which tensors become integers, with which ranges, and which nodes stay float.
 *
 * @param options.excludeNodes - nodes that stay float beside the decode head. @defaultValue []
 * @param options.exclude - `none` quantises the head as well: for tests. @defaultValue "head"
 * @throws ExportError `CALIBRATION_STALE`; `QUANT_CONFIG` naming a tensor without a range
 */
export function quantizationPlan(
  model: Model,
  table: CalibrationTable,
  { exclude = "head", excludeNodes = [] }: { exclude?: "head" | "none"; excludeNodes?: readonly string[] } = {},
): QuantizationPlan {
  assertFresh(model, table);
  const { graph } = model;
  const head = exclude === "head" ? [...headNodes(graph).values()].flat() : [];
  const float = new Set([...head, ...excludeNodes]);
  const { activations, shared } = planQuantization(graph, float);
  // Where the source of a shared range stays float, its consumer needs that range itself.
  const sources = excludeNodes.length === 0 ? shared : planQuantization(graph, new Set(head)).shared;
  const softmax = new Set(graph.nodes.filter(({ opType }) => opType === "Softmax").flatMap(({ outputs }) => outputs));
  const ranges: Record<string, readonly [number, number]> = {};
  for (const tensor of activations) {
    const range = softmax.has(tensor)
      ? ([0, 1] as const)
      : (table.ranges[tensor] ?? table.ranges[sources.get(tensor) ?? ""]);
    if (range === undefined) {
      throw new ExportError({
        code: "QUANT_CONFIG",
        message: `The calibration table has no range for ${tensor}. Calibrate with the same exclusion (includeHead for exclude: "none").`,
        details: { tensor },
      });
    }
    ranges[tensor] = range;
  }
  for (const [tensor, owner] of shared) {
    // A shared constant has its own values as range and needs none here.
    if (ranges[owner] !== undefined) ranges[tensor] = ranges[owner];
  }
  const { method, images, imagesSha256 } = table;
  return {
    version: 1,
    modelSha256: table.modelSha256,
    calibration: { method, images, imagesSha256 },
    ranges,
    shared: Object.fromEntries(shared),
    floatNodes: graph.nodes.filter(({ name }) => float.has(name)).map(({ name }) => name),
  };
}
