import { StateDictError, type StateMismatch } from "./errors.js";
import type { KeyMap, KeyMapReport } from "./key-map.js";
import { type Buffer, Counter, type Module, Parameter, type StateTensor } from "./module.js";
import type { TensorDtype } from "./weights/dtype.js";
import { type TensorSource, toTensorSource } from "./weights/tensor-source.js";
import type { WeightFile } from "./weights/weight-file.js";

type Leaf = Parameter | Buffer | Counter;

/** Values by PyTorch's keys (`model.0.conv.weight`), in the order of the module tree. */
export type StateDict = Map<string, StateTensor>;

/** Values of every persistent tensor below `module`, tied ones once under their first path. Arrays are copies. */
export function stateDict(module: Module): StateDict {
  const source = moduleWeights(module);
  return new Map(source.names().map((name) => [name, source.tensor(name)]));
}

/**
 * The persistent tensors of `module` as a source that copies one at a time, for files larger than memory should hold twice:
 * `writeSafetensors(path, moduleWeights(model))`. Tied ones once under their first path.
 */
export function moduleWeights(module: Module): TensorSource {
  const leaves = new Map<string, Leaf>();
  const seen = new Set<unknown>();
  for (const [path, leaf] of module.namedLeaves()) {
    if (seen.has(leaf)) continue;
    seen.add(leaf);
    if (isPersistent(leaf)) leaves.set(path, leaf);
  }
  const leafOf = (name: string): Leaf => {
    const leaf = leaves.get(name);
    if (!leaf) throw new RangeError(`The module holds no tensor "${name}".`);
    return leaf;
  };
  return {
    names: () => [...leaves.keys()],
    has: (name) => leaves.has(name),
    info: (name) => {
      const leaf = leafOf(name);
      return leaf instanceof Counter ? { dtype: "I64", shape: [] } : { dtype: "F32", shape: leaf.shape };
    },
    tensor: (name) => {
      const leaf = leafOf(name);
      return leaf instanceof Counter
        ? { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(leaf.value)) }
        : { dtype: "F32", shape: leaf.shape, data: Float32Array.from(leaf.data()) };
    },
  };
}

/** What {@link loadStateDict} found. */
export interface LoadReport {
  readonly matched: readonly string[];
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly StateMismatch[];
  /** Keys whose float64 values were rounded to float32. */
  readonly narrowed: readonly string[];
  /** What the key map did; null without one. */
  readonly map: KeyMapReport | null;
}

/** How strict loading is, and how keys are renamed. */
export interface LoadStateDictOptions {
  /** Throw before assigning anything if a key is missing, unexpected or does not fit. @defaultValue true */
  readonly strict?: boolean;
  /** From the keys of `source` to those of the module. Leftover keys of a map with targets are an error also without `strict`. */
  readonly map?: KeyMap;
}

/**
 * Assigns `source` to `module`: all or nothing. From a file one tensor is read at a time, after all names and shapes have been checked. A tied
 * tensor is accepted under any of its paths; under several, the values must be equal. Missing counters are not reported as missing (older
 * files lack `num_batches_tracked`); non-persistent buffers are neither needed nor unexpected, and stay. Integers go into counters and buffers only.
 *
 * @throws {@link StateDictError}; also without `strict` when aliases of one tied tensor contradict each other
 */
export function loadStateDict(
  module: Module,
  source: ReadonlyMap<string, StateTensor> | WeightFile | TensorSource,
  { strict = true, map }: LoadStateDictOptions = {},
): LoadReport {
  const mapped = map?.apply(toTensorSource(source));
  const dict = mapped ?? toTensorSource(source);
  // The arrays of a state dict in memory stay the caller's; files hand over fresh ones.
  const isShared = source instanceof Map;
  const paths = new Set<string>();
  const aliases = new Map<Leaf, string[]>();
  for (const [path, leaf] of module.namedLeaves()) {
    paths.add(path);
    if (!isPersistent(leaf)) continue;
    const list = aliases.get(leaf);
    if (list) list.push(path);
    else aliases.set(leaf, [path]);
  }
  const [matched, missing, narrowed]: string[][] = [[], [], []];
  const mismatched: StateMismatch[] = [];
  const contradictions: StateMismatch[] = [];
  const assignments: (() => void)[] = [];
  for (const [leaf, names] of aliases) {
    const [key, ...others] = names.filter((name) => dict.has(name));
    if (key === undefined) {
      if (!(leaf instanceof Counter)) missing!.push(names[0]!);
      continue;
    }
    const mismatch = compare(leaf, key, dict.info(key));
    if (mismatch) {
      mismatched.push(mismatch);
      continue;
    }
    for (const other of others) {
      const [{ data }, { shape, data: values }] = [dict.tensor(key), dict.tensor(other)];
      if (values.length === data.length && values.every((value, i) => Object.is(value, data[i]))) continue;
      contradictions.push({
        key: other,
        expected: leaf instanceof Counter ? [] : leaf.shape,
        actual: shape,
        reason: `differs from ${key}, to which it is tied`,
      });
    }
    matched!.push(key);
    if (dict.info(key).dtype === "F64") narrowed!.push(key);
    assignments.push(() => assign(leaf, key, dict.tensor(key), isShared));
  }
  const unexpected = dict.names().filter((key) => !paths.has(key));
  // A map in memory can hold arrays of the wrong length; a file cannot.
  if (isShared) mismatched.push(...wrongLengths(matched!, dict));
  if (
    contradictions.length > 0 ||
    (strict && (missing!.length > 0 || unexpected.length > 0 || mismatched.length > 0))
  ) {
    throw new StateDictError({ missing: missing!, unexpected, mismatched: [...mismatched, ...contradictions] });
  }
  const broken = new Set(mismatched.map(({ key }) => key));
  for (const [i, run] of assignments.entries()) if (!broken.has(matched![i]!)) run();
  return {
    matched: matched!.filter((key) => !broken.has(key)),
    missing: missing!,
    unexpected,
    mismatched,
    narrowed: narrowed!,
    map: mapped?.report ?? null,
  };
}

function isPersistent(leaf: Leaf): boolean {
  return leaf instanceof Counter || leaf instanceof Parameter || leaf.persistent;
}

function wrongLengths(keys: readonly string[], dict: TensorSource): StateMismatch[] {
  return keys.flatMap((key) => {
    const { shape, data } = dict.tensor(key);
    const size = shape.reduce((product, n) => product * n, 1);
    if (data.length === size) return [];
    const reason = `has ${data.length} values for shape [${shape.join(",")}]`;
    return [{ key, expected: shape, actual: shape, reason }];
  });
}

const INTEGERS: ReadonlySet<TensorDtype> = new Set(["I64", "I32", "U32", "U64"]);

/** Why a tensor cannot become the value of `leaf`, or null. */
function compare(
  leaf: Leaf,
  key: string,
  { dtype, shape }: { dtype: TensorDtype; shape: readonly number[] },
): StateMismatch | null {
  const size = shape.reduce((product, n) => product * n, 1);
  if (leaf instanceof Counter) return size === 1 ? null : { key, expected: [], actual: shape };
  const expected = leaf.shape;
  if (expected.length !== shape.length || expected.some((n, i) => n !== shape[i]))
    return { key, expected, actual: shape };
  if (INTEGERS.has(dtype) && leaf instanceof Parameter) {
    return { key, expected, actual: shape, reason: "holds integers, a parameter needs floating point" };
  }
  return null;
}

function assign(leaf: Leaf, key: string, { dtype, shape, data }: StateTensor, isShared: boolean): void {
  if (leaf instanceof Counter) {
    leaf.value = Number(data[0]);
    return;
  }
  // Files were checked when they were opened; a file that changed since then must not leave a half-loaded tensor.
  if (data.length !== leaf.size) {
    const mismatched = [{ key, expected: leaf.shape, actual: shape, reason: `has ${data.length} values` }];
    throw new StateDictError({ missing: [], unexpected: [], mismatched });
  }
  const values = dtype === "I64" ? toFloat32(data as BigInt64Array) : (data as Float32Array);
  leaf.assign(isShared && values === data ? Float32Array.from(values) : values);
}

function toFloat32(values: BigInt64Array): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = Number(values[i]!);
  return result;
}
