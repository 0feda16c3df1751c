import { evaluateNode, isFoldable, shapeTensor } from "../evaluate.js";
import { constantValue } from "../graph-view.js";
import { inferValues } from "../infer-shapes.js";
import type { Model, Tensor } from "../model.js";
import { editGraph, type PassResult } from "./pass.js";

/** A weight in another layout or type keeps its name, so that exported initializers can be told by their training names. */
const relayouts = new Set(["Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Identity"]);

/**
 * Computes nodes whose inputs are constant (shape arithmetic; Transpose, Reshape, Cast, Concat, Slice, + - * / and the like of initializers)
 * and Shape of values with a static shape; turns Constant nodes into initializers.
 */
export function foldConstants(model: Model): PassResult {
  let shapes: ReturnType<typeof inferValues> | undefined;
  return editGraph(model, (view) => {
    const put = (tensor: Tensor, name: string): void => view.setInitializer({ ...tensor, name });
    for (const node of view.walk()) {
      const output = node.outputs[0];
      // A graph output needs a node that produces it in several runtimes, so it is left alone.
      if (output === undefined || node.outputs.length !== 1 || view.isOutput(output)) continue;
      if (node.opType === "Constant" && node.domain === "") {
        const value = constantValue(node);
        if (!value || value.externalData) continue;
        view.remove(node);
        put(value, output);
      } else if (isFoldable(node)) {
        const inputs = node.inputs.map((name) => (name === "" ? undefined : view.constant(name)));
        let value = inputs.some((tensor) => tensor?.externalData) ? null : evaluateNode(node, inputs);
        if (!value && node.opType === "Shape") {
          shapes ??= inferValues(model);
          const shape = shapes.get(node.inputs[0]!)?.shape;
          if (shape?.every((dim): dim is number => typeof dim === "number" && dim >= 0))
            value = shapeTensor(node, shape);
        }
        if (!value) continue;
        view.remove(node);
        const source = node.inputs[0]!;
        if (
          relayouts.has(node.opType) &&
          view.initializer(source) &&
          view.consumers(source).length === 0 &&
          !view.isOutput(source)
        ) {
          put(value, source);
          view.forgetShape(source);
          view.rewire(output, source);
        } else put(value, output);
      }
    }
  });
}
