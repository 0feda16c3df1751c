import type { Value } from "../graph.js";
import { type LowerContext, NCHW } from "../lower/context.js";
import { type Convolution, convolution, cropped, type Geometry } from "./conv-geometry.js";
import { type Call, kernel, lowering } from "./define.js";
import { convEpilogue } from "./epilogue.js";

/** y = x * filter, channel by channel, in NHWC; the filter is [kh, kw, C, m], output channel c m + q. */
function depthwise(call: Call): { y: Value; convolution: Convolution } {
  const [x, filter] = [call.inputs["x"]!, call.inputs["filter"]!];
  const conv = convolution(call, x.shape, filter.shape, true);
  const outputs = [{ shape: conv.outShape, dtype: "float32" as const }];
  const y = call.record("DepthwiseConv2dNative", [conv.value(x), call.value(filter)], outputs, {
    ...conv.geometry,
  })[0]!;
  return { y, convolution: conv };
}
kernel("DepthwiseConv2dNative", (call) => {
  const { y, convolution: conv } = depthwise(call);
  return conv.tensor(y);
});
kernel(
  "FusedDepthwiseConv2D",
  (call) => {
    const { y, convolution: conv } = depthwise(call);
    return conv.tensor(convEpilogue(call, y));
  },
  { status: "composed" },
);

/** Logical [kh, kw, C, m] over base [C, m, kh, kw]. */
const CMHW = [2, 3, 0, 1] as const;

/** Filter as [C m, 1, kh, kw]. */
function grouped(c: LowerContext, filter: Value): string {
  const [kh, kw, channels, multiplier] = filter.shape as [number, number, number, number];
  return c.emit("Reshape", [c.inPerm(filter, CMHW), c.int64([channels * multiplier, 1, kh, kw])]);
}
lowering("DepthwiseConv2dNative", (c, node) => {
  const { strides, dilations, pads, kernel: size } = node.attrs as unknown as Geometry;
  const [x, filter] = node.inputs;
  const attrs = { strides, dilations, pads, kernel_shape: size, group: x!.shape[3]! };
  c.set(node.outputs[0]!, c.emit("Conv", [c.inPerm(x!, NCHW), grouped(c, filter!)], attrs), NCHW);
});

kernel(
  "DepthwiseConv2dNativeBackpropInput",
  (call) => {
    const [dy, filter] = [call.inputs["dy"]!, call.inputs["filter"]!];
    const conv = convolution(call, call.attrs["inputShape"] as number[], filter.shape, true);
    const values = [cropped(call, conv.value(dy), conv.outShape), call.value(filter)];
    const outputs = [{ shape: conv.inShape, dtype: "float32" as const }];
    return conv.tensor(call.record("DepthwiseConv2dNativeBackpropInput", values, outputs, { ...conv.geometry })[0]!);
  },
  { status: "composed" },
);
lowering("DepthwiseConv2dNativeBackpropInput", (c, node) => {
  const { strides, dilations, pads, kernel: size } = node.attrs as unknown as Geometry;
  const [dyValue, filterValue] = node.inputs;
  const dx = node.outputs[0]!;
  const dy = c.inPerm(dyValue!, NCHW);
  const group = dx.shape[3]!;
  const reach = size.map((k, i) => (k - 1) * dilations[i]!);
  if (strides.every((s) => s === 1) && pads.every((p, i) => p <= reach[i % 2]!)) {
    // A convolution with the flipped filter, 3x as fast as ConvTranspose.
    const far = -(2 ** 31);
    const filter = c.inPerm(filterValue!, CMHW);
    const flipped = c.emit("Slice", [
      filter,
      c.int64([-1, -1]),
      c.int64([far, far]),
      c.int64([2, 3]),
      c.int64([-1, -1]),
    ]);
    const back = pads.map((p, i) => reach[i % 2]! - p);
    c.set(dx, c.emit("Conv", [dy, flipped], { dilations, pads: back, kernel_shape: size, group }), NCHW);
    return;
  }
  const spread = c.emit("ConvTranspose", [dy, grouped(c, filterValue!)], {
    strides,
    dilations,
    kernel_shape: size,
    group,
  });
  c.set(dx, fit(c, spread, dyValue!, dx, node.attrs as unknown as Geometry), NCHW);
});

/** An unpadded transposed convolution [N, C, ...] cut, or filled with zeros, to the shape of the input's gradient. */
export function fit(
  c: LowerContext,
  spread: string,
  dy: Value,
  dx: Value,
  { strides, dilations, pads, kernel: size }: Geometry,
): string {
  const half = size.length;
  const after = size.map((k, i) => {
    const full = (dy.shape[1 + i]! - 1) * strides[i]! + (k - 1) * dilations[i]! + 1;
    return dx.shape[1 + i]! + pads[i]! - full;
  });
  const cut = [0, 0, ...pads.slice(0, half).map((p) => -p), 0, 0, ...after];
  return cut.every((p) => p === 0) ? spread : c.emit("Pad", [spread, c.int64(cut)], { mode: "constant" });
}

kernel(
  "DepthwiseConv2dNativeBackpropFilter",
  (call) => {
    const [x, dy] = [call.inputs["x"]!, call.inputs["dy"]!];
    const filterShape = call.attrs["filterShape"] as number[];
    const conv = convolution(call, x.shape, filterShape, true);
    const values = [conv.value(x), cropped(call, conv.value(dy), conv.outShape)];
    const outputs = [{ shape: filterShape, dtype: "float32" as const }];
    return call.tensor(call.record("DepthwiseConv2dNativeBackpropFilter", values, outputs, { ...conv.geometry })[0]!);
  },
  { status: "composed" },
);
/** Output pixels up to which one product and sum per tap beats a matrix product over columns. */
const SMALL_MAP = 400;
lowering("DepthwiseConv2dNativeBackpropFilter", (c, node) => {
  const geometry = node.attrs as unknown as Geometry;
  const [xValue, dyValue] = node.inputs;
  const [kh, kw, channels, multiplier] = node.outputs[0]!.shape as [number, number, number, number];
  const [n, outHeight, outWidth] = dyValue!.shape as [number, number, number];
  const pixels = outHeight * outWidth;
  const views = tapViews(c, c.inPerm(xValue!, NCHW), geometry, [outHeight, outWidth]);
  const dy = c.inPerm(dyValue!, NCHW);
  let taps: string;
  if (pixels <= SMALL_MAP) {
    const rows = c.emit("Reshape", [dy, c.int64([n, channels, multiplier, pixels])]);
    const sums = views.map((view) => {
      const column = c.emit("Reshape", [view, c.int64([n, channels, 1, pixels])]);
      const sum = c.emit("ReduceSum", [c.emit("Mul", [column, rows]), c.int64([0, 3])], { keepdims: 0 });
      return c.emit("Reshape", [sum, c.int64([channels, multiplier, 1])]);
    });
    taps = sums.length === 1 ? sums[0]! : c.emit("Concat", sums, { axis: 2 });
  } else {
    const columns = views.map((view) => c.emit("Reshape", [view, c.int64([n, channels, 1, pixels])]));
    const all = columns.length === 1 ? columns[0]! : c.emit("Concat", columns, { axis: 2 });
    const rows = c.emit("Reshape", [dy, c.int64([n, channels, multiplier, pixels])]);
    taps = c.emit("ReduceSum", [productTransB(c, rows, all), c.int64([0])], { keepdims: 0 });
  }
  c.set(node.outputs[0]!, c.emit("Reshape", [taps, c.int64([channels, multiplier, kh, kw])]), CMHW);
});

/** a @ b^T over the last two axes. */
export function productTransB(c: LowerContext, a: string, b: string, rank = 4): string {
  if (c.contrib.has("FusedMatMul")) {
    return c.emit("FusedMatMul", [a, b], { transA: 0, transB: 1, alpha: { float: 1 } }, "com.microsoft");
  }
  const perm = Array.from({ length: rank }, (_, i) => (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i));
  return c.emit("MatMul", [a, c.emit("Transpose", [b], { perm })]);
}

/** Per tap of the filter, row-major, the pixels of the padded input [N, C, ...] that it meets: views of the output's size. */
export function tapViews(
  c: LowerContext,
  x: string,
  { strides, dilations, pads, kernel: size }: Geometry,
  out: readonly number[],
): string[] {
  const half = size.length;
  const source = pads.some((p) => p !== 0)
    ? c.emit("Pad", [x, c.int64([0, 0, ...pads.slice(0, half), 0, 0, ...pads.slice(half)])], { mode: "constant" })
    : x;
  const axes = c.int64(size.map((_, i) => 2 + i));
  const taps = size.reduce<number[][]>(
    (list, k) => list.flatMap((tap) => Array.from({ length: k }, (_, i) => [...tap, i])),
    [[]],
  );
  return taps.map((tap) => {
    const starts = tap.map((t, i) => t * dilations[i]!);
    const ends = starts.map((s, i) => s + (out[i]! - 1) * strides[i]! + 1);
    return c.emit("Slice", [source, c.int64(starts), c.int64(ends), axes, c.int64(strides)]);
  });
}
