import * as tf from "@tensorflow/tfjs";
import type { LowerContext } from "../lower/context.js";
import { NCHW } from "../lower/context.js";
import { kernel, lowering, sizeOf } from "./define.js";

function poolInfo(shape: readonly number[], attrs: Record<string, unknown>): tf.backend_util.Conv2DInfo {
  const { filterSize, strides, pad, dimRoundingMode } = attrs as {
    filterSize: number;
    strides: number;
    pad: number;
    dimRoundingMode?: "floor";
  };
  return tf.backend_util.computePool2DInfo(
    shape as [number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
}

const geometry = (info: tf.backend_util.Conv2DInfo) => ({
  strides: [info.strideHeight, info.strideWidth],
  pads: [info.padInfo.top, info.padInfo.left, info.padInfo.bottom, info.padInfo.right],
  kernel: [info.filterHeight, info.filterWidth],
});

for (const [name, opType] of [
  ["MaxPool", "MaxPool"],
  ["AvgPool", "AveragePool"],
] as const) {
  kernel(name, (call) => {
    const x = call.inputs["x"]!;
    const info = poolInfo(x.shape, call.attrs);
    return call.tensor(
      call.record(name, [call.value(x)], [{ shape: info.outShape, dtype: x.dtype }], geometry(info))[0]!,
    );
  });
  lowering(name, (c, node) => {
    const { strides, pads, kernel: size } = node.attrs as unknown as Record<string, number[]>;
    const x = c.inPerm(node.inputs[0]!, NCHW);
    c.set(node.outputs[0]!, c.emit(opType, [x], { strides: strides!, pads: pads!, kernel_shape: size! }), NCHW);
  });
}

kernel("MaxPoolGrad", (call) => {
  const [dy, input, output] = [call.inputs["dy"]!, call.inputs["input"]!, call.inputs["output"]!];
  const info = poolInfo(input.shape, call.attrs);
  const values = [call.value(dy), call.value(input), call.value(output)];
  return call.tensor(
    call.record("MaxPoolGrad", values, [{ shape: input.shape, dtype: "float32" }], geometry(info))[0]!,
  );
});

const LOWEST = -3.4028234663852886e38;

/**
 * Stride-1 pooling along one axis: the first element of the window that equals its maximum takes the gradient.
 * @param axis - base axis 2 or 3 @param length - extent of the output along it
 */
function scatterAlong(
  c: LowerContext,
  args: { x: string; y: string; dy: string; axis: number; size: number; before: number; after: number; length: number },
): string {
  const { x, y, dy, axis, size, before, after, length } = args;
  const pads = (a: number, b: number) =>
    c.int64([0, 1, 2, 3].map((i) => (i === axis ? a : 0)).concat([0, 1, 2, 3].map((i) => (i === axis ? b : 0))));
  const padded = c.emit("Pad", [x, pads(before, after), c.float([LOWEST], [])], { mode: "constant" });
  let rest = dy;
  const parts: string[] = [];
  for (let tap = 0; tap < size; tap++) {
    const view = c.emit("Slice", [padded, c.int64([tap]), c.int64([tap + length]), c.int64([axis])]);
    const hit = c.emit("Cast", [c.emit("Equal", [view, y])], { to: 1 });
    const take = c.emit("Mul", [hit, rest]);
    if (tap < size - 1) rest = c.emit("Sub", [rest, take]);
    parts.push(c.emit("Pad", [take, pads(tap, size - 1 - tap)], { mode: "constant" }));
  }
  const sum = parts.slice(1).reduce((a, b) => c.emit("Add", [a, b]), parts[0]!);
  // Drop what fell on the padding.
  const inputLength = length + size - 1 - before - after;
  return c.emit("Slice", [sum, c.int64([before]), c.int64([before + inputLength]), c.int64([axis])]);
}

lowering("MaxPoolGrad", (c, node) => {
  const {
    strides,
    pads,
    kernel: size,
  } = node.attrs as unknown as { strides: number[]; pads: number[]; kernel: number[] };
  const [dyValue, xValue, yValue] = node.inputs;
  const dy = c.inPerm(dyValue!, NCHW);
  const x = c.inPerm(xValue!, NCHW);
  const [n, height, width, channels] = xValue!.shape as [number, number, number, number];
  const [, outHeight, outWidth] = yValue!.shape as [number, number, number, number];
  if (strides[0] === 1 && strides[1] === 1) {
    const y = c.inPerm(yValue!, NCHW);
    // Separable: maxima along rows, then down the columns. Row-major first maximum = first row, then first column in it.
    const rows = c.emit("MaxPool", [x], {
      kernel_shape: [1, size[1]!],
      strides: [1, 1],
      pads: [0, pads[1]!, 0, pads[3]!],
    });
    const dRows = scatterAlong(c, {
      x: rows,
      y,
      dy,
      axis: 2,
      size: size[0]!,
      before: pads[0]!,
      after: pads[2]!,
      length: outHeight,
    });
    const dx = scatterAlong(c, {
      x,
      y: rows,
      dy: dRows,
      axis: 3,
      size: size[1]!,
      before: pads[1]!,
      after: pads[3]!,
      length: outWidth,
    });
    c.set(node.outputs[0]!, dx, NCHW);
    return;
  }
  // Indices of the maxima in the flattened input; gradients that meet add up.
  const [, indices] = c.emitMany("MaxPool", [x], 2, { kernel_shape: size, strides, pads });
  const total = n * channels * height * width;
  const count = sizeOf(yValue!.shape);
  const zeros = c.emit("Expand", [c.scalar(0, "float32"), c.int64([total])]);
  const flat = c.emit("Reshape", [indices!, c.int64([count])]);
  const updates = c.emit("Reshape", [dy, c.int64([count])]);
  const summed = c.emit("ScatterElements", [zeros, flat, updates], { axis: 0, reduction: "add" });
  c.set(node.outputs[0]!, c.emit("Reshape", [summed, c.int64([n, channels, height, width])]), NCHW);
});

kernel("AvgPoolGrad", (call) => {
  const dy = call.inputs["dy"]!;
  const input = call.inputs["input"]!;
  const info = poolInfo(input.shape, call.attrs);
  return call.tensor(
    call.record("AvgPoolGrad", [call.value(dy)], [{ shape: input.shape, dtype: "float32" }], geometry(info))[0]!,
  );
});
lowering("AvgPoolGrad", (c, node) => {
  const {
    strides,
    pads,
    kernel: size,
  } = node.attrs as unknown as { strides: number[]; pads: number[]; kernel: number[] };
  const [, height, width, channels] = node.outputs[0]!.shape as [number, number, number, number];
  const [, outHeight, outWidth] = node.inputs[0]!.shape as [number, number, number, number];
  // 1 / number of real pixels in each window
  const inverse = new Float32Array(outHeight * outWidth);
  const span = (o: number, s: number, p: number, k: number, limit: number) =>
    Math.min(o * s - p + k, limit) - Math.max(o * s - p, 0);
  for (let i = 0; i < outHeight; i++) {
    for (let j = 0; j < outWidth; j++) {
      const rows = span(i, strides[0]!, pads[0]!, size[0]!, height);
      const columns = span(j, strides[1]!, pads[1]!, size[1]!, width);
      inverse[i * outWidth + j] = 1 / Math.max(rows * columns, 1);
    }
  }
  const scaled = c.emit("Mul", [c.inPerm(node.inputs[0]!, NCHW), c.float(inverse, [1, 1, outHeight, outWidth])]);
  const ones = c.float(new Float32Array(channels * size[0]! * size[1]!).fill(1), [channels, 1, size[0]!, size[1]!]);
  const extra = [
    height - ((outHeight - 1) * strides[0]! - pads[0]! - pads[2]! + size[0]!),
    width - ((outWidth - 1) * strides[1]! - pads[1]! - pads[3]! + size[1]!),
  ];
  const attrs = { strides, pads, kernel_shape: size, group: channels, output_padding: extra };
  c.set(node.outputs[0]!, c.emit("ConvTranspose", [scaled, ones], attrs), NCHW);
});

/** (alignCorners, halfPixelCenters) -> ONNX, equal to tfjs for both directions of scaling. */
function resizeMode(attrs: Record<string, unknown>, nearest: boolean): { coordinates: string; rounding: string } {
  const align = Boolean(attrs["alignCorners"]);
  const half = Boolean(attrs["halfPixelCenters"]);
  const coordinates = align ? "align_corners" : half ? "half_pixel" : "asymmetric";
  return { coordinates, rounding: nearest && (align || half) ? "round_prefer_ceil" : "floor" };
}
for (const [name, mode] of [
  ["ResizeNearestNeighbor", "nearest"],
  ["ResizeBilinear", "linear"],
] as const) {
  kernel(name, (call) => {
    const x = call.inputs["images"]!;
    const [height, width] = call.attrs["size"] as [number, number];
    const { coordinates, rounding } = resizeMode(call.attrs, mode === "nearest");
    const shape = [x.shape[0]!, height, width, x.shape[3]!];
    return call.tensor(
      call.record(name, [call.value(x)], [{ shape, dtype: "float32" }], { coordinates, rounding })[0]!,
    );
  });
  lowering(name, (c, node) => {
    const [, height, width] = node.outputs[0]!.shape as [number, number, number, number];
    const [, inHeight, inWidth] = node.inputs[0]!.shape as [number, number, number, number];
    const x = c.inPerm(node.inputs[0]!, NCHW);
    const attrs = {
      mode,
      coordinate_transformation_mode: node.attrs["coordinates"] as string,
      nearest_mode: node.attrs["rounding"] as string,
    };
    const whole = height % inHeight === 0 && width % inWidth === 0;
    const { "0": n, "3": channels } = node.inputs[0]!.shape as unknown as Record<string, number>;
    const inputs = whole
      ? [x, "", c.float([1, 1, height / inHeight, width / inWidth])]
      : [x, "", "", c.int64([n!, channels!, height, width])];
    c.set(node.outputs[0]!, c.emit("Resize", inputs, attrs), NCHW);
  });
}

kernel("ResizeNearestNeighborGrad", (call) => {
  const images = call.inputs["images"]!;
  const dy = call.inputs["dy"]!;
  const [, height, width] = images.shape as [number, number, number, number];
  const [, outHeight, outWidth] = dy.shape as [number, number, number, number];
  const factor = [outHeight / height, outWidth / width];
  if (!factor.every(Number.isInteger) || call.attrs["alignCorners"]) {
    throw new RangeError(
      `Gradient of nearest resize is supported for whole factors without alignCorners, got ${images.shape} -> ${dy.shape}.`,
    );
  }
  return call.tensor(
    call.record("ResizeNearestNeighborGrad", [call.value(dy)], [{ shape: images.shape, dtype: "float32" }], {
      factor,
    })[0]!,
  );
});
// Sum over each block = average x block size (exact for powers of two).
lowering("ResizeNearestNeighborGrad", (c, node) => {
  const factor = node.attrs["factor"] as readonly number[];
  const mean = c.emit("AveragePool", [c.inPerm(node.inputs[0]!, NCHW)], { kernel_shape: factor, strides: factor });
  c.set(node.outputs[0]!, c.emit("Mul", [mean, c.scalar(factor[0]! * factor[1]!, "float32")]), NCHW);
});
