import { type Module, moduleWeights, type TensorSource, weightsHash } from "@seg/nn";
import { adaptersOf } from "./adapters.js";
import { loraLayers } from "./layers/lora-layers.js";

/**
 * The weights of `model` as they were before adapters, under their names from before: pristine values of merged layers and saved modules, no
 * adapter tensors. Biases that an adapter trains are as they are now.
 */
export function baseWeights(model: Module): TensorSource {
  const all = moduleWeights(model);
  const layers = loraLayers(model);
  const saved = [...(adaptersOf(model)?.saved.values() ?? [])];
  const pristine = new Map<string, () => Float32Array | number | undefined>();
  for (const module of saved)
    for (const [path, leaf] of module.leaves()) pristine.set(path, () => module.pristineOf(leaf));
  /** Name of before to name of now. */
  const names = new Map<string, string>();
  for (const name of all.names()) {
    const layer = [...name.matchAll(/\./g)].map(({ index }) => name.slice(0, index)).find((path) => layers.has(path));
    if (layer === undefined) names.set(name, name);
    else if (name.startsWith(`${layer}.base_layer.`))
      names.set(name.replace(`${layer}.base_layer.`, `${layer}.`), name);
  }
  const nameOf = (name: string): string => {
    const own = names.get(name);
    if (own === undefined) throw new RangeError(`The base holds no tensor "${name}".`);
    return own;
  };
  return {
    names: () => [...names.keys()],
    has: (name) => names.has(name),
    info: (name) => all.info(nameOf(name)),
    tensor: (name) => {
      const own = nameOf(name);
      const tensor = all.tensor(own);
      const kept = pristine.get(own)?.();
      if (typeof kept === "number") return { ...tensor, data: BigInt64Array.of(BigInt(kept)) };
      if (kept !== undefined) return { ...tensor, data: Float32Array.from(kept) };
      const layer = own.endsWith(".base_layer.weight")
        ? layers.get(own.slice(0, -".base_layer.weight".length))
        : undefined;
      return layer?.merged ? { ...tensor, data: layer.pristineWeight() } : tensor;
    },
  };
}

/** SHA-256 of the base that adapters of `model` belong to, see `weightsHash`. Known from before where the base was quantised or biases train. */
export function baseHash(model: Module): string {
  return adaptersOf(model)?.baseHash ?? weightsHash(baseWeights(model));
}
