import { PickleObject, TorchTensor } from "./pickle-values.js";

/** Keys under which training scripts keep the state dict, in the order in which they are looked for. */
const KNOWN_KEYS = ["model", "state_dict", "model_state_dict", "ema"];

type Tensors = Map<string, TorchTensor>;

/**
 * The state dict of a checkpoint: the object itself if its values are tensors, else the one under `select`, or under the only one of the known
 * keys that holds one. Objects of allowed classes are modules: their `_parameters`, `_buffers` and `_modules` are walked.
 *
 * @param select - key, or several joined with "."
 */
export function findStateDict(root: unknown, select: string | undefined, fail: (reason: string) => never): Tensors {
  if (select !== undefined) {
    const chosen = select.split(".").reduce((value, key) => (value instanceof Map ? value.get(key) : undefined), root);
    return tensorsOf(chosen) ?? fail(`"${select}" holds no state dict; it has ${describe(root)}`);
  }
  const own = tensorsOf(root);
  if (own) return own;
  if (!(root instanceof Map)) return fail(`it holds ${describe(root)}, expected a dict of tensors`);
  const found = KNOWN_KEYS.flatMap((key) => {
    const tensors = tensorsOf(root.get(key));
    return tensors ? [{ key, tensors }] : [];
  });
  if (found.length > 1)
    return fail(`it holds several state dicts (${found.map(({ key }) => key).join(", ")}); choose with select`);
  return (
    found[0]?.tensors ??
    fail(`no state dict under ${KNOWN_KEYS.join(", ")}; it has ${describe(root)}; choose with select`)
  );
}

/** Named tensors of a state dict or an inert module; null for anything else. */
function tensorsOf(value: unknown): Tensors | null {
  if (value instanceof Map) {
    if (value.size === 0) return null;
    for (const [key, item] of value) if (typeof key !== "string" || !(item instanceof TorchTensor)) return null;
    return value as Tensors;
  }
  if (!(value instanceof PickleObject)) return null;
  const result: Tensors = new Map();
  walkModule(value, "", result, new Set());
  return result.size > 0 ? result : null;
}

function walkModule(module: PickleObject, prefix: string, result: Tensors, seen: Set<PickleObject>): void {
  // A cycle is no module tree; what was seen is not walked again below itself.
  if (seen.has(module) || !(module.state instanceof Map)) return;
  seen.add(module);
  const { state } = module;
  const hidden = state.get("_non_persistent_buffers_set");
  for (const field of ["_parameters", "_buffers"]) {
    const own = state.get(field);
    if (!(own instanceof Map)) continue;
    for (const [name, tensor] of own) {
      if (hidden instanceof Set && hidden.has(name)) continue;
      if (typeof name === "string" && tensor instanceof TorchTensor) result.set(prefix + name, tensor);
    }
  }
  const children = state.get("_modules");
  if (children instanceof Map) {
    for (const [name, child] of children)
      if (child instanceof PickleObject) walkModule(child, `${prefix}${String(name)}.`, result, seen);
  }
  seen.delete(module);
}

function describe(value: unknown): string {
  if (value instanceof Map) return `the keys ${[...value.keys()].slice(0, 10).map(String).join(", ")}`;
  if (value instanceof PickleObject) return `an object of ${value.className}`;
  if (value instanceof TorchTensor) return "one tensor";
  if (Array.isArray(value)) return "a list";
  return value === null ? "None" : `a ${typeof value}`;
}
