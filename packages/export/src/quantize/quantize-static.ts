import type { Graph, Model, Tensor } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatValues, indexGraph } from "../graph-index.js";
import { toPythonLiteral } from "../runtime/python-literal.js";
import type { CalibrationTable } from "./calibrate.js";
import { type QuantParameters, quantizeValue, quantParameters } from "./parameters.js";
import { type Placement, placePairs } from "./placement.js";
import { planQuantization, type QuantPlan } from "./plan.js";
import { type PresetFormat, QUANT_PRESETS, type QuantPreset } from "./presets.js";
import { QdqWriter } from "./qdq-writer.js";
import { type QuantizationPlan, quantizationPlan } from "./quantization-plan.js";
import { assertFinite, biasScaleFloor, quantizeBias, quantizeWeight } from "./weights.js";

/** Replaces what calibration found for one tensor: a range, or scale and zero point themselves. */
export interface TensorOverride {
  readonly rmin?: number;
  readonly rmax?: number;
  readonly scale?: number;
  readonly zeroPoint?: number;
}

/** Which operators become INT8, in which number format, with which exceptions. */
export interface QuantizeOptions {
  /** @defaultValue "x64" */
  preset?: QuantPreset;
  /** `head` keeps the decode head float; `none` quantises everything and ruins class probabilities: for tests only. @defaultValue "head" */
  exclude?: "head" | "none";
  /** Further nodes to keep float, by name. @defaultValue [] */
  excludeNodes?: readonly string[];
  /** By tensor name; the tensor must be quantised. @defaultValue {} */
  overrides?: Readonly<Record<string, TensorOverride>>;
}

/** Int8 quantisation in float32 models needs no newer opset; opset 21 changes the operators. */
const LAST_OPSET = 20;

/** Key of the entry that says how a model was quantised. */
const METADATA_KEY = "quantization";

function assertOpset(model: Model): void {
  const opset = model.opsetImport.find(({ domain }) => domain === "")?.version ?? 0;
  if (opset <= LAST_OPSET && opset >= 13) return;
  throw new ExportError({
    code: "QUANT_CONFIG",
    message: `The model uses opset ${opset}; INT8 export needs 13 to ${LAST_OPSET}. Export the float model with opset 17.`,
    details: { option: "opset" },
  });
}

/** Smallest and largest value of a constant, with 0. */
function constantRange(tensor: Tensor): [number, number] {
  assertFinite(tensor);
  let [low, high] = [0, 0];
  for (const value of floatValues(tensor)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Parameters of every owner: calibrated ranges of all its members together, unless an override says otherwise. */
function ownerParameters({
  graph,
  ranges,
  plan,
  placement,
  format,
  overrides,
}: {
  graph: Graph;
  ranges: QuantizationPlan["ranges"];
  plan: QuantPlan;
  placement: Placement;
  format: PresetFormat;
  overrides: Readonly<Record<string, TensorOverride>>;
}): Map<string, QuantParameters> {
  const { initializers, producers } = indexGraph(graph);
  const tensors = [...plan.activations, ...plan.shared.keys(), ...plan.constants];
  const unknown = Object.keys(overrides).find((name) => !tensors.includes(name));
  if (unknown !== undefined) {
    throw new ExportError({
      code: "QUANT_CONFIG",
      message: `An override names ${unknown}, which is not quantised. Name an activation outside the decode head.`,
      details: { tensor: unknown, option: "overrides" },
    });
  }
  const parameters = new Map<string, QuantParameters>();
  for (const owner of new Set(tensors.map(placement.ownerOf))) {
    const members = placement.membersOf(owner);
    let [low, high] = [0, 0];
    let fixed: QuantParameters | null = null;
    for (const name of members) {
      const constant = initializers.get(name);
      const [rmin, rmax] = constant === undefined ? (ranges[name] ?? [0, 0]) : constantRange(constant);
      const override = overrides[name] ?? {};
      low = Math.min(low, override.rmin ?? rmin);
      high = Math.max(high, override.rmax ?? rmax);
      if (override.scale !== undefined)
        fixed = { scale: Math.fround(override.scale), zeroPoint: override.zeroPoint ?? 0 };
    }
    if (format.fixedSigmoid && producers.get(owner)?.opType === "Sigmoid") fixed = { scale: 1 / 256, zeroPoint: -128 };
    const { activationRange: range, symmetric } = format;
    parameters.set(owner, fixed ?? quantParameters({ rmin: low, rmax: high, range, symmetric, tensor: owner }));
  }
  return parameters;
}

/**
 * Static INT8 quantisation in QDQ form: quantise / dequantise pairs on activations, int8 weights per output channel (axis 1 for transposed
 * convolutions), int32 biases at scale s_in * s_w (float for TensorRT). Operators that only move values share the parameters of their input.
 * The decode head stays float (see {@link headNodes}). Preset, method and calibration hash go into the model's metadata.
 *
 * @throws ExportError `CALIBRATION_STALE`; `QUANT_CONFIG` for an opset, a range, an override or a weight (named) that cannot be quantised
 */
export function quantizeStatic(
  model: Model,
  table: CalibrationTable,
  { preset = "x64", exclude = "head", excludeNodes = [], overrides = {} }: QuantizeOptions = {},
): Model {
  assertOpset(model);
  const { ranges, floatNodes, calibration } = quantizationPlan(model, table, { exclude, excludeNodes });
  const { graph } = model;
  const excluded = new Set(floatNodes);
  const plan = planQuantization(graph, excluded);
  const format = QUANT_PRESETS[preset];
  const placement = placePairs({ graph, plan, format, excluded });
  const parameters = ownerParameters({ graph, ranges, plan, placement, format, overrides });
  const parametersOf = (tensor: string): QuantParameters => parameters.get(placement.ownerOf(tensor))!;
  const constants = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const writer = new QdqWriter(model, format.activation);
  if (format.placement === "tensor") {
    for (const name of plan.constants)
      writeConstant({ tensor: constants.get(name)!, writer, format, ...parametersOf(name) });
  }
  for (const tensor of placement.tensors) writer.tensorPair(tensor, placement.ownerOf(tensor), parametersOf(tensor));
  for (const edge of placement.edges) {
    writer.edgePair(edge, placement.ownerOf(edge.parametersOf), parametersOf(edge.parametersOf));
  }
  writeWeights({ plan, constants, parametersOf, format, writer });
  const quantized = writer.build();
  const { method, images, imagesSha256 } = calibration;
  const record = new Map<string, string | number>([
    ["preset", preset],
    ["method", method],
    ["images", images],
    ["calibration_sha256", imagesSha256],
  ]);
  const others = model.metadataProps.filter(({ key }) => key !== METADATA_KEY);
  return { ...quantized, metadataProps: [...others, { key: METADATA_KEY, value: toPythonLiteral(record) }] };
}

/** A constant operand of an elementwise operator, in the type of activations. */
function writeConstant({
  tensor,
  writer,
  format,
  scale,
  zeroPoint,
}: QuantParameters & { tensor: Tensor; writer: QdqWriter; format: PresetFormat }): void {
  const { activation, activationRange: range } = format;
  const make = (numbers: ArrayLike<number>) =>
    activation === "uint8" ? Uint8Array.from(numbers) : Int8Array.from(numbers);
  const { name, dims } = tensor;
  const values = Array.from(floatValues(tensor), (value) => quantizeValue({ value, scale, zeroPoint, range }));
  const constant = { name, values: make(values), dims, scale: Float32Array.of(scale), zeroPoint: make([zeroPoint]) };
  writer.rename(name, writer.constant(constant));
}

/** Quantises weights and, where the preset wants it, biases. */
function writeWeights({
  plan,
  constants,
  parametersOf,
  format,
  writer,
}: {
  plan: QuantPlan;
  constants: ReadonlyMap<string, Tensor>;
  parametersOf: (tensor: string) => QuantParameters;
  format: PresetFormat;
  writer: QdqWriter;
}): void {
  const inputScale = (user: QuantPlan["weighted"][number]): number => parametersOf(user.node.inputs[0]!).scale;
  const biasNames = new Set<string>();
  for (const [weight, users] of byWeight(plan.weighted)) {
    const tensor = constants.get(weight)!;
    const { axis } = users[0]!;
    const withBias = users.flatMap((user) => {
      const bias = format.bias === "int32" && user.bias !== undefined ? constants.get(user.bias) : undefined;
      return bias === undefined ? [] : [{ user, bias }];
    });
    const minimumScales = new Float64Array(tensor.dims[axis]!);
    for (const { user, bias } of withBias) {
      assertFinite(bias);
      const floor = biasScaleFloor({ bias, inputScale: inputScale(user) });
      for (let c = 0; c < minimumScales.length; c++) minimumScales[c] = Math.max(minimumScales[c]!, floor[c]!);
    }
    const { values, scales } = quantizeWeight({ tensor, axis, minimumScales, range: format.weightRange });
    const zeroPoint = new Int8Array(scales.length);
    const name = writer.constant({ name: weight, values, dims: tensor.dims, scale: scales, zeroPoint, axis });
    for (const { node } of users) writer.setInput(node, 1, name);
    for (const { user, bias } of withBias) {
      // A bias shared by two nodes has two scales: the second use gets its own copy.
      const own = biasNames.has(bias.name) ? `${bias.name}_${user.node.name}` : bias.name;
      biasNames.add(bias.name);
      const quantized = quantizeBias({ bias, inputScale: inputScale(user), weightScales: scales });
      const integers = {
        values: quantized.values,
        dims: bias.dims,
        scale: quantized.scales,
        zeroPoint: new Int32Array(quantized.scales.length),
      };
      writer.setInput(user.node, 2, writer.constant({ name: own, ...integers, axis: 0 }));
    }
  }
}

function byWeight(weighted: QuantPlan["weighted"]): Map<string, QuantPlan["weighted"]> {
  const groups = new Map<string, QuantPlan["weighted"]>();
  for (const entry of weighted) groups.set(entry.weight, [...(groups.get(entry.weight) ?? []), entry]);
  return groups;
}
