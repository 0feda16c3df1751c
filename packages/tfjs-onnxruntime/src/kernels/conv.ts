import type { RecordedNode, Value } from "../graph.js";
import { type LowerContext, NCHW, OIHW } from "../lower/context.js";
import { engineConfig } from "../settings.js";
import { type Convolution, convolution, cropped, type Geometry } from "./conv-geometry.js";
import { type Call, kernel, lowering } from "./define.js";
import { convEpilogue } from "./epilogue.js";

/** y = x * filter, in NHWC. */
function conv2d(call: Call): { y: Value; convolution: Convolution } {
  const [x, filter] = [call.inputs["x"]!, call.inputs["filter"]!];
  const conv = convolution(call, x.shape, filter.shape);
  const outputs = [{ shape: conv.outShape, dtype: "float32" as const }];
  const y = call.record("Conv2D", [conv.value(x), call.value(filter)], outputs, { ...conv.geometry })[0]!;
  return { y, convolution: conv };
}
kernel("Conv2D", (call) => {
  const { y, convolution: conv } = conv2d(call);
  return conv.tensor(y);
});
kernel(
  "FusedConv2D",
  (call) => {
    const { y, convolution: conv } = conv2d(call);
    return conv.tensor(convEpilogue(call, y));
  },
  { status: "composed" },
);
lowering("Conv2D", (c, node) => {
  const { strides, dilations, pads, kernel: size } = node.attrs as unknown as Geometry;
  const x = c.inPerm(node.inputs[0]!, NCHW);
  const w = c.inPerm(node.inputs[1]!, OIHW);
  c.set(node.outputs[0]!, c.emit("Conv", [x, w], { strides, dilations, pads, kernel_shape: size }), NCHW);
});

kernel(
  "Conv2DBackpropInput",
  (call) => {
    const [dy, filter] = [call.inputs["dy"]!, call.inputs["filter"]!];
    const conv = convolution(call, call.attrs["inputShape"] as number[], filter.shape);
    const values = [cropped(call, conv.value(dy), conv.outShape), call.value(filter)];
    const outputs = [{ shape: conv.inShape, dtype: "float32" as const }];
    return conv.tensor(call.record("Conv2DBackpropInput", values, outputs, { ...conv.geometry })[0]!);
  },
  { status: "composed" },
);
lowering("Conv2DBackpropInput", (c, node) => {
  const { strides, dilations, pads, kernel: size } = node.attrs as unknown as Geometry;
  const [top, left, bottom, right] = pads as [number, number, number, number];
  const [kh, kw] = size as [number, number];
  const [, height, width] = node.outputs[0]!.shape as [number, number, number, number];
  const [, outHeight, outWidth] = node.inputs[0]!.shape as [number, number, number, number];
  const { name: dy, scale } = c.unscaled(node.inputs[0]!);
  const filter = c.inPerm(node.inputs[1]!, OIHW);
  const [, , inChannels, outChannels] = node.inputs[1]!.shape as [number, number, number, number];
  // A factor per channel of dy is one per output channel of the filter.
  const w =
    scale === null ? filter : c.emit("Mul", [filter, c.emit("Reshape", [scale, c.int64([outChannels, 1, 1, 1])])]);
  const unit = strides[0] === 1 && strides[1] === 1 && dilations[0] === 1 && dilations[1] === 1;
  const fits = top < kh && left < kw && bottom < kh && right < kw;
  // Stride 1: a convolution with the flipped filter, in and out swapped, is faster than ConvTranspose where maps are large
  // (60-70 against 41-62 GFLOP/s); on small maps flipping the filter costs more than it saves.
  if (unit && fits && (kh === 1 || outHeight * outWidth * (node.inputs[0]!.shape[0] ?? 1) >= 1600)) {
    let flipped = w;
    if (kh > 1 || kw > 1) {
      // Reversing 9 floats at a time by Gather costs ten times this product with a 0/1 matrix.
      const area = kh * kw;
      const exchange = Float32Array.from({ length: area * area }, (_, i) =>
        (i % area) + Math.floor(i / area) === area - 1 ? 1 : 0,
      );
      const taps = c.emit("Reshape", [w, c.int64([outChannels * inChannels, area])]);
      const reversed = c.emit("MatMul", [taps, c.float(exchange, [area, area])]);
      const swapped = c.emit("Transpose", [c.emit("Reshape", [reversed, c.int64([outChannels, inChannels, area])])], {
        perm: [1, 0, 2],
      });
      flipped = c.emit("Reshape", [swapped, c.int64([inChannels, outChannels, kh, kw])]);
    } else {
      flipped = c.emit("Transpose", [w], { perm: [1, 0, 2, 3] });
    }
    const back = [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right];
    c.set(node.outputs[0]!, c.emit("Conv", [dy, flipped], { strides: [1, 1], pads: back, kernel_shape: size }), NCHW);
    return;
  }
  // size of the transposed convolution without output padding: (o - 1) s - pads + d (k - 1) + 1
  const plainHeight = (outHeight - 1) * strides[0]! - top - bottom + dilations[0]! * (kh - 1) + 1;
  const plainWidth = (outWidth - 1) * strides[1]! - left - right + dilations[1]! * (kw - 1) + 1;
  const extra = [height - plainHeight, width - plainWidth];
  c.set(
    node.outputs[0]!,
    c.emit("ConvTranspose", [dy, w], { strides, dilations, pads, kernel_shape: size, output_padding: extra }),
    NCHW,
  );
});

kernel(
  "Conv2DBackpropFilter",
  (call) => {
    const [x, dy] = [call.inputs["x"]!, call.inputs["dy"]!];
    const filterShape = call.attrs["filterShape"] as number[];
    const conv = convolution(call, x.shape, filterShape);
    const values = [conv.value(x), cropped(call, conv.value(dy), conv.outShape)];
    const outputs = [{ shape: filterShape, dtype: "float32" as const }];
    return call.tensor(call.record("Conv2DBackpropFilter", values, outputs, { ...conv.geometry })[0]!);
  },
  { status: "composed" },
);

/**
 * Products of output gradients with shifted inputs, summed over pixels and images: [O, K]. Either one product per image and a sum
 * over images, or, with images and pixels in one axis (`merged`), a single product of long rows.
 */
interface GradientProduct {
  /** dy as [N, O, P], or [O, N P]. */
  readonly dy: string;
  readonly merged: boolean;
}

function gradientProduct(c: LowerContext, { dy, merged }: GradientProduct, columns: string): string {
  if (merged) return c.emit("Gemm", [dy, columns], { transA: 0, transB: 1 });
  const product = c.contrib.has("FusedMatMul")
    ? c.emit("FusedMatMul", [dy, columns], { transA: 0, transB: 1, alpha: { float: 1 } }, "com.microsoft")
    : c.emit("MatMul", [dy, c.emit("Transpose", [columns], { perm: [0, 2, 1] })]);
  return c.emit("ReduceSum", [product, c.int64([0])], { keepdims: 0 });
}

lowering("Conv2DBackpropFilter", (c, node: RecordedNode) => {
  const { strides, dilations, pads, kernel: size } = node.attrs as unknown as Geometry;
  const [kh, kw] = size as [number, number];
  const [n, , , inChannels] = node.inputs[0]!.shape as [number, number, number, number];
  const [, outHeight, outWidth, outChannels] = node.inputs[1]!.shape as [number, number, number, number];
  const pixels = outHeight * outWidth;
  const shape = [outChannels, inChannels, kh, kw];
  const { name: dyMap, scale } = c.unscaled(node.inputs[1]!);
  const done = (flat: string) => {
    const gradient = c.emit("Reshape", [flat, c.int64(shape)]);
    const factor = scale === null ? null : c.emit("Reshape", [scale, c.int64([outChannels, 1, 1, 1])]);
    c.set(node.outputs[0]!, factor === null ? gradient : c.emit("Mul", [gradient, factor]), OIHW);
  };
  const padded = pads.some((p) => p !== 0);
  const area = kh * kw;
  const unit = strides[0] === 1 && strides[1] === 1;
  // The sum over images moves N O K numbers, merging the axes N (O + K) P.
  const worthwhile = area * outChannels * inChannels >= (outChannels + (unit ? 1 : area) * inChannels) * pixels;
  const merged = n > 1 && worthwhile && engineConfig().passes.filterGradient;
  /** [N, C, ...] as [N, C, P], or [C, N P] */
  const rows = (map: string, channels: number) =>
    merged
      ? c.emit("Reshape", [c.emit("Transpose", [map], { perm: [1, 0, 2, 3] }), c.int64([channels, n * pixels])])
      : c.emit("Reshape", [map, c.int64([n, channels, pixels])]);
  const x = c.inPerm(node.inputs[0]!, NCHW);
  const dy = { merged, dy: rows(dyMap, outChannels) };
  if (area === 1 && unit && !padded) return done(gradientProduct(c, dy, rows(x, inChannels)));
  if (unit) {
    // Per tap: shifted view of the padded input against dy.
    const [top, left, bottom, right] = pads as [number, number, number, number];
    const turned = merged ? c.emit("Transpose", [x], { perm: [1, 0, 2, 3] }) : x;
    const source = padded
      ? c.emit("Pad", [turned, c.int64([0, 0, top, left, 0, 0, bottom, right])], { mode: "constant" })
      : turned;
    const view = merged ? [inChannels, n * pixels] : [n, inChannels, pixels];
    const taps: string[] = [];
    for (let i = 0; i < kh; i++) {
      for (let j = 0; j < kw; j++) {
        const y0 = i * dilations[0]!;
        const x0 = j * dilations[1]!;
        const ends = c.int64([y0 + outHeight, x0 + outWidth]);
        const tap = c.emit("Slice", [source, c.int64([y0, x0]), ends, c.int64([2, 3])]);
        const product = gradientProduct(c, dy, c.emit("Reshape", [tap, c.int64(view)]));
        taps.push(c.emit("Reshape", [product, c.int64([outChannels, inChannels, 1])]));
      }
    }
    return done(taps.length === 1 ? taps[0]! : c.emit("Concat", taps, { axis: 2 }));
  }
  // Strided: columns by a depthwise convolution with one-hot filters, channel c * k * k + tap.
  const oneHot = new Float32Array(inChannels * area * area);
  for (let channel = 0; channel < inChannels; channel++) {
    for (let tap = 0; tap < area; tap++) oneHot[(channel * area + tap) * area + tap] = 1;
  }
  const filter = c.float(oneHot, [inChannels * area, 1, kh, kw]);
  const columns = c.emit("Conv", [x, filter], { strides, dilations, pads, kernel_shape: size, group: inChannels });
  done(gradientProduct(c, dy, rows(columns, inChannels * area)));
});
