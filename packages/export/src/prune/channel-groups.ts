import { floatAttribute, type Graph, intAttribute, type Node, type Tensor, tensorData } from "@seg/onnx";
import { indexGraph } from "../graph-index.js";
import { DisjointSets } from "./disjoint-sets.js";

/** One initializer whose `axis` runs over channels; position i belongs to unit `units[i]`. */
export interface ChannelUse {
  readonly tensor: string;
  readonly axis: number;
  readonly units: Int32Array;
  /** `output` of a layer with weights, `input` of one, `affine` for biases and normalisations. */
  readonly role: "output" | "input" | "affine";
}

/** A normalisation right behind a layer: its scale belongs to the layer's output channels. */
export interface ChannelScale {
  readonly gamma: string;
  readonly variance: string;
  readonly epsilon: number;
}

/** A Split over channels, whose sizes follow the channels that are left. */
export interface ChannelSplit {
  readonly node: Node;
  readonly parts: readonly Int32Array[];
}

/** Channels that stand or fall together with others, gathered by the layers that make them. */
export interface ChannelGroup {
  /** Layers (weight names) whose outputs are coupled, and which part of a split they are. */
  readonly key: string;
  /** Units, each a set of coupled channels, in channel order. */
  readonly units: readonly number[];
}

/** Result of {@link channelGroups}. */
export interface ChannelGroups {
  /** Groups that may lose channels. */
  readonly groups: readonly ChannelGroup[];
  readonly uses: readonly ChannelUse[];
  readonly splits: readonly ChannelSplit[];
  /** Reshape nodes (by output) that give a bias its shape `[1, C, 1, 1]` -> units. */
  readonly shapes: ReadonlyMap<string, Int32Array>;
  /** Weight name -> the normalisation that follows. */
  readonly scales: ReadonlyMap<string, ChannelScale>;
  /** The unit that stands for all that are coupled with `unit`. */
  readonly rootOf: (unit: number) => number;
}

/** Operators that treat every channel alike and keep their number. */
const CHANNELWISE: ReadonlySet<string> = new Set(
  "Sigmoid Relu LeakyRelu Clip Tanh HardSigmoid HardSwish MaxPool AveragePool GlobalAveragePool Identity Dropout Softplus Mish Gelu".split(
    " ",
  ),
);
const BINARY: ReadonlySet<string> = new Set(["Add", "Mul", "Sub", "Div"]);

/**
 * Finds which channels of a convolutional graph depend on each other. Every convolution makes new channels; sums couple channels of both
 * sides, concatenations line them up, splits take slices, pools, activations and normalisations pass them on. What meets any other operator or a
 * graph output can not be removed: final 1x1 convolutions, the distribution decoder and the prototypes fall out by that rule, no name is needed.
 *
 * Works on folded graphs and on traces with batch normalisation. Feature maps are NCHW.
 */
export function channelGroups(graph: Graph): ChannelGroups {
  const { initializers, producers } = indexGraph(graph);
  const sets = new DisjointSets();
  const locked = new Set<number>();
  const labels: string[] = [];
  const channels = new Map<string, Int32Array>();
  const byUse = new Map<string, ChannelUse>();
  const splits: ChannelSplit[] = [];
  const shapes = new Map<string, Int32Array>();
  const scales = new Map<string, ChannelScale>();

  const make = (count: number, label: string): Int32Array =>
    Int32Array.from({ length: count }, () => {
      labels.push(label);
      return sets.add();
    });
  const lock = (units: Int32Array | undefined): void => units?.forEach((unit) => void locked.add(unit));
  const couple = (a: Int32Array, b: Int32Array): void => {
    if (a.length !== b.length) {
      lock(a);
      lock(b);
    } else a.forEach((unit, i) => void sets.union(unit, b[i]!));
  };
  /** A tensor used twice has one set of channels. */
  const use = (tensor: string, axis: number, units: Int32Array, role: ChannelUse["role"]): void => {
    const key = `${tensor}\n${axis}`;
    const known = byUse.get(key);
    if (known === undefined) byUse.set(key, { tensor, axis, units, role });
    else couple(known.units, units);
  };

  /** A constant operand: an initializer, or one that is only reshaped, as traces write biases. */
  const constantOf = (name: string): { tensor: Tensor; dims: readonly number[]; isReshaped: boolean } | null => {
    const direct = initializers.get(name);
    if (direct !== undefined) return { tensor: direct, dims: direct.dims, isReshaped: false };
    const node = producers.get(name);
    const tensor = node?.opType === "Reshape" ? initializers.get(node.inputs[0]!) : undefined;
    const shape = node === undefined ? undefined : initializers.get(node.inputs[1]!);
    if (tensor === undefined || shape === undefined || tensor.dims.length !== 1) return null;
    return { tensor, dims: Array.from(tensorData(shape) as BigInt64Array, Number), isReshaped: true };
  };

  /** Elementwise operation of a map with a constant. @returns false when the constant mixes axes */
  const withConstant = (units: Int32Array, operand: string): boolean => {
    const constant = constantOf(operand);
    if (constant === null) return false;
    const { tensor, dims, isReshaped } = constant;
    const sizes = dims.length > 3 ? dims.slice(-3) : dims;
    const count = tensor.dims.reduce((all, size) => all * size, 1);
    if (count === 1) return true;
    if (count !== units.length || sizes.length !== 3 || sizes[0] !== units.length) return false;
    use(tensor.name, isReshaped ? 0 : tensor.dims.length - 3, units, "affine");
    if (isReshaped) shapes.set(operand, units);
    return true;
  };

  const convolution = (node: Node, x: Int32Array | undefined): boolean => {
    const isTransposed = node.opType === "ConvTranspose";
    const weight = initializers.get(node.inputs[1] ?? "");
    if (weight === undefined || intAttribute(node, "group", 1) !== 1) return false;
    const [outputAxis, inputAxis] = isTransposed ? [1, 0] : [0, 1];
    const units = make(weight.dims[outputAxis]!, weight.name);
    use(weight.name, outputAxis, units, "output");
    if (x === undefined) {
      // The image itself: its channels are nobody's to remove.
    } else if (x.length === weight.dims[inputAxis]) use(weight.name, inputAxis, x, "input");
    else lock(x);
    const bias = node.inputs[2] ?? "";
    if (initializers.has(bias)) use(bias, 0, units, "affine");
    else if (bias !== "") lock(units);
    channels.set(node.outputs[0]!, units);
    return true;
  };

  for (const node of graph.nodes) {
    const tracked = node.inputs.map((name) => channels.get(name));
    const [x] = tracked;
    const isStandard = node.domain === "";
    if (isStandard && (node.opType === "Conv" || node.opType === "ConvTranspose") && convolution(node, x)) continue;
    if (tracked.every((units) => units === undefined)) continue;
    const out = (units: Int32Array): void => void channels.set(node.outputs[0]!, units);
    if (isStandard && x !== undefined) {
      if (CHANNELWISE.has(node.opType)) {
        out(x);
        continue;
      }
      // A Resize by sizes would need the channel count in its sizes.
      if (node.opType === "Resize" && (node.inputs[3] ?? "") === "") {
        out(x);
        continue;
      }
      if (node.opType === "BatchNormalization" && node.inputs.slice(1, 5).every((name) => initializers.has(name))) {
        for (const name of node.inputs.slice(1, 5)) use(name, 0, x, "affine");
        const [, gamma = "", , , variance = ""] = node.inputs;
        const layer = producers.get(node.inputs[0]!);
        if (layer?.opType === "Conv" || layer?.opType === "ConvTranspose")
          scales.set(layer.inputs[1]!, { gamma, variance, epsilon: floatAttribute(node, "epsilon", 1e-5) });
        out(x);
        continue;
      }
      if (node.opType === "Split" && intAttribute(node, "axis", 0) === 1) {
        const sizes = initializers.get(node.inputs[1] ?? "");
        if (sizes !== undefined) {
          let at = 0;
          const parts = Array.from(tensorData(sizes) as BigInt64Array, (size) => {
            const part = x.slice(at, at + Number(size));
            at += part.length;
            return part;
          });
          parts.forEach((part, i) => {
            channels.set(node.outputs[i]!, part);
            // Parts of one split are groups of their own, so that each keeps its share.
            for (const unit of part) labels[unit] += `|${node.outputs[0]}.${i}`;
          });
          splits.push({ node, parts });
          continue;
        }
      }
    }
    if (isStandard && BINARY.has(node.opType)) {
      const [a, b] = tracked;
      if (a !== undefined && b !== undefined) {
        couple(a, b);
        out(a);
        continue;
      }
      const units = (a ?? b)!;
      if (withConstant(units, node.inputs[a === undefined ? 0 : 1]!)) {
        out(units);
        continue;
      }
    }
    if (isStandard && node.opType === "Concat" && intAttribute(node, "axis", 0) === 1 && tracked.every(Boolean)) {
      out(Int32Array.from(tracked.flatMap((units) => [...units!])));
      continue;
    }
    for (const units of tracked) lock(units);
  }
  for (const { name } of graph.outputs) lock(channels.get(name));

  return {
    groups: gather({ sets, locked, labels }),
    uses: [...byUse.values()],
    splits,
    shapes,
    scales,
    rootOf: (unit) => sets.find(unit),
  };
}

/** Units that are free, by the set of layers (and parts of splits) that their channels come from. */
function gather({
  sets,
  locked,
  labels,
}: {
  sets: DisjointSets;
  locked: ReadonlySet<number>;
  labels: readonly string[];
}): ChannelGroup[] {
  const lockedRoots = new Set([...locked].map((unit) => sets.find(unit)));
  const origins = new Map<number, Set<string>>();
  labels.forEach((label, unit) => {
    const root = sets.find(unit);
    if (lockedRoots.has(root)) return;
    const list = origins.get(root);
    if (list === undefined) origins.set(root, new Set([label]));
    else list.add(label);
  });
  const groups = new Map<string, number[]>();
  for (const [root, list] of origins) {
    const key = [...list].sort().join(" + ");
    const units = groups.get(key);
    if (units === undefined) groups.set(key, [root]);
    else units.push(root);
  }
  return [...groups].map(([key, units]) => ({ key, units: units.sort((a, b) => a - b) }));
}
