import type { Module, Parameter } from "@seg/nn";

/** Parameters that share a decay rule and a learning rate. */
export interface ParameterGroup {
  /** `bias`, `weight` or `norm` from {@link paramGroups}; free otherwise. */
  readonly name: string;
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** Whether the weight decay of the optimiser applies. */
  readonly decay: boolean;
  /** Factor on the learning rate of this group. @defaultValue 1 */
  readonly lrScale?: number;
}

/**
 * The three groups in the order of the `lr/pg*` columns: `bias` (no decay), `weight` (decay: every parameter of rank 2 or more, so
 * convolutions, linear layers, embeddings, LoRA A and B), `norm` (no decay: vectors and scalars that are no bias, that is the
 * scales of normalisation layers). Frozen parameters (`requiresGrad` false) are in none. A group may be empty.
 *
 * @param extra - further modules that are trained beside the model (for example feature projectors); key = name prefix
 */
export function paramGroups(
  model: Module,
  { extra = {} }: { extra?: Readonly<Record<string, Module>> } = {},
): [bias: ParameterGroup, weight: ParameterGroup, norm: ParameterGroup] {
  const bias = new Map<string, Parameter>();
  const weight = new Map<string, Parameter>();
  const norm = new Map<string, Parameter>();
  const seen = new Set<Parameter>();
  const sources: [prefix: string, module: Module][] = [["", model]];
  for (const [prefix, module] of Object.entries(extra)) sources.push([`${prefix}.`, module]);
  for (const [prefix, module] of sources) {
    for (const [path, parameter] of module.namedParameters()) {
      if (!parameter.requiresGrad || seen.has(parameter)) continue;
      seen.add(parameter);
      const group = path.endsWith("bias") ? bias : parameter.shape.length >= 2 ? weight : norm;
      group.set(`${prefix}${path}`, parameter);
    }
  }
  return [
    { name: "bias", parameters: bias, decay: false },
    { name: "weight", parameters: weight, decay: true },
    { name: "norm", parameters: norm, decay: false },
  ];
}
