import { type Attribute, DataType, inferShapes, type Model, type Node, type Tensor } from "@seg/onnx";
import { floatTensor, indexGraph, integerTensor, makeNode } from "../graph-index.js";
import { headNodes } from "./head.js";
import { planQuantization } from "./plan.js";
import { quantizeWeight } from "./weights.js";

/**
 * Dynamic INT8 quantisation: int8 weights per output channel, activations quantised to uint8 anew in each run (`DynamicQuantizeLinear`,
 * `ConvInteger`, `MatMulInteger`), so no calibration. Slower than float32 on convolutional networks, about 1.4 times: it saves size only. Meant for
 * networks of matrix products. Transposed convolutions, Gemm and the decode head stay float.
 *
 * @throws ExportError `QUANT_CONFIG` naming a weight that is not finite
 */
export function quantizeDynamic(model: Model): Model {
  const { graph } = model;
  const excluded = new Set([...headNodes(graph).values()].flat());
  const { weighted } = planQuantization(graph, excluded);
  const layers = new Map(
    weighted.flatMap((layer) =>
      layer.node.opType === "Conv" || layer.node.opType === "MatMul" ? [[layer.node, layer]] : [],
    ) as [Node, (typeof weighted)[number]][],
  );
  const constants = indexGraph(graph).initializers;
  const initializers: Tensor[] = [];
  const known = new Set<string>();
  const add = (tensor: Tensor): string => {
    if (!known.has(tensor.name)) {
      known.add(tensor.name);
      initializers.push(tensor);
    }
    return tensor.name;
  };
  const nodes: Node[] = [];
  const quantized = new Set<string>();
  for (const node of graph.nodes) {
    const layer = layers.get(node);
    if (layer === undefined) {
      nodes.push(node);
      continue;
    }
    const x = node.inputs[0]!;
    const [integers, scale, zero] = [`${x}_quantized`, `${x}_scale`, `${x}_zero_point`];
    if (!quantized.has(x)) {
      quantized.add(x);
      nodes.push(makeNode("DynamicQuantizeLinear", `${x}_DynamicQuantizeLinear`, [x], [integers, scale, zero]));
    }
    const { weight, axis, bias } = layer;
    const tensor = constants.get(weight)!;
    const { values, scales } = quantizeWeight({ tensor, axis });
    const isConv = node.opType === "Conv";
    const spread = (count: number): number[] => (isConv ? [1, count, 1, 1] : [count]);
    const y = node.outputs[0]!;
    const int8 = add(integerTensor(`${weight}_quantized`, values, tensor.dims));
    const weightScale = add(floatTensor(`${weight}_scale`, scales, spread(scales.length)));
    const to: Attribute = { name: "to", type: "INT", value: DataType.FLOAT };
    const name = (suffix: string): string => `${node.name}_${suffix}`;
    nodes.push(
      makeNode(
        isConv ? "ConvInteger" : "MatMulInteger",
        name("integer"),
        [integers, int8, zero],
        [`${y}_int32`],
        isConv ? node.attributes : [],
      ),
      makeNode("Cast", name("cast"), [`${y}_int32`], [`${y}_float`], [to]),
      makeNode("Mul", name("scale"), [scale, weightScale], [`${y}_scales`]),
      makeNode("Mul", name("rescale"), [`${y}_float`, `${y}_scales`], [bias === undefined ? y : `${y}_product`]),
    );
    if (bias === undefined) continue;
    const offset = constants.get(bias)!;
    const shaped = add({ ...offset, name: `${bias}_spread`, dims: spread(offset.dims[0]!) });
    nodes.push(makeNode("Add", name("bias"), [`${y}_product`, shaped], [y]));
  }
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const all = [...graph.initializers, ...initializers].filter(({ name }) => read.has(name));
  return inferShapes({ ...model, graph: { ...graph, nodes, initializers: all } }).model;
}
