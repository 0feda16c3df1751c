import { loadStateDict, type Module, type StateDict, stateDict } from "@seg/nn";

/**
 * Runs `use` with `state` (for example the averaged weights) in `model` and puts the model's own values back afterwards, also when
 * `use` throws.
 */
export async function withState<T>(model: Module, state: StateDict, use: () => T | Promise<T>): Promise<T> {
  const own = stateDict(model);
  loadStateDict(model, state);
  try {
    return await use();
  } finally {
    loadStateDict(model, own);
  }
}
