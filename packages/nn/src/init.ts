import { CounterRandom } from "@seg/augment";

/** Source of initial values; each parameter draws from its own path, so adding a layer changes nobody else's values. */
export interface InitContext {
  readonly seed: number;
  readonly path: string;
  /** Zeros instead of drawn values: for a model whose values are loaded next. Drawing those of a large one takes longer than reading them. */
  readonly blank?: boolean;
}

/** Child context: path components joined with ".". */
export function at(context: InitContext, name: string | number): InitContext {
  return { ...context, path: context.path === "" ? String(name) : `${context.path}.${name}` };
}

/** U(-bound, bound). */
export function uniform(context: InitContext, size: number, bound: number): Float32Array {
  if (context.blank) return new Float32Array(size);
  const random = new CounterRandom({ seed: context.seed, path: `init/${context.path}` });
  return Float32Array.from({ length: size }, () => random.uniform(-bound, bound));
}

/** N(0, deviation^2). */
export function normal(context: InitContext, size: number, deviation: number): Float32Array {
  if (context.blank) return new Float32Array(size);
  const random = new CounterRandom({ seed: context.seed, path: `init/${context.path}` });
  return Float32Array.from({ length: size }, () => random.normal(0, deviation));
}
