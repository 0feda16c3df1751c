import type { LowerContext } from "../lower/context.js";
import { NCHW } from "../lower/context.js";
import { convert } from "./convert.js";
import { kernel, lowering, sizeOf } from "./define.js";
import { NCDHW, type PoolWindow, poolWindow, realElements, windowFits } from "./pool-window.js";

const layoutOf = (rank: number) => (rank === 5 ? NCDHW : NCHW);

/** tfjs answers a window of one pixel that keeps the shape with the input, whatever stride and padding. */
const isIdentity = (from: readonly number[], to: readonly number[], { kernel: size }: PoolWindow) =>
  from.length === 4 && size.every((k) => k === 1) && from.every((d, i) => d === to[i]);

/** Names of the two- and three-dimensional form of a pooling kernel. */
const forms = (name: string, suffix = "") => [`${name}${suffix}`, `${name}3D${suffix}`];

const planesOf = (shape: readonly number[]) => [shape[0]!, shape[shape.length - 1]!];

const LOWEST = -3.4028234663852886e38;

/**
 * The input [N, C, ...] of a pooling without operator padding: padded by `value`. Padded as [N C, ...], for ONNX Runtime merges a Pad
 * right before a pooling into it again, wrongly where a window has padding only.
 */
function padded(
  c: LowerContext,
  x: string,
  { pads, input }: PoolWindow,
  value: number,
  planes: readonly number[],
): string {
  const half = input.length;
  const flat = c.emit("Reshape", [x, c.int64([sizeOf(planes), ...input])]);
  const all = c.int64([0, ...pads.slice(0, half), 0, ...pads.slice(half)]);
  const wide = c.emit("Pad", [flat, all, c.float([value], [])], { mode: "constant" });
  return c.emit("Reshape", [wide, c.int64([...planes, ...input.map((d, i) => d + pads[i]! + pads[half + i]!)])]);
}

/** Number of real elements under every window, as a base-layout map [1, 1, ...out]. */
const countMap = (window: PoolWindow, map: (count: number) => number) => ({
  data: Float32Array.from(realElements(window), map),
  dims: [1, 1, ...window.out],
});

/** Records the geometry of a pool. */
function poolKernel(name: string): void {
  kernel(name, (call) => {
    const x = call.inputs["x"]!;
    const { shape, window } = poolWindow(x.shape, call.attrs);
    if (isIdentity(x.shape, shape, window)) return call.view(x, shape);
    return call.tensor(call.record(name, [call.value(x)], [{ shape, dtype: x.dtype }], { ...window })[0]!);
  });
}

// The lowering emits it: the operator pads less than a window; more is padded before it.
for (const name of forms("MaxPool")) {
  poolKernel(name);
  lowering(name, (c, node) => {
    const [input, output] = [node.inputs[0]!, node.outputs[0]!];
    const window = node.attrs as unknown as PoolWindow;
    const layout = layoutOf(input.shape.length);
    const x = convert(c, c.inPerm(input, layout), input.dtype, "float32");
    const attrs = { strides: window.strides, kernel_shape: window.kernel };
    let y: string;
    if (windowFits(window)) y = c.emit("MaxPool", [x], { ...attrs, pads: window.pads });
    else {
      const pooled = c.emit("MaxPool", [padded(c, x, window, Number.NEGATIVE_INFINITY, planesOf(input.shape))], attrs);
      // A window of padding only: the operator starts from the lowest float.
      const nothing = c.emit("LessOrEqual", [pooled, c.float([LOWEST], [])]);
      y = c.emit("Where", [nothing, c.float([Number.NEGATIVE_INFINITY], []), pooled]);
    }
    c.set(output, convert(c, y, "float32", output.dtype), layout);
  });
}
for (const name of forms("AvgPool")) {
  poolKernel(name);
  // Padding does not count.
  lowering(name, (c, node) => {
    const [input, output] = [node.inputs[0]!, node.outputs[0]!];
    const window = node.attrs as unknown as PoolWindow;
    const layout = layoutOf(input.shape.length);
    const x = convert(c, c.inPerm(input, layout), input.dtype, "float32");
    const attrs = { strides: window.strides, kernel_shape: window.kernel };
    let y: string;
    if (windowFits(window)) y = c.emit("AveragePool", [x], { ...attrs, pads: window.pads });
    else {
      const whole = c.emit("AveragePool", [padded(c, x, window, 0, planesOf(input.shape))], attrs);
      // A window of padding only: NaN in two dimensions and 0 in three, as tfjs.
      const least = input.shape.length === 5 ? 1 : 0;
      const { data, dims } = countMap(window, (count) => sizeOf(window.kernel) / Math.max(count, least));
      y = c.emit("Mul", [whole, c.float(data, dims)]);
    }
    c.set(output, convert(c, y, "float32", output.dtype), layout);
  });
}

kernel(
  "MaxPoolWithArgmax",
  (call) => {
    const x = call.inputs["x"]!;
    const { shape, window } = poolWindow(x.shape, call.attrs);
    if (!windowFits(window)) return call.onCpu();
    const outputs = [
      { shape, dtype: x.dtype },
      { shape, dtype: "int32" as const },
    ];
    const attrs = { ...window, batch: Boolean(call.attrs["includeBatchInIndex"]) };
    return call.record("MaxPoolWithArgmax", [call.value(x)], outputs, attrs).map((v) => call.tensor(v));
  },
  { status: "composed" },
);
// ONNX: index ((n C + c) H + h) W + w; tfjs: (h W + w) C + c, plus n H W C if the batch counts.
lowering("MaxPoolWithArgmax", (c, node) => {
  const input = node.inputs[0]!;
  const window = node.attrs as unknown as PoolWindow & { batch: boolean };
  const [n, height, width, channels] = input.shape as [number, number, number, number];
  // tfjs passes over NaN; the operator would answer with its place.
  const given = convert(c, c.inPerm(input, NCHW), input.dtype, "float32");
  const x = c.emit("Where", [c.emit("IsNaN", [given]), c.float([Number.NEGATIVE_INFINITY], []), given]);
  const attrs = { strides: window.strides, kernel_shape: window.kernel, pads: window.pads };
  const [values, indices] = c.emitMany("MaxPool", [x], 2, attrs);
  const area = height * width;
  const planes = Array.from({ length: n * channels }, (_, i) => ({
    batch: Math.floor(i / channels),
    channel: i % channels,
  }));
  const start = c.int32(
    planes.map((_, i) => i * area),
    [n, channels, 1, 1],
  );
  const offset = c.int32(
    planes.map(({ batch, channel }) => channel + (window.batch ? batch * area * channels : 0)),
    [n, channels, 1, 1],
  );
  const pixel = c.emit("Sub", [c.emit("Cast", [indices!], { to: 6 }), start]);
  const index = c.emit("Add", [c.emit("Mul", [pixel, c.int32([channels], [])]), offset]);
  c.set(node.outputs[0]!, convert(c, values!, "float32", input.dtype), NCHW);
  c.set(node.outputs[1]!, index, NCHW);
});

for (const name of forms("MaxPool", "Grad")) {
  kernel(
    name,
    (call) => {
      const [dy, input] = [call.inputs["dy"]!, call.inputs["input"]!];
      const { shape, window } = poolWindow(input.shape, call.attrs);
      if (!windowFits(window)) return call.onCpu();
      // The pooled values are needed by the stride-1 form only; the gradient of MaxPool3D does not always pass them.
      const output = call.inputs["output"];
      const pooled = output
        ? call.value(output)
        : call.record(
            shape.length === 5 ? "MaxPool3D" : "MaxPool",
            [call.value(input)],
            [{ shape, dtype: "float32" }],
            {
              ...window,
            },
          )[0]!;
      const values = [call.value(dy), call.value(input), pooled];
      return call.tensor(call.record(name, values, [{ shape: input.shape, dtype: "float32" }], { ...window })[0]!);
    },
    { status: "composed" },
  );
}

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

/** Indices of the maxima in the flattened input; gradients that meet add up. */
function scatterByIndex(
  c: LowerContext,
  x: string,
  dy: string,
  shape: readonly number[],
  outShape: readonly number[],
  { strides, pads, kernel: size }: PoolWindow,
): string {
  const [, indices] = c.emitMany("MaxPool", [x], 2, { kernel_shape: size, strides, pads });
  const count = sizeOf(outShape);
  const zeros = c.emit("Expand", [c.scalar(0, "float32"), c.int64([sizeOf(shape)])]);
  const flat = c.emit("Reshape", [indices!, c.int64([count])]);
  const updates = c.emit("Reshape", [dy, c.int64([count])]);
  const summed = c.emit("ScatterElements", [zeros, flat, updates], { axis: 0, reduction: "add" });
  return c.emit("Reshape", [summed, c.int64([shape[0]!, shape[shape.length - 1]!, ...shape.slice(1, -1)])]);
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
  c.set(node.outputs[0]!, scatterByIndex(c, x, dy, xValue!.shape, yValue!.shape, node.attrs as never), NCHW);
});
lowering("MaxPool3DGrad", (c, node) => {
  const [dy, x, y] = node.inputs;
  const dx = scatterByIndex(c, c.inPerm(x!, NCDHW), c.inPerm(dy!, NCDHW), x!.shape, y!.shape, node.attrs as never);
  c.set(node.outputs[0]!, dx, NCDHW);
});

for (const name of forms("AvgPool", "Grad")) {
  kernel(
    name,
    (call) => {
      const [dy, input] = [call.inputs["dy"]!, call.inputs["input"]!];
      const { window } = poolWindow(input.shape, call.attrs);
      return call.tensor(
        call.record(name, [call.value(dy)], [{ shape: input.shape, dtype: "float32" }], { ...window })[0]!,
      );
    },
    { status: "composed" },
  );
  // Every window hands dy / (its real elements) to each of them: a transposed convolution with ones.
  lowering(name, (c, node) => {
    const [dy, dx] = [node.inputs[0]!, node.outputs[0]!];
    const window = node.attrs as unknown as PoolWindow;
    const { strides, pads, kernel: size } = window;
    const layout = layoutOf(dx.shape.length);
    const channels = dx.shape[dx.shape.length - 1]!;
    const { data, dims } = countMap(window, (count) => 1 / Math.max(count, 1));
    const scaled = c.emit("Mul", [c.inPerm(dy, layout), c.float(data, dims)]);
    const ones = c.float(new Float32Array(channels * sizeOf(size)).fill(1), [channels, 1, ...size]);
    const half = pads.length / 2;
    const full = window.out.map((o, i) => (o - 1) * strides[i]! + size[i]!);
    // What the windows do not reach has gradient 0; the window's padding is cut off.
    const spread = c.emit("ConvTranspose", [scaled, ones], { strides, kernel_shape: size, group: channels });
    const crop = full.map((f, i) => window.input[i]! + pads[i]! - f);
    const cut = [0, 0, ...pads.slice(0, half).map((p) => -p), 0, 0, ...crop];
    const y = cut.every((p) => p === 0) ? spread : c.emit("Pad", [spread, c.int64(cut)], { mode: "constant" });
    c.set(dx, y, layout);
  });
}
