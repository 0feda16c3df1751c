import type { StateTensor } from "../module.js";
import type { TensorDtype } from "./dtype.js";
import type { WeightFile } from "./weight-file.js";

/** Named tensors, in memory or on disk; the shape of one is known without reading it. */
export interface TensorSource {
  names(): string[];
  has(name: string): boolean;
  info(name: string): { readonly dtype: TensorDtype; readonly shape: readonly number[] };
  tensor(name: string): StateTensor;
}

/** A state dict as a source; files are sources already. */
export function toTensorSource(from: ReadonlyMap<string, StateTensor> | WeightFile | TensorSource): TensorSource {
  if (!isMap(from)) return from;
  const get = (name: string): StateTensor => {
    const tensor = from.get(name);
    if (!tensor) throw new RangeError(`The state dict holds no tensor "${name}".`);
    return tensor;
  };
  return {
    names: () => [...from.keys()],
    has: (name) => from.has(name),
    info: (name) => {
      const { dtype, storedAs, shape } = get(name);
      return { dtype: storedAs ?? dtype, shape };
    },
    tensor: get,
  };
}

function isMap(from: object): from is ReadonlyMap<string, StateTensor> {
  return "get" in from;
}
