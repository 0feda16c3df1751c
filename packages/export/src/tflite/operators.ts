import type { TfliteType } from "./model.js";

/** One field of an operator's options. */
export interface OptionField {
  name: string;
  slot: number;
  kind: "int8" | "bool" | "int32" | "float32" | "int32[]";
  /** Value of an absent field. */
  fallback: number;
}

/** A builtin operator: its code, its options table and the fields of it. */
export interface OperatorSpec {
  code: number;
  /** Member of the options union; 0 without options. */
  options: number;
  fields: readonly OptionField[];
}

const field = (name: string, slot: number, kind: OptionField["kind"], fallback = 0): OptionField => ({
  name,
  slot,
  kind,
  fallback,
});
const PAD_STRIDE = [field("padding", 0, "int8"), field("strideW", 1, "int32"), field("strideH", 2, "int32")];
const ACTIVATION = field("activation", 0, "int8");
const POOL = [
  ...PAD_STRIDE,
  field("filterW", 3, "int32"),
  field("filterH", 4, "int32"),
  field("activation", 5, "int8"),
];
const without = (code: number, options: number): OperatorSpec => ({ code, options, fields: [] });

/** The builtin operators that the lowering emits, by name, with the numbers of the TFLite schema. */
export const OPERATORS = {
  ADD: { code: 0, options: 11, fields: [ACTIVATION, field("potScaleInt16", 1, "bool", 1)] },
  AVERAGE_POOL_2D: { code: 1, options: 5, fields: POOL },
  CONCATENATION: { code: 2, options: 10, fields: [field("axis", 0, "int32"), field("activation", 1, "int8")] },
  CONV_2D: {
    code: 3,
    options: 1,
    fields: [
      ...PAD_STRIDE,
      field("activation", 3, "int8"),
      field("dilationW", 4, "int32", 1),
      field("dilationH", 5, "int32", 1),
    ],
  },
  DEPTHWISE_CONV_2D: {
    code: 4,
    options: 2,
    fields: [
      ...PAD_STRIDE,
      field("multiplier", 3, "int32"),
      field("activation", 4, "int8"),
      field("dilationW", 5, "int32", 1),
      field("dilationH", 6, "int32", 1),
    ],
  },
  DEQUANTIZE: without(6, 38),
  LOGISTIC: without(14, 0),
  MAX_POOL_2D: { code: 17, options: 5, fields: POOL },
  MUL: { code: 18, options: 21, fields: [ACTIVATION] },
  RELU: without(19, 0),
  RELU6: without(21, 0),
  RESHAPE: { code: 22, options: 17, fields: [field("newShape", 0, "int32[]")] },
  SOFTMAX: { code: 25, options: 9, fields: [field("beta", 0, "float32")] },
  PAD: without(34, 22),
  GATHER: { code: 36, options: 23, fields: [field("axis", 0, "int32"), field("batchDims", 1, "int32")] },
  TRANSPOSE: without(39, 26),
  SUB: { code: 41, options: 28, fields: [ACTIVATION, field("potScaleInt16", 1, "bool", 1)] },
  DIV: { code: 42, options: 29, fields: [ACTIVATION] },
  STRIDED_SLICE: {
    code: 45,
    options: 32,
    fields: ["beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask"].map((name, slot) =>
      field(name, slot, "int32"),
    ),
  },
  SPLIT: { code: 49, options: 35, fields: [field("numSplits", 0, "int32")] },
  MAXIMUM: without(55, 39),
  MINIMUM: without(57, 39),
  SLICE: without(65, 48),
  TRANSPOSE_CONV: { code: 67, options: 49, fields: PAD_STRIDE },
  RESIZE_NEAREST_NEIGHBOR: {
    code: 97,
    options: 74,
    fields: [field("alignCorners", 0, "bool"), field("halfPixelCenters", 1, "bool")],
  },
  QUANTIZE: without(114, 90),
  BATCH_MATMUL: { code: 126, options: 101, fields: [field("adjX", 0, "bool"), field("adjY", 1, "bool")] },
} as const satisfies Record<string, OperatorSpec>;

export type OperatorName = keyof typeof OPERATORS;

/** Fused activation functions. */
export const ACTIVATIONS = { none: 0, relu: 1, relu6: 3 } as const;
/** Padding rules. */
export const PADDINGS = { same: 0, valid: 1 } as const;

const NAMES = new Map<number, OperatorName>(
  Object.entries(OPERATORS).map(([name, { code }]) => [code, name as OperatorName]),
);

/** Name of a builtin code; undefined for one that the lowering never emits. */
export function operatorName(code: number): OperatorName | undefined {
  return NAMES.get(code);
}

/** What {@link minimumVersion} looks at. */
export interface OperatorUse {
  op: OperatorName;
  /** Types of the inputs that are present, in order. */
  inputs: readonly { type: TfliteType; isPerChannel: boolean; scale?: number }[];
  output: { type: TfliteType; scale?: number };
  options: Readonly<Record<string, number | boolean | readonly number[]>>;
}

const CONVOLUTIONS: ReadonlySet<string> = new Set(["CONV_2D", "DEPTHWISE_CONV_2D"]);
/** Operators whose first version reads int8 already. */
const FIRST_VERSION_INT8: ReadonlySet<string> = new Set(["RESHAPE"]);

/** Lowest version of an operator's definition that allows this use, so that old runtimes take the file. */
export function minimumVersion({ op, inputs, output, options }: OperatorUse): number {
  const [x, second] = inputs;
  const isInt8 = x?.type === "int8" || output.type === "int8";
  if (CONVOLUTIONS.has(op)) {
    const isHybrid = x?.type === "float32" && second?.type === "int8";
    if (isHybrid && op === "CONV_2D") return second.isPerChannel ? 5 : 2;
    if (isHybrid) return second.isPerChannel ? 6 : 4;
    if (isInt8) return 3;
    const isDilated = Number(options["dilationW"] ?? 1) > 1 || Number(options["dilationH"] ?? 1) > 1;
    return op === "DEPTHWISE_CONV_2D" && isDilated ? 2 : 1;
  }
  switch (op) {
    case "TRANSPOSE_CONV":
      return inputs.length === 4 ? 3 : isInt8 ? 2 : 1;
    case "QUANTIZE":
      return x?.isPerChannel ? 3 : x?.type === "float32" ? 1 : 2;
    case "DEQUANTIZE":
      return x?.isPerChannel ? 5 : x?.type === "float16" ? 3 : 2;
    case "RESIZE_NEAREST_NEIGHBOR":
      return options["alignCorners"] === true || options["halfPixelCenters"] === true ? 3 : isInt8 ? 2 : 1;
    case "MUL": {
      if (!isInt8) return 1;
      return ((x?.scale ?? 0) * (second?.scale ?? 0)) / (output.scale ?? 1) >= 1 ? 3 : 2;
    }
    default:
      return isInt8 && !FIRST_VERSION_INT8.has(op) ? 2 : 1;
  }
}
