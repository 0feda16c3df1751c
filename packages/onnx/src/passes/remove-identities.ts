import { intAttribute, intsAttribute } from "../attributes.js";
import { integers } from "../evaluate.js";
import type { GraphView } from "../graph-view.js";
import { inferValues, type ValueType } from "../infer-shapes.js";
import type { Model, Node } from "../model.js";
import { editGraph, type PassResult } from "./pass.js";

/**
 * Takes out nodes that change nothing: Identity, Dropout at inference, Cast to the same type, Transpose in order, Concat and Sum of one
 * input, Reshape, Flatten, Squeeze, Expand or Pad to the shape that the value has already. Graph outputs keep their names.
 */
export function removeIdentities(model: Model): PassResult {
  const values = inferValues(model);
  return editGraph(model, (view) => {
    for (const node of view.walk()) {
      if (node.domain !== "" || !isIdentity(view, values, node)) continue;
      view.bypass(node, node.inputs[0]!);
    }
  });
}

function isIdentity(view: GraphView, values: ReadonlyMap<string, ValueType>, node: Node): boolean {
  const unused = (position: number): boolean => {
    const name = node.outputs[position];
    return !name || (view.consumers(name).length === 0 && !view.isOutput(name));
  };
  switch (node.opType) {
    case "Identity":
      return true;
    case "Dropout": {
      const mode = node.inputs[2];
      // training_mode is an input since opset 12 and absent (false) in exported models.
      return unused(1) && (!mode || view.constant(mode)?.rawData?.[0] === 0);
    }
    case "Cast":
      return values.get(node.inputs[0]!)?.dataType === intAttribute(node, "to", 0);
    case "Transpose":
      return intsAttribute(node, "perm")?.every((axis, i) => axis === i) ?? false;
    case "Concat":
    case "Sum":
      return node.inputs.length === 1;
    case "Pad": {
      const pads = node.inputs[1] ? integers(view.constant(node.inputs[1])) : intsAttribute(node, "pads");
      return pads?.every((pad) => pad === 0) ?? false;
    }
    case "Reshape":
    case "Flatten":
    case "Squeeze":
    case "Expand": {
      const before = values.get(node.inputs[0]!)?.shape;
      const after = values.get(node.outputs[0]!)?.shape;
      return (
        before !== undefined &&
        before.length === after?.length &&
        before.every((dim, i) => dim !== null && dim === after[i])
      );
    }
    default:
      return false;
  }
}
