import { StateDictError, type StateMismatch } from "./errors.js";
import { type Buffer, Counter, type Module, Parameter, type StateTensor } from "./module.js";

type Leaf = Parameter | Buffer | Counter;

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
  readonly mismatched: readonly StateMismatch[];
}

/**
 * Assigns `dict` to `module`: all or nothing. A tied tensor is accepted under any of its paths; under several, the values must be equal.
 * Missing counters are not reported as missing (older files lack `num_batches_tracked`). Integers go into counters and buffers only.
 *
 * @param strict - throw before assigning anything if a key is missing, unexpected or does not fit
 * @throws {@link StateDictError}; also without `strict` when aliases of one tied tensor contradict each other
 */
export function loadStateDict(
  module: Module,
  dict: ReadonlyMap<string, StateTensor>,
  { strict = true }: { strict?: boolean } = {},
): LoadReport {
  const paths = new Set<string>();
  const aliases = new Map<Leaf, string[]>();
  for (const [path, leaf] of module.namedLeaves()) {
    paths.add(path);
    const list = aliases.get(leaf);
    if (list) list.push(path);
    else aliases.set(leaf, [path]);
  }
  const matched: string[] = [];
  const missing: string[] = [];
  const mismatched: StateMismatch[] = [];
  const contradictions: StateMismatch[] = [];
  const assignments: (() => void)[] = [];
  for (const [leaf, names] of aliases) {
    const [key, ...others] = names.filter((name) => dict.has(name));
    if (key === undefined) {
      if (!(leaf instanceof Counter)) missing.push(names[0]!);
      continue;
    }
    const tensor = dict.get(key)!;
    const mismatch = compare(leaf, key, tensor);
    if (mismatch) {
      mismatched.push(mismatch);
      continue;
    }
    for (const other of others) {
      const { shape, data } = dict.get(other)!;
      if (data.length === tensor.data.length && data.every((value, i) => Object.is(value, tensor.data[i]))) continue;
      contradictions.push({
        key: other,
        expected: tensor.shape,
        actual: shape,
        reason: `differs from ${key}, to which it is tied`,
      });
    }
    matched.push(key);
    if (leaf instanceof Counter) {
      const value = Number(tensor.data[0]);
      assignments.push(() => {
        leaf.value = value;
      });
    } else {
      assignments.push(() => {
        leaf.assign(
          tensor.dtype === "I64"
            ? toFloat32(tensor.data as BigInt64Array)
            : Float32Array.from(tensor.data as Float32Array),
        );
      });
    }
  }
  const unexpected = [...dict.keys()].filter((key) => !paths.has(key));
  if (contradictions.length > 0 || (strict && (missing.length > 0 || unexpected.length > 0 || mismatched.length > 0))) {
    throw new StateDictError({ missing, unexpected, mismatched: [...mismatched, ...contradictions] });
  }
  for (const assign of assignments) assign();
  return { matched, missing, unexpected, mismatched };
}

/** Why `tensor` cannot become the value of `leaf`, or null. */
function compare(leaf: Leaf, key: string, { dtype, shape, data }: StateTensor): StateMismatch | null {
  const size = shape.reduce((product, n) => product * n, 1);
  if (leaf instanceof Counter) return size === 1 && data.length === 1 ? null : { key, expected: [], actual: shape };
  const expected = leaf.shape;
  if (expected.length !== shape.length || expected.some((n, i) => n !== shape[i]))
    return { key, expected, actual: shape };
  if (data.length !== size) {
    return { key, expected, actual: shape, reason: `has ${data.length} values for shape [${shape.join(",")}]` };
  }
  if (dtype === "I64" && leaf instanceof Parameter) {
    return { key, expected, actual: shape, reason: "holds integers, a parameter needs floating point" };
  }
  return null;
}

function toFloat32(values: BigInt64Array): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = Number(values[i]!);
  return result;
}
