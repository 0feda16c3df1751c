import { StateDictError } from "./errors.js";
import type { StateTensor } from "./module.js";
import type { TensorSource } from "./weights/tensor-source.js";

/**
 * One rule of a {@link KeyMap}. `match` is applied to the whole key; rename targets may use `$1` and `$<name>`.
 * - `{ match, rename }`: replaces the matched part.
 * - `{ match, drop: true }`: leaves the key out.
 * - `{ match, split }`: cuts the tensor into equal parts along axis 0, one key each.
 * - `{ match, copy }`: keeps the key and adds another with the same values.
 */
export type KeyRule =
  | { readonly match: RegExp; readonly rename: string }
  | { readonly match: RegExp; readonly drop: true }
  | { readonly match: RegExp; readonly split: readonly string[] }
  | { readonly match: RegExp; readonly copy: string };

/** Where a target key comes from. */
export interface KeyOrigin {
  readonly source: string;
  /** Part `index` of `count` along axis 0; absent for whole tensors. */
  readonly part?: { readonly index: number; readonly count: number };
}

/** What a {@link KeyMap} made of a list of keys. */
export interface KeyMapReport {
  /** Target key to its origin, in source order. */
  readonly origins: ReadonlyMap<string, KeyOrigin>;
  readonly dropped: readonly string[];
  /** Source keys that came out under another name, split or copied. */
  readonly changed: readonly string[];
  /** Source keys that no target pattern covers. Empty where the map has none. */
  readonly leftover: readonly string[];
  /** Rules that matched nothing. */
  readonly unused: readonly KeyRule[];
}

/**
 * Ordered rules from the keys of one convention to those of another. Every rule sees what the earlier ones made of a key.
 * @example
 * const map = new KeyMap([{ match: /^module\./, rename: "" }, { match: /\.qkv\./, split: [".q.", ".k.", ".v."] }]);
 * map.plan(["module.a.qkv.weight"]).origins.get("a.k.weight"); // { source: "module.a.qkv.weight", part: { index: 1, count: 3 } }
 */
export class KeyMap {
  readonly rules: readonly KeyRule[];
  readonly #targets: readonly RegExp[] | null;

  /** @param targets - what target keys look like; source keys that end as anything else are left over. @defaultValue any */
  constructor(rules: readonly KeyRule[], { targets = null }: { targets?: readonly RegExp[] | null } = {}) {
    this.rules = rules;
    this.#targets = targets;
  }

  /** Applies the rules to names alone. @throws {@link StateDictError} when two source keys end under one name */
  plan(keys: Iterable<string>): KeyMapReport {
    const origins = new Map<string, KeyOrigin>();
    const [dropped, changed, leftover]: string[][] = [[], [], []];
    const used = new Set<KeyRule>();
    for (const source of keys) {
      let current: { key: string; origin: KeyOrigin }[] = [{ key: source, origin: { source } }];
      for (const rule of this.rules) {
        current = current.flatMap((item) => {
          if (item.key.search(rule.match) < 0) return [item];
          used.add(rule);
          return applyRule(rule, item);
        });
      }
      if (current.length === 0) dropped!.push(source);
      else if (current.length > 1 || current[0]!.key !== source) changed!.push(source);
      for (const { key, origin } of current) {
        const other = origins.get(key);
        if (other) {
          const reason = `comes from both ${other.source} and ${source}`;
          throw new StateDictError({
            missing: [],
            unexpected: [],
            mismatched: [{ key, expected: [], actual: [], reason }],
          });
        }
        if (this.#targets !== null && !this.#targets.some((target) => target.test(key))) leftover!.push(source);
        origins.set(key, origin);
      }
    }
    const unused = this.rules.filter((rule) => !used.has(rule));
    return { origins, dropped: dropped!, changed: changed!, leftover: leftover!, unused };
  }

  /**
   * `source` under its target keys; tensors are still read on demand, and split ones once per part.
   * @throws {@link StateDictError} for leftover keys, colliding names, and tensors whose first axis does not divide into the parts
   */
  apply(source: TensorSource): TensorSource & { readonly report: KeyMapReport } {
    const report = this.plan(source.names());
    const { origins, leftover } = report;
    if (leftover.length > 0) throw new StateDictError({ missing: [], unexpected: leftover, mismatched: [] });
    const shapeOf = ({ source: from, part }: KeyOrigin): readonly number[] => {
      const { shape } = source.info(from);
      return part ? [shape[0]! / part.count, ...shape.slice(1)] : shape;
    };
    const uneven = [...origins].filter(
      ([, { source: from, part }]) => part && source.info(from).shape[0]! % part.count !== 0,
    );
    const damaged = [...origins].filter(([, { source: from, part }]) => part && source.info(from).shape.length === 0);
    if (uneven.length > 0 || damaged.length > 0) {
      const mismatched = [...uneven, ...damaged].map(([key, { source: from, part }]) => {
        const { shape } = source.info(from);
        return {
          key,
          expected: [],
          actual: shape,
          reason: `cannot be cut: ${from} is [${shape}], not ${part!.count} equal parts`,
        };
      });
      throw new StateDictError({ missing: [], unexpected: [], mismatched });
    }
    const originOf = (name: string): KeyOrigin => {
      const origin = origins.get(name);
      if (!origin) throw new RangeError(`No source key maps to "${name}".`);
      return origin;
    };
    return {
      report,
      names: () => [...origins.keys()],
      has: (name) => origins.has(name),
      info: (name) => {
        const origin = originOf(name);
        return { dtype: source.info(origin.source).dtype, shape: shapeOf(origin) };
      },
      tensor: (name) => {
        const origin = originOf(name);
        const whole = source.tensor(origin.source);
        return origin.part ? partOf(whole, origin.part, shapeOf(origin)) : whole;
      },
    };
  }
}

function applyRule(rule: KeyRule, item: { key: string; origin: KeyOrigin }): { key: string; origin: KeyOrigin }[] {
  const { key, origin } = item;
  if ("drop" in rule) return [];
  if ("rename" in rule) return [{ key: key.replace(rule.match, rule.rename), origin }];
  if ("copy" in rule) return [item, { key: key.replace(rule.match, rule.copy), origin }];
  if (origin.part) throw new RangeError(`KeyMap: ${origin.source} is split twice.`);
  const count = rule.split.length;
  return rule.split.map((name, index) => ({
    key: key.replace(rule.match, name),
    origin: { source: origin.source, part: { index, count } },
  }));
}

function partOf(
  { dtype, data, storedAs }: StateTensor,
  { index, count }: { index: number; count: number },
  shape: readonly number[],
): StateTensor {
  const length = data.length / count;
  const values = data.slice(index * length, (index + 1) * length);
  return { dtype, shape, data: values, ...(storedAs ? { storedAs } : {}) };
}
