import { intAttribute, intsAttribute, stringAttribute } from "@seg/onnx";
import { int32Constant, type LiteTensor } from "../graph.js";
import { identityLayout, layoutShape, reshapedLayout, transposedLayout } from "../layout.js";
import { ACTIVATIONS } from "../operators.js";
import { CannotLower, type LowerContext, shapeOperand } from "./context.js";

const axisOf = (given: number, rank: number): number => (given < 0 ? given + rank : given);

/** Concat along one axis; every operand in the order of the first activation. */
export function lowerConcat(context: LowerContext): void {
  const { node } = context;
  const first = node.inputs.find((name) => !context.isConstant(name));
  if (first === undefined) throw new CannotLower("unsupported_attribute_value", "all operands are constant");
  const { layout } = context.value(first);
  const axis = axisOf(intAttribute(node, "axis", 0), layout.length);
  const inputs = node.inputs.map((name, position) =>
    context.isConstant(name) ? context.operand(position, layout) : context.toLayout(context.value(name), layout).tensor,
  );
  context.emitValue({
    op: "CONCATENATION",
    inputs,
    layout,
    options: { axis: layout.indexOf(axis), activation: ACTIVATIONS.none },
  });
}

/** Split into equal parts -> SPLIT; into others -> one SLICE each. */
export function lowerSplit(context: LowerContext): void {
  const { node } = context;
  const x = context.value(node.inputs[0]!);
  const dimension = x.layout.indexOf(axisOf(intAttribute(node, "axis", 0), x.layout.length));
  const sizes = node.outputs.map((name) => layoutShape(context.shape(name), x.layout)[dimension]!);
  if (sizes.every((size) => size === sizes[0])) {
    const outputs = node.outputs.map((name): LiteTensor => {
      const tensor = {
        name,
        shape: layoutShape(context.shape(name), x.layout),
        type: "float32",
        origin: name,
      } as const;
      context.set(name, { tensor, layout: x.layout });
      return tensor;
    });
    context.ops.push({
      op: "SPLIT",
      inputs: [int32Constant(`${node.name}/axis`, [dimension], []), x.tensor],
      outputs,
      options: { numSplits: outputs.length },
      node: node.name,
    });
    return;
  }
  let begin = 0;
  for (const [i, output] of node.outputs.entries()) {
    const size = layoutShape(context.shape(output), x.layout);
    const start = size.map((_, axis) => (axis === dimension ? begin : 0));
    emitSlice(context, { x: x.tensor, start, size, output, layout: x.layout, name: `${node.name}/${i}` });
    begin += sizes[i]!;
  }
}

function emitSlice(
  context: LowerContext,
  {
    x,
    start,
    size,
    output,
    layout,
    name,
  }: {
    x: LiteTensor;
    start: readonly number[];
    size: readonly number[];
    output: string;
    layout: readonly number[];
    name: string;
  },
): void {
  const inputs = [
    x,
    int32Constant(`${name}/begin`, start, [start.length]),
    int32Constant(`${name}/size`, size, [size.length]),
  ];
  context.emitValue({ op: "SLICE", inputs, layout, output });
}

/** Slice -> SLICE, or STRIDED_SLICE where a step is not 1. Negative steps are not supported. */
export function lowerSlice(context: LowerContext): void {
  const { node } = context;
  const x = context.value(node.inputs[0]!);
  const shape = context.shape(node.inputs[0]!);
  const size = context.shape(node.outputs[0]!);
  const starts = context.integers(1) ?? [];
  const axes = (context.integers(3) ?? starts.map((_, i) => i)).map((axis) => axisOf(axis, shape.length));
  const steps = context.integers(4) ?? starts.map(() => 1);
  if (steps.some((step) => step < 1)) {
    throw new CannotLower("unsupported_attribute_value", `steps [${steps.join(",")}]`);
  }
  const begin = shape.map(() => 0);
  const stride = shape.map(() => 1);
  for (const [i, axis] of axes.entries()) {
    const start = starts[i]! < 0 ? starts[i]! + shape[axis]! : starts[i]!;
    begin[axis] = Math.min(Math.max(start, 0), shape[axis]!);
    stride[axis] = steps[i]!;
  }
  const inOrder = (values: readonly number[]): number[] => layoutShape(values, x.layout);
  if (stride.every((step) => step === 1)) {
    emitSlice(context, {
      x: x.tensor,
      start: inOrder(begin),
      size: inOrder(size),
      output: node.outputs[0]!,
      layout: x.layout,
      name: node.name,
    });
    return;
  }
  const end = begin.map((start, axis) => start + (size[axis]! - 1) * stride[axis]! + 1);
  const operands = { begin, end, stride };
  context.emitValue({
    op: "STRIDED_SLICE",
    inputs: [
      x.tensor,
      ...Object.entries(operands).map(([name, values]) =>
        int32Constant(`${node.name}/${name}`, inOrder(values), [values.length]),
      ),
    ],
    layout: x.layout,
    options: { beginMask: 0, endMask: 0, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 },
  });
}

/** Reshape, Flatten, Squeeze, Unsqueeze: RESHAPE of the data where it lies, after a TRANSPOSE only if the axes are mixed. */
export function lowerReshape(context: LowerContext): void {
  const { node } = context;
  const source = context.value(node.inputs[0]!);
  const from = context.shape(node.inputs[0]!);
  const output = node.outputs[0]!;
  const to = context.shape(output);
  const kept = reshapedLayout({ from, to, layout: source.layout });
  const x = kept === null ? context.toLayout(source, identityLayout(from.length)) : source;
  const layout = kept ?? identityLayout(to.length);
  const shape = layoutShape(to, layout);
  context.emitValue({
    op: "RESHAPE",
    inputs: [x.tensor, shapeOperand(output, shape)],
    layout,
    options: { newShape: shape },
  });
}

/** Transpose: only the meaning of the axes changes; data moves where an operator asks for it. */
export function lowerTranspose(context: LowerContext): void {
  const { node } = context;
  const { tensor, layout } = context.value(node.inputs[0]!);
  const permutation = intsAttribute(node, "perm") ?? identityLayout(layout.length).toReversed();
  context.set(node.outputs[0]!, { tensor, layout: transposedLayout(layout, permutation) });
}

/** Pad with zeros on any axis -> PAD. */
export function lowerPad(context: LowerContext): void {
  const { node } = context;
  const mode = stringAttribute(node, "mode", "constant");
  const value = context.optionalFloats(2)?.values[0] ?? 0;
  if (mode !== "constant" || value !== 0) {
    throw new CannotLower("unsupported_attribute_value", `mode ${mode}, value ${value}; zeros are supported`);
  }
  const x = context.value(node.inputs[0]!);
  const rank = x.layout.length;
  const pads = context.integers(1) ?? [];
  if (pads.length !== 2 * rank || pads.some((pad) => pad < 0)) {
    throw new CannotLower("unsupported_attribute_value", `pads [${pads.join(",")}]`);
  }
  const pairs = x.layout.flatMap((axis) => [pads[axis]!, pads[axis + rank]!]);
  context.emitValue({
    op: "PAD",
    inputs: [x.tensor, int32Constant(`${node.name}/pads`, pairs, [rank, 2])],
    layout: x.layout,
  });
}

/** Gather with a constant list of indices. */
export function lowerGather(context: LowerContext): void {
  const { node } = context;
  const x = context.value(node.inputs[0]!);
  const rank = x.layout.length;
  const axis = axisOf(intAttribute(node, "axis", 0), rank);
  const indices = context.integers(1) ?? [];
  if (context.shape(node.outputs[0]!).length !== rank) {
    throw new CannotLower("unsupported_attribute_value", "indices must be a list");
  }
  const size = context.shape(node.inputs[0]!)[axis]!;
  const operand = int32Constant(
    `${node.name}/indices`,
    indices.map((index) => axisOf(index, size)),
    [indices.length],
  );
  context.emitValue({
    op: "GATHER",
    inputs: [x.tensor, operand],
    layout: x.layout,
    options: { axis: x.layout.indexOf(axis), batchDims: 0 },
  });
}
