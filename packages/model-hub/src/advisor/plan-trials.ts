import { SplitRandom } from "@seg/coco-dataset";
import { HubError } from "../errors.js";
import { canonicalSha256 } from "../registry/canonical-json.js";
import type { Fact } from "./facts.js";

/** A parameter and where it may lie; `log` spreads trials evenly over magnitudes. */
export interface ParamRange {
  readonly min: number;
  readonly max: number;
  readonly scale?: "linear" | "log";
  readonly integer?: boolean;
}

/** What a sweep varies. */
export type SweepVariation =
  | { readonly kind: "seed"; readonly count: number }
  /** Latin hypercube over ranges; trial 0 are the defaults. */
  | { readonly kind: "param"; readonly count: number; readonly space?: Readonly<Record<string, ParamRange>> }
  /** Every combination of values. */
  | { readonly kind: "grid"; readonly values: Readonly<Record<string, readonly Fact[]>> }
  | { readonly kind: "adapter"; readonly adapters: readonly string[] }
  /** Product of several, in an order that mixes them. */
  | { readonly kind: "mixed"; readonly of: readonly Exclude<SweepVariation, { kind: "mixed" }>[] };

/** Parameters of one run of a sweep. */
export interface Trial {
  readonly index: number;
  /** Of the parameters: the same trial is found again when a sweep is resumed. */
  readonly id: string;
  readonly params: Readonly<Record<string, Fact>>;
}

const MAX_TRIALS = 32;

/** Ranges of the students' training that are usually worth a look. */
export const DEFAULT_SPACE: Readonly<Record<string, ParamRange>> = {
  lr0: { min: 1e-5, max: 1e-1, scale: "log" },
  lrf: { min: 1e-4, max: 1, scale: "log" },
  momentum: { min: 0.7, max: 0.98 },
  weight_decay: { min: 0, max: 1e-3 },
  warmup_epochs: { min: 0, max: 5 },
  box: { min: 1, max: 20 },
  cls: { min: 0.1, max: 4 },
  dfl: { min: 0.4, max: 6 },
  degrees: { min: 0, max: 45 },
};

/**
 * Trials of a sweep: the same for the same seed.
 *
 * @param base - parameters of every trial; `seed` among them, if any, is where seeds start
 * @param maxTrials - @defaultValue 32
 * @throws HubError `INVALID_REQUEST` for more trials than that, none, or a range that is none
 */
export function planTrials({
  variation,
  base = {},
  seed = 0,
  maxTrials = MAX_TRIALS,
}: {
  variation: SweepVariation;
  base?: Readonly<Record<string, Fact>>;
  seed?: number;
  maxTrials?: number;
}): Trial[] {
  const changes = changesOf(variation, { base, seed });
  if (changes.length === 0 || changes.length > maxTrials) {
    const many = changes.length === 0 ? "no trial" : `${changes.length} trials; at most ${maxTrials} are allowed`;
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `The sweep has ${many}. Vary ${changes.length === 0 ? "something" : "less, or raise maxTrials"}.`,
    });
  }
  return changes.map((change, index) => {
    const params = { ...base, ...change };
    return { index, id: canonicalSha256(params).slice(0, 12), params };
  });
}

type Change = Readonly<Record<string, Fact>>;

function changesOf(
  variation: SweepVariation,
  context: { base: Readonly<Record<string, Fact>>; seed: number },
): Change[] {
  const { base, seed } = context;
  switch (variation.kind) {
    case "seed": {
      const first = typeof base["seed"] === "number" ? base["seed"] : seed;
      return Array.from({ length: variation.count }, (_, i) => ({ seed: first + i }));
    }
    case "param":
      return latinHypercube(variation.space ?? DEFAULT_SPACE, variation.count, seed);
    case "grid":
      return Object.entries(variation.values).reduce<Change[]>(
        (all, [name, values]) => all.flatMap((change) => values.map((value) => ({ ...change, [name]: value }))),
        [{}],
      );
    case "adapter":
      return variation.adapters.map((adapter) => ({ adapter }));
    case "mixed": {
      const product = variation.of.reduce<Change[]>(
        (all, part) => all.flatMap((change) => changesOf(part, context).map((more) => ({ ...change, ...more }))),
        [{}],
      );
      return new SplitRandom(`mixed ${seed}`).shuffle(product);
    }
  }
}

/** One trial in each of `count - 1` slices of every range; trial 0 changes nothing. */
function latinHypercube(space: Readonly<Record<string, ParamRange>>, count: number, seed: number): Change[] {
  const slices = count - 1;
  const columns = Object.entries(space).map(([name, range]) => {
    const { min, max, scale = "linear", integer = false } = range;
    if (!(min < max) || (scale === "log" && !(min > 0))) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `The range of "${name}" is ${min} to ${max} (${scale}): the lower bound must be below the upper one, and above 0 for magnitudes.`,
      });
    }
    const random = new SplitRandom(`param ${name} ${seed}`);
    const order = random.shuffle(Array.from({ length: slices }, (_, i) => i));
    return order.map((slice): [string, number] => {
      const share = (slice + random.uint32() / 2 ** 32) / slices;
      const value = scale === "log" ? min * (max / min) ** share : min + (max - min) * share;
      return [name, integer ? Math.round(value) : value];
    });
  });
  const trials = Array.from({ length: Math.max(0, slices) }, (_, i) =>
    Object.fromEntries(columns.map((column) => column[i]!)),
  );
  return count < 1 ? [] : [{}, ...trials];
}
