import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Conv2d,
  type Linear,
  type Module,
  type Parameter,
  readSafetensors,
  type StateTensor,
  writeFileAtomic,
  writeSafetensors,
} from "@seg/nn";
import type { LoraConfig } from "./config.js";
import { AdapterMismatchError, UnsupportedAdapterError } from "./errors.js";
import { inject, type LoraHandle, refuseUnsupported, trainableBiases } from "./inject.js";
import { fromPeftConfig, toPeftConfig } from "./peft-config.js";
import { type LoraTarget, resolveTargets } from "./targets.js";

const CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";
/** What PEFT puts before the module path. */
const PREFIX = "base_model.model.";

/** The parameters that an adapter file holds, by key. */
function fileParameters({ model, layers, config }: LoraHandle): Map<string, Parameter> {
  const result = new Map<string, Parameter>();
  for (const [path, layer] of layers) {
    result.set(`${PREFIX}${path}.lora_A.weight`, layer.lora_A.weight);
    result.set(`${PREFIX}${path}.lora_B.weight`, layer.lora_B.weight);
    if (layer.lora_B.bias) result.set(`${PREFIX}${path}.lora_B.bias`, layer.lora_B.bias);
  }
  for (const [name, bias] of trainableBiases(model, layers, config.bias)) result.set(PREFIX + name, bias);
  return result;
}

/**
 * Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 does, so that Python's PeftModel.from_pretrained loads them. The
 * configuration names the adapted modules by full path. Each file is replaced atomically, the configuration last.
 *
 * @param dir - created if absent
 */
export function saveAdapter(handle: LoraHandle, dir: string): void {
  const dict = new Map<string, StateTensor>();
  for (const [key, parameter] of fileParameters(handle)) {
    dict.set(key, { dtype: "F32", shape: parameter.shape, data: Float32Array.from(parameter.data()) });
  }
  writeSafetensors(join(dir, WEIGHTS_FILE), dict, { metadata: { format: "pt" } });
  const config = toPeftConfig(handle.config, [...handle.layers.keys()]);
  writeFileAtomic(join(dir, CONFIG_FILE), [new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)]);
}

/**
 * Puts the adapter in `dir` onto `model`, which must be the base it was trained on and carry no adapters.
 *
 * @param strict - refuse missing and extra tensors. PEFT warns and keeps zeros, a silent no-op. Otherwise extra tensors are ignored and layers
 * whose tensors are missing stay without effect. Shapes are always checked. @defaultValue true
 * @throws {@link AdapterMismatchError}, {@link UnsupportedAdapterError}, {@link LoraTargetError}; the model is unchanged then
 */
export function loadAdapter(model: Module, dir: string, { strict = true }: { strict?: boolean } = {}): LoraHandle {
  const config = fromPeftConfig(readConfig(join(dir, CONFIG_FILE)));
  refuseUnsupported(config);
  const path = join(dir, WEIGHTS_FILE);
  if (!existsSync(path)) {
    const isPickle = existsSync(join(dir, "adapter_model.bin"));
    const reason = isPickle
      ? "only adapter_model.bin exists, a pickle; save it again as safetensors"
      : `not found in ${dir}`;
    throw new UnsupportedAdapterError({ field: WEIGHTS_FILE, reason });
  }
  const dict = readSafetensors(path).toStateDict();
  const resolved = resolveTargets(model, config, { everyEntry: false });

  const integer = [...dict].find(([, tensor]) => tensor.dtype !== "F32");
  if (integer) throw new UnsupportedAdapterError({ field: WEIGHTS_FILE, reason: `${integer[0]} holds integers` });

  const expected = expectedShapes(model, resolved.targets, config);
  const missing = [...expected.keys()].filter((key) => !dict.has(key));
  const unexpected = [...dict.keys()].filter((key) => !expected.has(key));
  const mismatched = [...expected]
    .map(([key, shape]) => ({ key, expected: shape, actual: dict.get(key)?.shape ?? shape }))
    .filter(({ expected: a, actual: b }) => a.length !== b.length || a.some((size, i) => size !== b[i]));
  if (mismatched.length > 0 || (strict && (missing.length > 0 || unexpected.length > 0))) {
    throw new AdapterMismatchError({ path, missing, unexpected, mismatched });
  }

  const handle = inject(model, config, resolved, 0);
  for (const [key, parameter] of fileParameters(handle)) {
    const tensor = dict.get(key);
    if (tensor) parameter.assign(tensor.data as Float32Array);
  }
  return handle;
}

/** Keys and shapes of the file for adapters that are not injected yet. */
function expectedShapes(
  model: Module,
  targets: readonly LoraTarget[],
  config: LoraConfig,
): Map<string, readonly number[]> {
  const result = new Map<string, readonly number[]>();
  const adapted = new Set(targets.map(({ path }) => path));
  for (const { path, rank } of targets) {
    const base = model.getModule(path) as Linear | Conv2d;
    const [out = 0, ...fanIn] = base.weight.shape;
    result.set(`${PREFIX}${path}.lora_A.weight`, [rank, ...fanIn]);
    result.set(`${PREFIX}${path}.lora_B.weight`, [out, rank, ...fanIn.slice(1).map(() => 1)]);
    if (config.loraBias) result.set(`${PREFIX}${path}.lora_B.bias`, [out]);
  }
  for (const [name, parameter] of config.bias === "none" ? [] : model.namedParameters()) {
    if (!name.endsWith(".bias")) continue;
    const path = name.slice(0, -".bias".length);
    if (adapted.has(path)) result.set(`${PREFIX}${path}.base_layer.bias`, parameter.shape);
    else if (config.bias === "all") result.set(PREFIX + name, parameter.shape);
  }
  return result;
}

function readConfig(path: string): unknown {
  if (!existsSync(path)) throw new UnsupportedAdapterError({ field: CONFIG_FILE, reason: `${path} does not exist` });
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UnsupportedAdapterError({ field: CONFIG_FILE, reason: `${path}: ${(error as Error).message}` });
  }
}
