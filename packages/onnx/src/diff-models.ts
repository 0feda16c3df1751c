import { census } from "./census.js";
import { typeKey } from "./hidden.js";
import type { Model, Tensor, ValueInfo } from "./model.js";

/**
 * Differences of two models as readable lines, `-` for what only `a` has, `+` for what only `b` has; empty if opsets, interface, operator
 * counts and constants agree. Not a proof that both compute the same: that is {@link modelHash}.
 */
export function diffModels(a: Model, b: Model): string[] {
  const lines: string[] = [];
  const compare = (what: string, left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): void => {
    for (const [key, value] of left) if (right.get(key) !== value) lines.push(`- ${what} ${key} ${value}`.trimEnd());
    for (const [key, value] of right) if (left.get(key) !== value) lines.push(`+ ${what} ${key} ${value}`.trimEnd());
  };
  if (a.irVersion !== b.irVersion) lines.push(`- ir_version ${a.irVersion}`, `+ ir_version ${b.irVersion}`);
  const opsets = ({ opsetImport }: Model) =>
    new Map(opsetImport.map(({ domain, version }) => [domain || "ai.onnx", String(version)]));
  compare("opset", opsets(a), opsets(b));
  const io = (values: readonly ValueInfo[]) => new Map(values.map((value) => [value.name, typeKey(value)]));
  compare("input", io(a.graph.inputs), io(b.graph.inputs));
  compare("output", io(a.graph.outputs), io(b.graph.outputs));
  const ops = (model: Model) => new Map(Object.entries(census(model).ops).map(([op, count]) => [op, `x${count}`]));
  compare("op", ops(a), ops(b));
  const text = ({ dataType, dims }: Tensor): string => `type ${dataType} [${dims.join(",")}]`;
  const tensors = ({ graph }: Model) => new Map(graph.initializers.map((tensor) => [tensor.name, text(tensor)]));
  compare("initializer", tensors(a), tensors(b));
  const others = new Map(b.graph.initializers.map((tensor) => [tensor.name, tensor]));
  for (const tensor of a.graph.initializers) {
    const other = others.get(tensor.name);
    const [left, right] = [tensor.rawData, other?.rawData];
    if (other && text(other) === text(tensor) && left && right && Buffer.compare(left, right) !== 0)
      lines.push(`~ initializer ${tensor.name} other values`);
  }
  compare(
    "metadata",
    new Map(a.metadataProps.map(({ key, value }) => [key, value])),
    new Map(b.metadataProps.map(({ key, value }) => [key, value])),
  );
  return lines;
}
