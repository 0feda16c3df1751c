import type { Model } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { indexGraph } from "../graph-index.js";
import { type ChannelSplit, type ChannelUse, channelGroups } from "./channel-groups.js";
import { type Importance, unitImportance } from "./importance.js";

/** How many channels go, judged by what, and which stay. */
export interface PruneOptions {
  /** Share of the channels of every group that goes, 0 < ratio < 1. */
  readonly ratio: number;
  /** @defaultValue "l2" */
  readonly importance?: Importance;
  /** Channel counts are rounded to a multiple of this; 16 for TensorRT INT8. @defaultValue 8 */
  readonly roundTo?: number;
  /** No group falls below this many channels. @defaultValue 8 */
  readonly minChannels?: number;
  /** No group loses more than this share, whatever the rounding. @defaultValue 0.8 */
  readonly maxRatio?: number;
}

/** What a group keeps. */
export interface PrunedGroup {
  /** Layers whose outputs are coupled. */
  readonly layers: string;
  readonly before: number;
  readonly after: number;
}

/** Which channels stay, by initializer. */
export interface PruningPlan {
  readonly groups: readonly PrunedGroup[];
  /** Initializer -> axis -> indices that stay, ascending. Initializers that keep everything are absent. */
  readonly keep: ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;
  /** First output of a Split -> sizes that its parts keep. */
  readonly splits: ReadonlyMap<string, readonly number[]>;
  /** Outputs of the Reshape nodes that give a bias its shape -> channels that stay. */
  readonly shapes: ReadonlyMap<string, number>;
}

/** @throws ExportError `PRUNE_CONFIG` naming the option */
function assertOptions({ ratio, roundTo, minChannels, maxRatio }: Required<Omit<PruneOptions, "importance">>): void {
  const check = (option: string, isValid: boolean, expected: string, actual: number): void => {
    if (isValid) return;
    throw new ExportError({
      code: "PRUNE_CONFIG",
      message: `${option} is ${actual}, expected ${expected}.`,
      details: { option },
    });
  };
  check("ratio", ratio > 0 && ratio < 1, "a share between 0 and 1", ratio);
  check("roundTo", Number.isInteger(roundTo) && roundTo >= 1, "an integer of at least 1", roundTo);
  check("minChannels", Number.isInteger(minChannels) && minChannels >= 1, "an integer of at least 1", minChannels);
  check("maxRatio", maxRatio > 0 && maxRatio < 1, "a share between 0 and 1", maxRatio);
}

/** Channels that stay of `size`: the nearest multiple of `roundTo`, within the limits. */
function keptChannels(
  size: number,
  { ratio, roundTo, minChannels, maxRatio }: Required<Omit<PruneOptions, "importance">>,
): number {
  const rounded = Math.round((size * (1 - ratio)) / roundTo) * roundTo;
  return Math.min(size, Math.max(rounded, minChannels, Math.ceil(size * (1 - maxRatio) - 1e-9)));
}

/**
 * Chooses the channels that go: in every group of coupled channels the least important ones. Groups that meet the decoder, a graph output
 * or an operator without a channel rule keep everything (see {@link channelGroups}). Equal parts of a split keep equal numbers.
 *
 * @throws ExportError `PRUNE_CONFIG` for options out of range, or when no channel can go
 */
export function planPruning(
  { graph }: Model,
  { importance = "l2", ratio, roundTo = 8, minChannels = 8, maxRatio = 0.8 }: PruneOptions,
): PruningPlan {
  const limits = { ratio, roundTo, minChannels, maxRatio };
  assertOptions(limits);
  const { groups, uses, splits, shapes, scales, rootOf } = channelGroups(graph);
  const { initializers } = indexGraph(graph);
  const scores = unitImportance({ uses, scales, initializers, importance, rootOf });
  const gone = new Set<number>();
  const pruned = groups.map(({ key, units }): PrunedGroup => {
    const after = keptChannels(units.length, limits);
    // Ties keep the earlier channel.
    const ranked = [...units].sort((a, b) => (scores.get(b) ?? 0) - (scores.get(a) ?? 0) || a - b);
    for (const unit of ranked.slice(after)) gone.add(unit);
    return { layers: key, before: units.length, after };
  });
  if (gone.size === 0) {
    throw new ExportError({
      code: "PRUNE_CONFIG",
      message: `No channel can go: ratio ${ratio} rounds to nothing at multiples of ${roundTo}, or every channel meets the decoder. Use a larger ratio or a smaller roundTo.`,
      details: { option: "ratio" },
    });
  }
  const staying = (units: Int32Array): number[] => {
    const kept: number[] = [];
    units.forEach((unit, i) => {
      if (!gone.has(rootOf(unit))) kept.push(i);
    });
    return kept;
  };
  return {
    groups: pruned,
    keep: keepByTensor(uses, staying),
    splits: new Map(
      splits.map(({ node, parts }: ChannelSplit) => [node.outputs[0]!, parts.map((part) => staying(part).length)]),
    ),
    shapes: new Map([...shapes].map(([name, units]) => [name, staying(units).length])),
  };
}

function keepByTensor(
  uses: readonly ChannelUse[],
  staying: (units: Int32Array) => number[],
): Map<string, Map<number, number[]>> {
  const keep = new Map<string, Map<number, number[]>>();
  for (const { tensor, axis, units } of uses) {
    const kept = staying(units);
    if (kept.length === units.length) continue;
    const axes = keep.get(tensor) ?? new Map<number, number[]>();
    axes.set(axis, kept);
    keep.set(tensor, axes);
  }
  return keep;
}
