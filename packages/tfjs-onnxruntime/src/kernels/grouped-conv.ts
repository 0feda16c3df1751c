import { NCHW, OIHW } from "../lower/context.js";
import { convolution, type Geometry } from "./conv-geometry.js";
import { type Call, kernel, lowering } from "./define.js";
import { fit, productTransB, tapViews } from "./depthwise.js";

/** Geometry of a convolution in groups; attributes as those of tfjs's Conv2D plus `groups`. */
function geometry(call: Call, inShape: readonly number[], filterShape: readonly number[]) {
  const conv = convolution(call, inShape, filterShape);
  return { conv, attrs: { ...conv.geometry, groups: call.attrs["groups"] as number } };
}
type GroupedGeometry = Geometry & { readonly groups: number };

// y[n, o] = sum over c of the group of o: x[n, c] * filter[c, o]; NHWC, filter [kh, kw, C / groups, O].
kernel("SegConv2d", (call) => {
  const [x, filter] = [call.inputs["x"]!, call.inputs["filter"]!];
  const { conv, attrs } = geometry(call, x.shape, filter.shape);
  const outputs = [{ shape: conv.outShape, dtype: "float32" as const }];
  return conv.tensor(call.record("SegConv2d", [conv.value(x), call.value(filter)], outputs, attrs)[0]!);
});
lowering("SegConv2d", (c, node) => {
  const { strides, dilations, pads, kernel: size, groups } = node.attrs as unknown as GroupedGeometry;
  const operands = [c.inPerm(node.inputs[0]!, NCHW), c.inPerm(node.inputs[1]!, OIHW)];
  const attrs = { strides, dilations, pads, kernel_shape: size, group: groups };
  c.set(node.outputs[0]!, c.emit("Conv", operands, attrs), NCHW);
});

kernel(
  "SegConv2dGradInput",
  (call) => {
    const [dy, filter] = [call.inputs["dy"]!, call.inputs["filter"]!];
    const { conv, attrs } = geometry(call, call.attrs["inputShape"] as number[], filter.shape);
    const outputs = [{ shape: conv.inShape, dtype: "float32" as const }];
    return conv.tensor(call.record("SegConv2dGradInput", [conv.value(dy), call.value(filter)], outputs, attrs)[0]!);
  },
  { status: "composed" },
);
lowering("SegConv2dGradInput", (c, node) => {
  const { groups, ...rest } = node.attrs as unknown as GroupedGeometry;
  const [dy, filter] = node.inputs;
  const dx = node.outputs[0]!;
  const spread = c.emit("ConvTranspose", [c.inPerm(dy!, NCHW), c.inPerm(filter!, OIHW)], {
    strides: rest.strides,
    dilations: rest.dilations,
    kernel_shape: rest.kernel,
    group: groups,
  });
  c.set(dx, fit(c, spread, dy!, dx, rest), NCHW);
});

kernel(
  "SegConv2dGradFilter",
  (call) => {
    const [x, dy] = [call.inputs["x"]!, call.inputs["dy"]!];
    const filterShape = call.attrs["filterShape"] as number[];
    const { conv, attrs } = geometry(call, x.shape, filterShape);
    const outputs = [{ shape: filterShape, dtype: "float32" as const }];
    return call.tensor(call.record("SegConv2dGradFilter", [conv.value(x), conv.value(dy)], outputs, attrs)[0]!);
  },
  { status: "composed" },
);
// Per group: dy [O/g, pixels] times the transposed pixels under each tap [taps C/g, pixels], summed over images.
lowering("SegConv2dGradFilter", (c, node) => {
  const attrs = node.attrs as unknown as GroupedGeometry;
  const [x, dy] = node.inputs;
  const [kh, kw, depth, filters] = node.outputs[0]!.shape as [number, number, number, number];
  const [n, outHeight, outWidth] = dy!.shape as [number, number, number];
  const pixels = outHeight * outWidth;
  const shape = c.int64([n, attrs.groups, depth, pixels]);
  const views = tapViews(c, c.inPerm(x!, NCHW), attrs, [outHeight, outWidth]);
  const columns = views.map((view) => c.emit("Reshape", [view, shape]));
  const all = columns.length === 1 ? columns[0]! : c.emit("Concat", columns, { axis: 2 });
  const rows = c.emit("Reshape", [c.inPerm(dy!, NCHW), c.int64([n, attrs.groups, filters / attrs.groups, pixels])]);
  const sum = c.emit("ReduceSum", [productTransB(c, rows, all), c.int64([0])], { keepdims: 0 });
  // [g, O/g, taps C/g]: base [O, kh, kw, C/g].
  const base = c.emit("Reshape", [sum, c.int64([filters, kh, kw, depth])]);
  c.set(node.outputs[0]!, base, [1, 2, 3, 0]);
});
