import type { Model, Tensor } from "../model.js";
import { editGraph, type PassResult } from "./pass.js";

/** Lets initializers of equal type, shape and bytes share the first one. Graph inputs and outputs keep theirs. */
export function dedupeInitializers(model: Model): PassResult {
  return editGraph(model, (view) => {
    const groups = new Map<string, Tensor[]>();
    for (const tensor of view.initializers()) {
      const { name, rawData, dims, dataType } = tensor;
      if (!rawData || view.isInput(name) || view.isOutput(name)) continue;
      const key = `${dataType}:${dims.join(",")}`;
      const group = groups.get(key);
      if (!group) {
        groups.set(key, [tensor]);
        continue;
      }
      const first = group.find((other) => Buffer.compare(other.rawData!, rawData) === 0);
      if (!first) group.push(tensor);
      else {
        view.rewire(name, first.name);
        view.removeInitializer(name);
      }
    }
  });
}
