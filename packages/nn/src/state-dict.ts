import { StateDictError } from "./errors.js";
import { Counter, type Module, type StateTensor } from "./module.js";

export type StateDict = Map<string, StateTensor>;

/** Values of every persistent tensor below `module`, tied ones once under their first path. Arrays are copies. */
export function stateDict(module: Module): StateDict {
  const seen = new Set<unknown>();
  const result: StateDict = new Map();
  for (const [path, leaf] of module.namedLeaves()) {
    if (seen.has(leaf)) continue;
    seen.add(leaf);
    if (leaf instanceof Counter)
      result.set(path, { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(leaf.value)) });
    else result.set(path, { dtype: "F32", shape: leaf.shape, data: Float32Array.from(leaf.data()) });
  }
  return result;
}

/** What {@link loadStateDict} found. */
export interface LoadReport {
  readonly matched: readonly string[];
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly { key: string; expected: readonly number[]; actual: readonly number[] }[];
}

/**
 * Assigns `dict` to `module`: all or nothing. A tied tensor is accepted under any of its paths. Missing counters are not
 * reported as missing (older files lack `num_batches_tracked`).
 *
 * @param strict - throw before assigning anything if a key is missing, unexpected or of another shape
 * @throws {@link StateDictError}
 */
export function loadStateDict(
  module: Module,
  dict: ReadonlyMap<string, StateTensor>,
  { strict = true }: { strict?: boolean } = {},
): LoadReport {
  const paths = new Map<string, unknown>();
  const aliases = new Map<unknown, string[]>();
  for (const [path, leaf] of module.namedLeaves()) {
    paths.set(path, leaf);
    const list = aliases.get(leaf);
    if (list) list.push(path);
    else aliases.set(leaf, [path]);
  }
  const matched: string[] = [];
  const missing: string[] = [];
  const mismatched: { key: string; expected: readonly number[]; actual: readonly number[] }[] = [];
  const assignments: (() => void)[] = [];
  for (const [leaf, names] of aliases) {
    const key = names.find((name) => dict.has(name));
    if (key === undefined) {
      if (!(leaf instanceof Counter)) missing.push(names[0]!);
      continue;
    }
    const tensor = dict.get(key)!;
    if (leaf instanceof Counter) {
      matched.push(key);
      assignments.push(() => {
        leaf.value = Number(tensor.data[0]);
      });
      continue;
    }
    const target = leaf as { shape: number[]; assign(data: Float32Array): void };
    if (target.shape.length !== tensor.shape.length || target.shape.some((d, i) => d !== tensor.shape[i])) {
      mismatched.push({ key, expected: target.shape, actual: tensor.shape });
      continue;
    }
    matched.push(key);
    assignments.push(() => target.assign(Float32Array.from(tensor.data as Float32Array)));
  }
  const unexpected = [...dict.keys()].filter((key) => !paths.has(key));
  if (strict && (missing.length > 0 || unexpected.length > 0 || mismatched.length > 0)) {
    throw new StateDictError({ missing, unexpected, mismatched });
  }
  for (const assign of assignments) assign();
  return { matched, missing, unexpected, mismatched };
}
