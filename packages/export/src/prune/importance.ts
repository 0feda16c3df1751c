import type { Tensor } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatValues } from "../graph-index.js";
import type { ChannelScale, ChannelUse } from "./channel-groups.js";

/**
 * How much a channel matters. `l2`: mean over the coupled layers of the L2 norm of the channel's weights, each layer's norms divided by their
 * mean, so that large kernels do not outvote small ones; weights are taken as they act behind their normalisation, x |gamma| / sqrt(var + eps). `gamma`: mean |scale| of the batch normalisations. A map of per-element scores by
 * initializer name (|weight x gradient| for a Taylor estimate) is summed over the channel's elements.
 */
export type Importance = "l2" | "gamma" | ReadonlyMap<string, Float32Array>;

/** Calls `visit` with each element's channel on `axis` and its flat index. */
export function forEachChannel(
  dims: readonly number[],
  axis: number,
  visit: (channel: number, at: number) => void,
): void {
  const count = dims[axis]!;
  const inner = dims.slice(axis + 1).reduce((all, size) => all * size, 1);
  const outer = dims.slice(0, axis).reduce((all, size) => all * size, 1);
  for (let o = 0, at = 0; o < outer; o++) {
    for (let channel = 0; channel < count; channel++) for (let i = 0; i < inner; i++, at++) visit(channel, at);
  }
}

/** Sum over the elements of each channel. */
function perChannel({ dims }: Tensor, axis: number, score: (at: number) => number): Float64Array {
  const sums = new Float64Array(dims[axis]!);
  forEachChannel(dims, axis, (channel, at) => {
    sums[channel] = sums[channel]! + score(at);
  });
  return sums;
}

/** |gamma| / sqrt(var + eps) per channel. */
function normalisationFactors(
  { gamma, variance, epsilon }: ChannelScale,
  initializers: ReadonlyMap<string, Tensor>,
): Float64Array {
  const spread = floatValues(initializers.get(variance)!);
  return Float64Array.from(floatValues(initializers.get(gamma)!), (value, channel) => {
    return Math.abs(value) / Math.sqrt(spread[channel]! + epsilon);
  });
}

/**
 * Importance of every unit that the uses name.
 * @throws ExportError `PRUNE_CONFIG` for `gamma` on a graph whose normalisations are folded, or scores of another size
 */
export function unitImportance({
  uses,
  scales,
  initializers,
  importance,
  rootOf,
}: {
  uses: readonly ChannelUse[];
  scales: ReadonlyMap<string, ChannelScale>;
  initializers: ReadonlyMap<string, Tensor>;
  importance: Importance;
  rootOf: (unit: number) => number;
}): Map<number, number> {
  const sums = new Map<number, { sum: number; count: number }>();
  const add = (units: Int32Array, scores: Float64Array): void =>
    units.forEach((unit, i) => {
      const root = rootOf(unit);
      const entry = sums.get(root) ?? { sum: 0, count: 0 };
      entry.sum += scores[i]!;
      entry.count++;
      sums.set(root, entry);
    });
  const gammas = new Set([...scales.values()].map(({ gamma }) => gamma));
  for (const { tensor: name, axis, units, role } of uses) {
    const tensor = initializers.get(name)!;
    const values = floatValues(tensor);
    if (importance === "gamma") {
      if (gammas.has(name))
        add(
          units,
          perChannel(tensor, axis, (at) => Math.abs(values[at]!)),
        );
    } else if (importance === "l2") {
      if (role === "affine") continue;
      const scale = role === "output" ? scales.get(name) : undefined;
      const factor = scale === undefined ? null : normalisationFactors(scale, initializers);
      const norms = perChannel(tensor, axis, (at) => values[at]! ** 2).map(
        (sum, channel) => Math.sqrt(sum) * (factor?.[channel] ?? 1),
      );
      const mean = norms.reduce((sum, norm) => sum + norm, 0) / norms.length;
      add(units, mean === 0 ? norms : norms.map((norm) => norm / mean));
    } else {
      const scores = importance.get(name);
      if (scores === undefined) continue;
      if (scores.length !== values.length) {
        throw new ExportError({
          code: "PRUNE_CONFIG",
          message: `Importance of ${name} has ${scores.length} scores, the tensor has ${values.length} elements. Give one score an element.`,
          details: { option: "importance" },
        });
      }
      add(
        units,
        perChannel(tensor, axis, (at) => scores[at]!),
      );
    }
  }
  if (sums.size === 0) {
    throw new ExportError({
      code: "PRUNE_CONFIG",
      message: `Importance "${String(importance)}" finds nothing to judge channels by. On a graph with folded normalisations use "l2".`,
      details: { option: "importance" },
    });
  }
  return new Map([...sums].map(([root, { sum, count }]) => [root, sum / count]));
}
