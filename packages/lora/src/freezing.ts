import type { Module, Parameter } from "@seg/nn";
import { FreezingError } from "./errors.js";

/** Numbers of scalar parameters. */
export interface FreezingCounts {
  readonly trainable: number;
  readonly frozen: number;
  readonly all: number;
}

function count(model: Module): FreezingCounts {
  let trainable = 0;
  let all = 0;
  for (const parameter of model.namedParameters().values()) {
    all += parameter.size;
    if (parameter.requiresGrad) trainable += parameter.size;
  }
  return { trainable, frozen: all - trainable, all };
}

/**
 * Checks that only adapters train. Call it after injection, loading and resuming.
 *
 * @param maxRatio - trainable scalars must be fewer than this share of the frozen ones. Raise it explicitly for tiny models. @defaultValue 0.05
 * @param allow - further trainable names, exact or a module path above them (biases and saved modules: `handle.allow`)
 * @param optimised - what the optimiser holds; must be exactly the trainable parameters. Not checked when absent
 * @throws {@link FreezingError}
 */
export function verifyFreezing(
  model: Module,
  {
    maxRatio = 0.05,
    allow = [],
    optimised,
  }: { maxRatio?: number; allow?: readonly string[]; optimised?: Iterable<Parameter> } = {},
): FreezingCounts {
  const trainable = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  if (trainable.length === 0) throw new FreezingError({ reason: "No parameter is trainable; call injectLora first" });
  const isAllowed = (name: string) =>
    name.toLowerCase().includes("lora") || allow.some((entry) => name === entry || name.startsWith(`${entry}.`));
  const others = trainable.map(([name]) => name).filter((name) => !isAllowed(name));
  if (others.length > 0) throw new FreezingError({ reason: "Base parameters are trainable", names: others });
  const counts = count(model);
  if (!(counts.trainable < maxRatio * counts.frozen)) {
    const share = ((100 * counts.trainable) / counts.frozen).toFixed(2);
    throw new FreezingError({
      reason: `${counts.trainable} trainable parameters are ${share} % of ${counts.frozen} frozen ones, allowed is less than ${100 * maxRatio} %; lower r, adapt fewer modules or raise maxRatio`,
    });
  }
  if (optimised !== undefined) {
    const held = new Set(optimised);
    const forgotten = trainable.filter(([, parameter]) => !held.has(parameter)).map(([name]) => name);
    if (forgotten.length > 0)
      throw new FreezingError({ reason: "The optimiser lacks trainable parameters", names: forgotten });
    if (held.size > trainable.length) {
      throw new FreezingError({
        reason: `The optimiser holds ${held.size - trainable.length} parameters that do not train`,
      });
    }
  }
  return counts;
}

/**
 * One line in PEFT's words.
 * @example trainableSummary(model) // "trainable params: 393,216 || all params: 172,643,842 || trainable%: 0.2278"
 */
export function trainableSummary(model: Module): string {
  const { trainable, all } = count(model);
  const format = (n: number) => n.toLocaleString("en-US");
  const percent = all === 0 ? 0 : (100 * trainable) / all;
  return `trainable params: ${format(trainable)} || all params: ${format(all)} || trainable%: ${percent.toFixed(4)}`;
}
