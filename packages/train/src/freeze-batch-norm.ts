import { Buffer, type Module, Parameter } from "@seg/nn";

/**
 * Freezes every normalisation layer that keeps running statistics (recognised by its `running_mean` buffer): statistics are used and not
 * updated, scale and offset are not trained, and a later `train(true)` does not undo it.
 *
 * @returns paths of the frozen layers
 */
export function freezeBatchNorm(model: Module): string[] {
  const frozen: string[] = [];
  for (const [path, module] of model.namedModules()) {
    const children = [...module.children()];
    if (!children.some(([name, child]) => name === "running_mean" && child instanceof Buffer)) continue;
    for (const [, child] of children) if (child instanceof Parameter) child.requiresGrad = false;
    Object.defineProperty(module, "training", {
      get: () => false,
      set: () => {},
      configurable: true,
      enumerable: true,
    });
    frozen.push(path);
  }
  return frozen;
}
