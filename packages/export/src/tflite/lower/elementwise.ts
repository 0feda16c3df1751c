import { floatAttribute, intAttribute } from "@seg/onnx";
import { ACTIVATIONS, type OperatorName } from "../operators.js";
import { CannotLower, type LowerContext } from "./context.js";

const BINARY: Readonly<Record<string, OperatorName>> = {
  Add: "ADD",
  Mul: "MUL",
  Sub: "SUB",
  Div: "DIV",
  Max: "MAXIMUM",
  Min: "MINIMUM",
};

/** Add, Mul, Sub, Div, Max, Min of two operands, of which one may be constant; broadcast as in ONNX. */
export function lowerBinary(context: LowerContext): void {
  const { node } = context;
  const op = BINARY[node.opType]!;
  if (node.inputs.length !== 2) throw new CannotLower("unsupported_attribute_value", `${node.inputs.length} operands`);
  const rank = context.shape(node.outputs[0]!).length;
  const first = node.inputs.find((name) => !context.isConstant(name));
  if (first === undefined) throw new CannotLower("unsupported_attribute_value", "both operands are constant");
  const { layout } = context.raiseRank(context.value(first), rank);
  const inputs = node.inputs.map((name, position) =>
    context.isConstant(name)
      ? context.operand(position, layout)
      : context.toLayout(context.raiseRank(context.value(name), rank), layout).tensor,
  );
  const options = op === "MAXIMUM" || op === "MINIMUM" ? {} : { activation: ACTIVATIONS.none };
  context.emitValue({ op, inputs, layout, options });
}

const UNARY: Readonly<Record<string, OperatorName>> = { Sigmoid: "LOGISTIC", Relu: "RELU" };

/** Sigmoid and Relu. */
export function lowerUnary(context: LowerContext): void {
  const { node } = context;
  const { tensor, layout } = context.value(node.inputs[0]!);
  context.emitValue({ op: UNARY[node.opType]!, inputs: [tensor], layout });
}

/** Clip to 0..6 -> RELU6. */
export function lowerClip(context: LowerContext): void {
  const { node } = context;
  const low = context.optionalFloats(1)?.values[0] ?? floatAttribute(node, "min", Number.NEGATIVE_INFINITY);
  const high = context.optionalFloats(2)?.values[0] ?? floatAttribute(node, "max", Number.POSITIVE_INFINITY);
  if (low !== 0 || (high !== 6 && high !== Number.POSITIVE_INFINITY)) {
    throw new CannotLower("unsupported_attribute_value", `limits ${low} and ${high}; 0 and 6 (or none) are supported`);
  }
  const { tensor, layout } = context.value(node.inputs[0]!);
  context.emitValue({ op: high === 6 ? "RELU6" : "RELU", inputs: [tensor], layout });
}

/** Softmax; TFLite knows the last axis only. */
export function lowerSoftmax(context: LowerContext): void {
  const { node } = context;
  const source = context.value(node.inputs[0]!);
  const rank = source.layout.length;
  const given = intAttribute(node, "axis", -1);
  const axis = given < 0 ? given + rank : given;
  const x = context.toLayout(source, [...source.layout.filter((other) => other !== axis), axis]);
  context.emitValue({ op: "SOFTMAX", inputs: [x.tensor], layout: x.layout, options: { beta: 1 } });
}

/** MatMul of activations, or of an activation and a constant -> BATCH_MATMUL in ONNX order. */
export function lowerMatMul(context: LowerContext): void {
  const { node } = context;
  const rank = context.shape(node.outputs[0]!).length;
  const layout = Array.from({ length: rank }, (_, axis) => axis);
  const inputs = node.inputs.map((name, position) => {
    if (!context.isConstant(name)) return context.toLayout(context.raiseRank(context.value(name), rank), layout).tensor;
    const { values, dims } = context.floats(position);
    return context.constant(name, values, [...new Array<number>(rank - dims.length).fill(1), ...dims]);
  });
  context.emitValue({ op: "BATCH_MATMUL", inputs, layout, options: { adjX: false, adjY: false } });
}
