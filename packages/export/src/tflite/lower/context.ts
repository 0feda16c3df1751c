import { DataType, type Dim, type Model, type Node, type Tensor, tensorData } from "@seg/onnx";
import type { UnsupportedOp } from "../../errors.js";
import { floatBytes, type LiteOp, type LiteTensor } from "../graph.js";
import {
  identityLayout,
  isSameLayout,
  type Layout,
  layoutShape,
  permutationBetween,
  permuteValues,
} from "../layout.js";
import type { TfliteOptions } from "../model.js";
import type { OperatorName } from "../operators.js";

/** An ONNX value in TFLite: the tensor and the order of its axes. */
export interface LoweredValue {
  tensor: LiteTensor;
  layout: Layout;
}

/** Thrown by a rule that cannot express its node; becomes a finding. */
export class CannotLower extends Error {
  readonly reason: UnsupportedOp["reason"];
  constructor(reason: UnsupportedOp["reason"], detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** What lowering rules work with: ONNX values by name, and the operators so far. */
export class LowerContext {
  readonly ops: LiteOp[] = [];
  readonly #values = new Map<string, LoweredValue>();
  readonly #constants: ReadonlyMap<string, Tensor>;
  readonly #shapes: ReadonlyMap<string, readonly Dim[] | undefined>;
  /** Transposed copies, so that a value is transposed once per layout. */
  readonly #transposed = new Map<LiteTensor, LoweredValue[]>();
  /** Node that is lowered at the moment. */
  node: Node = { opType: "", domain: "", name: "", inputs: [], outputs: [], attributes: [] };

  constructor(model: Model, shapes: ReadonlyMap<string, readonly Dim[] | undefined>) {
    this.#constants = new Map(model.graph.initializers.map((tensor) => [tensor.name, tensor]));
    this.#shapes = shapes;
  }

  /** ONNX shape of a value. */
  shape(name: string): number[] {
    const shape = this.#shapes.get(name);
    if (shape?.every((side): side is number => typeof side === "number" && side > 0)) return [...shape];
    throw new CannotLower(
      "unsupported_attribute_value",
      `value ${name} has shape [${shape?.join(",") ?? "unknown"}]; sizes must be fixed and positive`,
    );
  }

  isConstant(name: string): boolean {
    return this.#constants.has(name);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** An activation. */
  value(name: string): LoweredValue {
    const value = this.#values.get(name);
    if (value === undefined) throw new CannotLower("requires_constant_input", `${name} is no activation`);
    return value;
  }

  set(name: string, value: LoweredValue): void {
    this.#values.set(name, value);
  }

  /** Input `position` as a float32 constant in ONNX order; undefined if absent. */
  optionalFloats(position: number): { values: Float32Array; dims: number[] } | undefined {
    const name = this.node.inputs[position] ?? "";
    return name === "" ? undefined : this.floats(position);
  }

  /** Input `position` as a float32 constant in ONNX order. */
  floats(position: number): { values: Float32Array; dims: number[] } {
    const tensor = this.#constant(position);
    if (tensor.dataType !== DataType.FLOAT) {
      throw new CannotLower("unsupported_attribute_value", `constant ${tensor.name} is not float32`);
    }
    return { values: tensorData(tensor) as Float32Array, dims: tensor.dims };
  }

  /** Input `position` as integers; undefined if absent. */
  integers(position: number): number[] | undefined {
    if ((this.node.inputs[position] ?? "") === "") return undefined;
    const tensor = this.#constant(position);
    if (tensor.dataType !== DataType.INT64 && tensor.dataType !== DataType.INT32) {
      throw new CannotLower("unsupported_attribute_value", `constant ${tensor.name} holds no integers`);
    }
    return Array.from(tensorData(tensor) as BigInt64Array | Int32Array, Number);
  }

  #constant(position: number): Tensor {
    const name = this.node.inputs[position] ?? "";
    const tensor = this.#constants.get(name);
    if (tensor === undefined) {
      throw new CannotLower("requires_constant_input", `input ${position} (${name}) must be constant`);
    }
    return tensor;
  }

  /** A new float32 constant. */
  constant(name: string, values: Float32Array, shape: readonly number[]): LiteTensor {
    return { name, shape, type: "float32", data: floatBytes(values) };
  }

  /** Appends an operator with one output. */
  emit({
    op,
    inputs,
    name,
    shape,
    options = {},
    origin,
  }: {
    op: OperatorName;
    inputs: (LiteTensor | null)[];
    name: string;
    /** In TFLite order. */
    shape: readonly number[];
    options?: TfliteOptions;
    origin?: string;
  }): LiteTensor {
    const output: LiteTensor = { name, shape, type: "float32", ...(origin === undefined ? {} : { origin }) };
    this.ops.push({ op, inputs, outputs: [output], options, node: this.node.name });
    return output;
  }

  /** Appends an operator whose output is the ONNX value `output`. */
  emitValue({
    op,
    inputs,
    layout,
    options,
    output = this.node.outputs[0]!,
  }: {
    op: OperatorName;
    inputs: (LiteTensor | null)[];
    layout: Layout;
    options?: TfliteOptions;
    output?: string;
  }): void {
    const shape = layoutShape(this.shape(output), layout);
    const tensor = this.emit({ op, inputs, name: output, shape, origin: output, ...(options ? { options } : {}) });
    this.set(output, { tensor, layout });
  }

  /** The value in another order of axes; adds a TRANSPOSE where it has a different one. */
  toLayout(value: LoweredValue, layout: Layout): LoweredValue {
    if (isSameLayout(value.layout, layout)) return value;
    const copies = this.#transposed.get(value.tensor) ?? [];
    const known = copies.find((copy) => isSameLayout(copy.layout, layout));
    if (known !== undefined) return known;
    const permutation = permutationBetween(value.layout, layout);
    const { tensor } = value;
    const operand: LiteTensor = {
      name: `${tensor.name}/permutation`,
      shape: [permutation.length],
      type: "int32",
      data: new Uint8Array(Int32Array.from(permutation).buffer),
    };
    const transposed = this.emit({
      op: "TRANSPOSE",
      inputs: [tensor, operand],
      name: `${tensor.name}/transposed`,
      shape: permutation.map((dimension) => tensor.shape[dimension]!),
      ...(tensor.origin === undefined ? {} : { origin: tensor.origin }),
    });
    const result = { tensor: transposed, layout };
    this.#transposed.set(tensor, [...copies, result]);
    return result;
  }

  /** The value with size-1 axes put in front until it has `rank` axes, as broadcasting does. */
  raiseRank(value: LoweredValue, rank: number): LoweredValue {
    if (value.layout.length === rank) return value;
    const { tensor } = this.toLayout(value, identityLayout(value.layout.length));
    const shape = [...new Array<number>(rank - tensor.shape.length).fill(1), ...tensor.shape];
    const raised = this.emit({
      op: "RESHAPE",
      inputs: [tensor, shapeOperand(tensor.name, shape)],
      name: `${tensor.name}/rank${rank}`,
      shape,
      options: { newShape: shape },
      ...(tensor.origin === undefined ? {} : { origin: tensor.origin }),
    });
    return { tensor: raised, layout: identityLayout(rank) };
  }

  /** Constant operand of an elementwise operator, its axes in the order of `layout`. */
  operand(position: number, layout: Layout): LiteTensor {
    const { values, dims } = this.floats(position);
    const name = this.node.inputs[position]!;
    if (values.length === 1) return this.constant(name, values, []);
    if (dims.length > layout.length) {
      throw new CannotLower("unsupported_attribute_value", `constant ${name} has more axes than the other operand`);
    }
    const shape = [...new Array<number>(layout.length - dims.length).fill(1), ...dims];
    return this.constant(name, permuteValues(values, shape, layout), layoutShape(shape, layout));
  }
}

/** Operand of RESHAPE. */
export function shapeOperand(name: string, shape: readonly number[]): LiteTensor {
  return {
    name: `${name}/shape`,
    shape: [shape.length],
    type: "int32",
    data: new Uint8Array(Int32Array.from(shape).buffer),
  };
}
