import * as tf from "@tensorflow/tfjs";
import { NCHW } from "../lower/context.js";
import { contribOperators } from "../providers.js";
import { convert } from "./convert.js";
import { kernel, lowering } from "./define.js";

interface Lrn {
  readonly depthRadius: number;
  readonly bias: number;
  readonly alpha: number;
  readonly beta: number;
}

const lrn = (attrs: Record<string, unknown>): Record<keyof Lrn, number> => {
  const { depthRadius, bias, alpha, beta } = attrs as unknown as Lrn;
  return { depthRadius, bias, alpha, beta };
};

// y = x (bias + alpha sum over 2 r + 1 channels of x^2)^-beta; ONNX divides alpha by the number of channels.
kernel("LRN", (call) => {
  const x = call.inputs["x"]!;
  return call.tensor(call.record("LRN", [call.value(x)], [{ shape: x.shape, dtype: x.dtype }], lrn(call.attrs))[0]!);
});
lowering("LRN", (c, node) => {
  const input = node.inputs[0]!;
  const { depthRadius, bias, alpha, beta } = node.attrs as unknown as Lrn;
  const size = 2 * depthRadius + 1;
  const attrs = { size, alpha: { float: alpha * size }, beta: { float: beta }, bias: { float: bias } };
  const y = c.emit("LRN", [convert(c, c.inPerm(input, NCHW), input.dtype, "float32")], attrs);
  c.set(node.outputs[0]!, convert(c, y, "float32", input.dtype), NCHW);
});

kernel(
  "LRNGrad",
  (call) => {
    const { x, y, dy } = call.inputs as Record<string, tf.TensorInfo>;
    const values = [x!, y!, dy!].map((t) => call.value(t));
    return call.tensor(call.record("LRNGrad", values, [{ shape: dy!.shape, dtype: "float32" }], lrn(call.attrs))[0]!);
  },
  { status: "composed" },
);
// With n = bias + alpha S(x^2), S the sum over neighbouring channels: dx = dy n^-beta - 2 alpha beta x S(dy y / n)
lowering("LRNGrad", (c, node) => {
  const [x, y, dy] = node.inputs.map((v) => c.plain(v)) as [string, string, string];
  const { depthRadius, bias, alpha, beta } = node.attrs as unknown as Lrn;
  const channels = node.outputs[0]!.shape[3]!;
  const band = new Float32Array(channels * channels);
  for (let i = 0; i < channels; i++)
    for (let j = 0; j < channels; j++) if (Math.abs(i - j) <= depthRadius) band[i * channels + j] = 1;
  const neighbours = c.float(band, [channels, channels]);
  const k = (value: number) => c.scalar(value, "float32");
  const mul = (a: string, b: string) => c.emit("Mul", [a, b]);
  const norm = c.emit("Add", [mul(c.emit("MatMul", [mul(x, x), neighbours]), k(alpha)), k(bias)]);
  const direct = mul(dy, c.emit("Pow", [norm, k(-beta)]));
  const around = c.emit("MatMul", [c.emit("Div", [mul(dy, y), norm]), neighbours]);
  c.set(node.outputs[0]!, c.emit("Sub", [direct, mul(mul(x, around), k(2 * alpha * beta))]));
});

kernel(
  "Dilation2D",
  (call) => {
    const [x, filter] = [call.inputs["x"]!, call.inputs["filter"]!];
    const { strides, pad, dilations } = call.attrs as { strides: number; pad: "same"; dilations: number };
    const info = tf.backend_util.computeDilation2DInfo(
      x.shape as [number, number, number, number],
      filter.shape as [number, number, number],
      strides,
      pad,
      "NHWC",
      dilations,
    );
    const attrs = {
      strides: [info.strideHeight, info.strideWidth],
      dilations: [info.dilationHeight, info.dilationWidth],
      before: [info.padInfo.top, info.padInfo.left],
    };
    const values = [call.value(x), call.value(filter)];
    return call.tensor(call.record("Dilation2D", values, [{ shape: info.outShape, dtype: x.dtype }], attrs)[0]!);
  },
  { status: "composed" },
);
/** What tfjs starts the maximum from. */
const NOTHING = Number.MIN_SAFE_INTEGER;
// Grey dilation: maximum over the taps of (shifted, padded x) + filter tap
lowering("Dilation2D", (c, node) => {
  const [xValue, filterValue] = node.inputs;
  const output = node.outputs[0]!;
  const { strides, dilations, before } = node.attrs as Record<string, number[]>;
  const [, height, width] = xValue!.shape as [number, number, number, number];
  const [kh, kw, channels] = filterValue!.shape as [number, number, number];
  const [, outHeight, outWidth] = output.shape as [number, number, number, number];
  const span = [0, 1].map((i) => ([outHeight, outWidth][i]! - 1) * strides![i]! + 1);
  const after = [0, 1].map((i) =>
    Math.max(0, span[i]! + ([kh, kw][i]! - 1) * dilations![i]! - [height, width][i]! - before![i]!),
  );
  const x = convert(c, c.plain(xValue!), xValue!.dtype, "float32");
  const filter = convert(c, c.plain(filterValue!), filterValue!.dtype, "float32");
  const pads = c.int64([0, before![0]!, before![1]!, 0, 0, after[0]!, after[1]!, 0]);
  const padded = c.emit("Pad", [x, pads, c.float([NOTHING], [])], { mode: "constant" });
  const taps: string[] = [];
  for (let i = 0; i < kh; i++) {
    for (let j = 0; j < kw; j++) {
      const start = [i * dilations![0]!, j * dilations![1]!];
      const end = start.map((s, axis) => s + span[axis]!);
      const view = c.emit("Slice", [padded, c.int64(start), c.int64(end), c.int64([1, 2]), c.int64(strides!)]);
      const tap = c.emit("Slice", [filter, c.int64([i, j]), c.int64([i + 1, j + 1]), c.int64([0, 1])]);
      taps.push(c.emit("Add", [view, c.emit("Reshape", [tap, c.int64([channels])])]));
    }
  }
  const y = taps.length === 1 ? taps[0]! : c.emit("Max", taps);
  c.set(output, convert(c, y, "float32", output.dtype));
});

kernel("CropAndResize", (call) => {
  const { image, boxes, boxInd } = call.inputs as Record<string, tf.TensorInfo>;
  const { cropSize, method, extrapolationValue } = call.attrs as {
    cropSize: [number, number];
    method: string;
    extrapolationValue: number;
  };
  const shape = [boxes!.shape[0]!, ...cropSize, image!.shape[3]!];
  const index = call.value(boxInd!);
  // The operator is a contrib one, bilinear, and checks no image index; tfjs leaves out what belongs to no image.
  const known = index.host?.every((i) => i >= 0 && i < image!.shape[0]!) ?? false;
  if (method !== "bilinear" || !known || !contribOperators().has("CropAndResize") || call.backend.tracing) {
    return call.onCpu();
  }
  const inputs = [call.value(image!), call.value(boxes!), index];
  const outputs = [{ shape, dtype: "float32" as const }];
  return call.tensor(call.record("CropAndResize", inputs, outputs, { extrapolationValue })[0]!);
});
lowering("CropAndResize", (c, node) => {
  const [image, boxes, index] = node.inputs;
  const [, height, width] = node.outputs[0]!.shape as [number, number, number, number];
  const inputs = [
    convert(c, c.inPerm(image!, NCHW), image!.dtype, "float32"),
    convert(c, c.plain(boxes!), boxes!.dtype, "float32"),
    convert(c, c.plain(index!), index!.dtype, "int32"),
    c.int32([height, width]),
  ];
  const attrs = { mode: "bilinear", extrapolation_value: { float: node.attrs["extrapolationValue"] as number } };
  c.set(node.outputs[0]!, c.emit("CropAndResize", inputs, attrs, "com.microsoft"), NCHW);
});
