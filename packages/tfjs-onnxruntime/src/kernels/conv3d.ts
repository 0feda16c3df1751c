import * as tf from "@tensorflow/tfjs";
import { type Geometry, padsAfter } from "./conv-geometry.js";
import { kernel, lowering } from "./define.js";
import { fit, productTransB, tapViews } from "./depthwise.js";
import { NCDHW } from "./pool-window.js";

/** Logical [kd, kh, kw, in, out] over base [out, in, kd, kh, kw]. */
const OIDHW = [2, 3, 4, 1, 0] as const;

function convolution3d(
  inShape: readonly number[],
  filterShape: readonly number[],
  attrs: Record<string, unknown>,
): { geometry: Geometry; outShape: number[] } {
  const { strides, pad, dilations = 1 } = attrs as { strides: number; pad: "same"; dilations?: number };
  const info = tf.backend_util.computeConv3DInfo(
    inShape as [number, number, number, number, number],
    filterShape as [number, number, number, number, number],
    strides,
    dilations,
    pad,
  );
  const size = {
    strides: [info.strideDepth, info.strideHeight, info.strideWidth],
    dilations: [info.dilationDepth, info.dilationHeight, info.dilationWidth],
    kernel: [info.filterDepth, info.filterHeight, info.filterWidth],
  };
  const before = [info.padInfo.front, info.padInfo.top, info.padInfo.left];
  const after = padsAfter({ ...size, before, input: inShape.slice(1, 4), out: info.outShape.slice(1, 4) });
  return { geometry: { ...size, pads: [...before, ...after] }, outShape: info.outShape };
}

kernel("Conv3D", (call) => {
  const [x, filter] = [call.inputs["x"]!, call.inputs["filter"]!];
  const { geometry, outShape } = convolution3d(x.shape, filter.shape, call.attrs);
  const outputs = [{ shape: outShape, dtype: "float32" as const }];
  return call.tensor(call.record("Conv3D", [call.value(x), call.value(filter)], outputs, { ...geometry })[0]!);
});
lowering("Conv3D", (c, node) => {
  const { strides, dilations, pads, kernel: size } = node.attrs as unknown as Geometry;
  const inputs = [c.inPerm(node.inputs[0]!, NCDHW), c.inPerm(node.inputs[1]!, OIDHW)];
  c.set(node.outputs[0]!, c.emit("Conv", inputs, { strides, dilations, pads, kernel_shape: size }), NCDHW);
});

kernel(
  "Conv3DBackpropInputV2",
  (call) => {
    const [dy, filter] = [call.inputs["dy"]!, call.inputs["filter"]!];
    const shape = call.attrs["inputShape"] as number[];
    const { geometry } = convolution3d(shape, filter.shape, call.attrs);
    const outputs = [{ shape, dtype: "float32" as const }];
    const values = [call.value(dy), call.value(filter)];
    return call.tensor(call.record("Conv3DBackpropInputV2", values, outputs, { ...geometry })[0]!);
  },
  { status: "composed" },
);
lowering("Conv3DBackpropInputV2", (c, node) => {
  const geometry = node.attrs as unknown as Geometry;
  const { strides, dilations, kernel: size } = geometry;
  const [dy, filter] = node.inputs;
  const inputs = [c.inPerm(dy!, NCDHW), c.inPerm(filter!, OIDHW)];
  const spread = c.emit("ConvTranspose", inputs, { strides, dilations, kernel_shape: size });
  c.set(node.outputs[0]!, fit(c, spread, dy!, node.outputs[0]!, geometry), NCDHW);
});

kernel(
  "Conv3DBackpropFilterV2",
  (call) => {
    const [x, dy] = [call.inputs["x"]!, call.inputs["dy"]!];
    const shape = call.attrs["filterShape"] as number[];
    const { geometry } = convolution3d(x.shape, shape, call.attrs);
    const outputs = [{ shape, dtype: "float32" as const }];
    const values = [call.value(x), call.value(dy)];
    return call.tensor(call.record("Conv3DBackpropFilterV2", values, outputs, { ...geometry })[0]!);
  },
  { status: "composed" },
);
// Per tap: dy [N, out, P] times the tap's view of x [N, in, P], transposed, summed over the batch.
lowering("Conv3DBackpropFilterV2", (c, node) => {
  const geometry = node.attrs as unknown as Geometry;
  const [x, dy] = node.inputs;
  const [kd, kh, kw, inChannels, outChannels] = node.outputs[0]!.shape as [number, number, number, number, number];
  const [n, ...out] = dy!.shape.slice(0, 4) as [number, number, number, number];
  const pixels = out.reduce((a, b) => a * b, 1);
  const rows = c.emit("Reshape", [c.inPerm(dy!, NCDHW), c.int64([n, outChannels, pixels])]);
  const taps = tapViews(c, c.inPerm(x!, NCDHW), geometry, out).map((view) => {
    const columns = c.emit("Reshape", [view, c.int64([n, inChannels, pixels])]);
    const sum = c.emit("ReduceSum", [productTransB(c, rows, columns, 3), c.int64([0])], { keepdims: 0 });
    return c.emit("Reshape", [sum, c.int64([outChannels, inChannels, 1])]);
  });
  const flat = taps.length === 1 ? taps[0]! : c.emit("Concat", taps, { axis: 2 });
  c.set(node.outputs[0]!, c.emit("Reshape", [flat, c.int64([outChannels, inChannels, kd, kh, kw])]), OIDHW);
});
