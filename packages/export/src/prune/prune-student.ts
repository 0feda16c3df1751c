import { type LayerWidths, layerWidths, type StateDict, stateDict } from "@seg/nn";
import { type Deployable, traceStudent } from "../trace-student.js";
import { type PruneOptions, planPruning } from "./plan-pruning.js";
import { applyPruning, type PruneReport, pruneReport } from "./prune-structured.js";
import { selectChannels } from "./select-channels.js";

/** A narrower student: its weights, and the widths without which they fit no network. */
export interface PrunedStudent {
  readonly weights: StateDict;
  readonly widths: LayerWidths;
  readonly report: PruneReport;
}

/**
 * Removes channels from a student's weights: what {@link pruneStructured} does to a graph, for a network that is trained further. Build the
 * narrower network with `createYolov8({ widths })`, or call `setLayerWidths`. The backend `onnxruntime` must be active.
 *
 * @param imgsz - side of the square input, or `[height, width]`, multiples of 32
 * @throws ExportError `PRUNE_CONFIG`
 */
export function pruneStudent({
  prune,
  ...student
}: Deployable & {
  imgsz: number | readonly [height: number, width: number];
  prune: PruneOptions;
}): PrunedStudent {
  const { model } = student;
  const traced = traceStudent(student);
  const plan = planPruning(traced, prune);
  const weights: StateDict = stateDict(model);
  for (const [name, axes] of plan.keep) {
    const { shape, data, ...rest } = weights.get(name)!;
    const selected = selectChannels(data as Float32Array, shape, axes);
    weights.set(name, { ...rest, shape: selected.dims, data: selected.data });
  }
  return {
    weights,
    widths: layerWidths(model, weights),
    report: pruneReport(traced, applyPruning(traced, plan), plan.groups),
  };
}
