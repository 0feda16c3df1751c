import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  Buffer,
  Counter,
  type KeyMap,
  type Module,
  type Parameter,
  readSafetensors,
  readTorchCheckpoint,
  type StateTensor,
  type TensorSource,
  writeFileAtomic,
  writeSafetensors,
} from "@seg/nn";
import { trainableBiases } from "./adapters.js";
import { baseHash } from "./base-weights.js";
import type { LoraConfig } from "./config.js";
import { AdapterMismatchError, UnsupportedAdapterError } from "./errors.js";
import { inject, type LoraHandle, refuseUnsupported } from "./inject.js";
import { fromPeftConfig, toPeftConfig } from "./peft-config.js";
import { type LoraTarget, resolveTargets } from "./targets.js";

const CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";
const PICKLE_FILE = "adapter_model.bin";
const RECORD_FILE = "seg_lora.json";
const CARD_FILE = "README.md";
/** What PEFT puts before the module path. */
const PREFIX = "base_model.model.";

type Leaf = Parameter | Buffer | Counter;

/** The tensors that an adapter file holds, by key. */
function fileLeaves({ model, layers, config, adapterName, savedModules }: LoraHandle): Map<string, Leaf> {
  const result = new Map<string, Leaf>();
  for (const [path, layer] of layers) {
    for (const [name, child] of layer.partsOf(adapterName)!.children) {
      const key = `${PREFIX}${path}.${name}`;
      if (!("namedLeaves" in child)) result.set(key, child);
      else for (const [inner, leaf] of child.namedLeaves()) result.set(`${key}.${inner}`, leaf);
    }
  }
  for (const [name, bias] of trainableBiases(model, adapterName, config.bias)) result.set(PREFIX + name, bias);
  for (const saved of savedModules) for (const [path, leaf] of saved.leaves()) result.set(PREFIX + path, leaf);
  return result;
}

/** What is written beside the weights of an adapter. */
export interface SaveAdapterOptions {
  /**
   * Facts for `seg_lora.json` beside the hash of the base, skipped targets and seed: dataset fingerprint, metrics. Without it the file, and the
   * check against other bases that it allows, are left out.
   */
  readonly record?: Readonly<Record<string, unknown>>;
  /** Text of the model card (`README.md`), Markdown; not written without it. */
  readonly card?: string;
}

/**
 * Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 does, so that Python's PeftModel.from_pretrained loads them. The
 * configuration names the adapted modules by full path. Each file is replaced atomically, the configuration last. The adapter must be active.
 *
 * @param dir - created if absent
 * @throws RangeError when another adapter is active
 */
export function saveAdapter(handle: LoraHandle, dir: string, { record, card }: SaveAdapterOptions = {}): void {
  for (const [path, layer] of handle.layers) {
    if (layer.activeAdapter !== handle.adapterName) {
      throw new RangeError(
        `Adapter "${handle.adapterName}" is not active at ${path}; call setAdapter before saving it.`,
      );
    }
  }
  const dict = new Map<string, StateTensor>();
  for (const [key, leaf] of fileLeaves(handle)) {
    if (leaf instanceof Counter) dict.set(key, { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(leaf.value)) });
    else dict.set(key, { dtype: "F32", shape: leaf.shape, data: Float32Array.from(leaf.data()) });
  }
  writeSafetensors(join(dir, WEIGHTS_FILE), dict, { metadata: { format: "pt" } });
  const write = (name: string, text: string) => writeFileAtomic(join(dir, name), [new TextEncoder().encode(text)]);
  if (record !== undefined) {
    const base = { ...(record["base"] as object | undefined), sha256: baseHash(handle.model) };
    write(RECORD_FILE, `${JSON.stringify({ ...record, base, seed: handle.seed, skipped: handle.skipped }, null, 2)}\n`);
  }
  if (card !== undefined) write(CARD_FILE, card);
  const config = toPeftConfig(handle.config, [...handle.layers.keys()]);
  write(CONFIG_FILE, `${JSON.stringify(config, null, 2)}\n`);
}

/** How strict reading an adapter is. */
export interface LoadAdapterOptions {
  /**
   * Refuse missing and extra tensors. PEFT warns and keeps zeros, a silent no-op. Otherwise extra tensors are ignored and layers whose tensors
   * are missing stay without effect. Shapes are always checked. @defaultValue true
   */
  readonly strict?: boolean;
  /** @defaultValue "default" */
  readonly adapterName?: string;
  /** Load also where `seg_lora.json` names other base weights than the model has. @defaultValue false */
  readonly allowOtherBase?: boolean;
  /** Take adapters whose initialisation changed the base (PiSSA, OLoRA, ...). @defaultValue false */
  readonly acceptConverted?: boolean;
  /**
   * From module paths of the file to those of the model, where they are spelled differently; applied to whole keys without PEFT's prefix. The
   * adapted modules are then those that the file has tensors of.
   */
  readonly map?: KeyMap;
  /** Seed of dropout when training goes on. @defaultValue 0 */
  readonly seed?: number;
}

/**
 * Puts the adapter in `dir` onto `model`, which must be the base it was trained on, and makes it active. `adapter_model.safetensors` is read, or
 * `adapter_model.bin` (a PyTorch checkpoint, of which nothing is run) where there is none.
 *
 * @throws {@link AdapterMismatchError} for tensors that do not fit, or another base; {@link UnsupportedAdapterError}, {@link LoraTargetError};
 * UnsafePickleError and CheckpointFormatError of a `.bin`. The model is unchanged then.
 */
export function loadAdapter(model: Module, dir: string, options: LoadAdapterOptions = {}): LoraHandle {
  const {
    strict = true,
    adapterName = "default",
    allowOtherBase = false,
    acceptConverted = false,
    map,
    seed = 0,
  } = options;
  const config = fromPeftConfig(readJson(join(dir, CONFIG_FILE), CONFIG_FILE), { acceptConverted });
  refuseUnsupported(config);
  const { path, source } = openWeights(dir, map);
  checkBase(model, dir, path, allowOtherBase);
  const names = new Set(source.names());
  const wanted = map ? { ...config, ...targetsOf(names, config) } : config;
  const resolved = resolveTargets(model, wanted, { everyEntry: false, adapterName });
  const integer = [...names].find(
    (name) => !name.endsWith(".num_batches_tracked") && ["I64", "I32", "U32", "U64"].includes(source.info(name).dtype),
  );
  if (integer) throw new UnsupportedAdapterError({ field: WEIGHTS_FILE, reason: `${integer} holds integers` });

  const expected = expectedShapes(model, resolved.targets, wanted);
  const missing = [...expected.keys()].filter((key) => !names.has(key));
  const unexpected = [...names].filter((key) => !expected.has(key));
  const mismatched = [...expected]
    .map(([key, shape]) => ({ key, expected: shape, actual: names.has(key) ? source.info(key).shape : shape }))
    .filter(({ expected: a, actual: b }) => a.length !== b.length || a.some((size, i) => size !== b[i]));
  if (mismatched.length > 0 || (strict && (missing.length > 0 || unexpected.length > 0))) {
    throw new AdapterMismatchError({ path, missing, unexpected, mismatched });
  }
  // Everything is read before anything is changed: a damaged file must leave the model alone.
  const tensors = new Map([...expected.keys()].filter((key) => names.has(key)).map((key) => [key, source.tensor(key)]));
  const handle = inject(model, wanted, resolved, { seed, adapterName });
  for (const [key, leaf] of fileLeaves(handle)) {
    const tensor = tensors.get(key);
    if (!tensor) continue;
    if (leaf instanceof Counter) leaf.value = Number(tensor.data[0]);
    else leaf.assign(Float32Array.from(tensor.data as Float32Array));
  }
  return { ...handle, config: { ...handle.config, targetModules: config.targetModules } };
}

/** The weight file of an adapter; safetensors wins. */
function openWeights(dir: string, map: KeyMap | undefined): { path: string; source: TensorSource } {
  const [safe, pickle] = [join(dir, WEIGHTS_FILE), join(dir, PICKLE_FILE)];
  let file: TensorSource;
  if (existsSync(safe)) file = readSafetensors(safe);
  else if (existsSync(pickle)) file = readTorchCheckpoint(pickle);
  else
    throw new UnsupportedAdapterError({
      field: WEIGHTS_FILE,
      reason: `neither it nor ${PICKLE_FILE} is in ${dir} (not found)`,
    });
  const path = existsSync(safe) ? safe : pickle;
  if (!map) return { path, source: file };
  const short = (key: string) => (key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key);
  const full = new Map(file.names().map((key) => [short(key), key]));
  const own = (key: string) => full.get(key) ?? key;
  const mapped = map.apply({
    names: () => [...full.keys()],
    has: (key) => full.has(key),
    info: (key) => file.info(own(key)),
    tensor: (key) => file.tensor(own(key)),
  });
  return {
    path,
    source: {
      names: () => mapped.names().map((key) => PREFIX + key),
      has: (key) => mapped.has(short(key)),
      info: (key) => mapped.info(short(key)),
      tensor: (key) => mapped.tensor(short(key)),
    },
  };
}

/** Target settings that name exactly the modules which the file has tensors of. */
function targetsOf(names: ReadonlySet<string>, { targetModules }: LoraConfig): Partial<LoraConfig> {
  const paths = new Set<string>();
  for (const name of names) {
    const path = /^base_model\.model\.(.+)\.lora_(?:A\.weight|embedding_A)$/.exec(name)?.[1];
    if (path !== undefined) paths.add(path);
  }
  return {
    targetModules: paths.size > 0 ? [...paths] : targetModules,
    excludeModules: null,
    layersToTransform: null,
    layersPattern: null,
  };
}

/** @throws AdapterMismatchError when the record names another base */
function checkBase(model: Module, dir: string, path: string, allowOtherBase: boolean): void {
  const file = join(dir, RECORD_FILE);
  if (allowOtherBase || !existsSync(file)) return;
  const record = readJson(file, RECORD_FILE) as { base?: { sha256?: unknown } } | null;
  const expected = record?.base?.sha256;
  if (typeof expected !== "string") return;
  const actual = baseHash(model);
  if (actual !== expected) throw new AdapterMismatchError({ path, otherBase: { expected, actual } });
}

/** Keys and shapes of the file for adapters that are not injected yet. */
function expectedShapes(
  model: Module,
  targets: readonly LoraTarget[],
  config: LoraConfig,
): Map<string, readonly number[]> {
  const result = new Map<string, readonly number[]>();
  const adapted = new Set(targets.map(({ path }) => path));
  for (const { path, rank, kind } of targets) {
    const shape = weightShape(model, path);
    const [out = 0, ...fanIn] = shape;
    if (kind === "embedding") {
      result.set(`${PREFIX}${path}.lora_embedding_A`, [rank, out]);
      result.set(`${PREFIX}${path}.lora_embedding_B`, [fanIn[0]!, rank]);
      if (config.useDora) result.set(`${PREFIX}${path}.lora_magnitude_vector`, [fanIn[0]!]);
      continue;
    }
    result.set(`${PREFIX}${path}.lora_A.weight`, [rank, ...fanIn]);
    result.set(`${PREFIX}${path}.lora_B.weight`, [out, rank, ...fanIn.slice(1).map(() => 1)]);
    if (config.loraBias) result.set(`${PREFIX}${path}.lora_B.bias`, [out]);
    if (config.useDora)
      result.set(`${PREFIX}${path}.lora_magnitude_vector`, kind === "conv2d" ? [1, out, 1, 1] : [out]);
  }
  const biases = config.bias === "none" ? [] : model.namedParameters();
  for (const [name, parameter] of biases) {
    if (!name.endsWith(".bias")) continue;
    const path = name.slice(0, -".bias".length).replace(/\.base_layer$/, "");
    if (/\.lora_B$/.test(path)) continue;
    if (adapted.has(path)) result.set(`${PREFIX}${path}.base_layer.bias`, parameter.shape);
    else if (config.bias === "all") result.set(PREFIX + name, parameter.shape);
  }
  const taken = new Set<unknown>();
  for (const [path, module] of model.namedModules()) {
    if (!config.modulesToSave?.some((name) => path === name || path.endsWith(`.${name}`))) continue;
    for (const [name, leaf] of module.namedLeaves()) {
      if (taken.has(leaf) || (leaf instanceof Buffer && !leaf.persistent)) continue;
      taken.add(leaf);
      result.set(`${PREFIX}${path}.${name}`, leaf instanceof Counter ? [] : leaf.shape);
    }
  }
  return result;
}

/** Shape of the weight at `path`, adapted, quantised or neither. */
function weightShape(model: Module, path: string): readonly number[] {
  const module = model.getModule(path) as Module & { base_layer?: Module };
  const base = (module.base_layer ?? module) as Module & { codes?: { shape: readonly number[] }; weight?: Parameter };
  return base.codes?.shape ?? base.weight!.shape;
}

function readJson(path: string, field: string): unknown {
  if (!existsSync(path)) throw new UnsupportedAdapterError({ field, reason: `${path} does not exist` });
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UnsupportedAdapterError({ field, reason: `${path}: ${(error as Error).message}` });
  }
}
