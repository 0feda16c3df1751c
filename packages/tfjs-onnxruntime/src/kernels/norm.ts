import { NCHW } from "../lower/context.js";
import { kernel, lowering, sizeOf } from "./define.js";

kernel("FusedBatchNorm", (call) => {
  const x = call.inputs["x"]!;
  const { mean, variance } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
  const channels = mean!.shape[0]!;
  const scale = call.inputs["scale"];
  const offset = call.inputs["offset"];
  const spread = (value: number) =>
    call.record("Fill", [call.scalar(value)], [{ shape: [channels], dtype: "float32" }])[0]!;
  const values = [
    call.value(x),
    scale ? call.value(scale) : spread(1),
    offset ? call.value(offset) : spread(0),
    call.value(mean!),
    call.value(variance!),
  ];
  const epsilon = (call.attrs["varianceEpsilon"] as number | undefined) ?? 0.001;
  const op = x.shape.length === 4 && mean!.shape.length === 1 ? "FusedBatchNorm" : "BatchNormGeneral";
  return call.tensor(call.record(op, values, [{ shape: x.shape, dtype: "float32" }], { epsilon })[0]!);
});
lowering("FusedBatchNorm", (c, node) => {
  const rest = node.inputs.slice(1).map((v) => c.plain(v));
  const attrs = { epsilon: { float: node.attrs["epsilon"] as number } };
  c.set(node.outputs[0]!, c.emit("BatchNormalization", [c.inPerm(node.inputs[0]!, NCHW), ...rest], attrs), NCHW);
});
lowering("BatchNormGeneral", (c, node) => {
  const [x, scale, offset, mean, variance] = c.align(node.inputs, node.outputs[0]!.shape).names;
  const { perm } = c.align(node.inputs, node.outputs[0]!.shape);
  const deviation = c.emit("Sqrt", [c.emit("Add", [variance!, c.scalar(node.attrs["epsilon"] as number, "float32")])]);
  const unit = c.emit("Div", [c.emit("Sub", [x!, mean!]), deviation]);
  c.set(node.outputs[0]!, c.emit("Add", [c.emit("Mul", [unit, scale!]), offset!]), perm);
});

/** Batch normalisation with batch statistics over all axes but the last; x is [N, H, W, C]. Outputs y, mean, variance. */
kernel(
  "SegBatchNormTrain",
  (call) => {
    const { x, scale, offset } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
    const channels = x!.shape[3]!;
    const statistics = { shape: [channels], dtype: "float32" as const };
    const outputs = call.record(
      "SegBatchNormTrain",
      [call.value(x!), call.value(scale!), call.value(offset!)],
      [{ shape: x!.shape, dtype: "float32" }, statistics, statistics],
      { epsilon: call.attrs["eps"] as number },
    );
    return outputs.map((v) => call.tensor(v));
  },
  { status: "composed" },
);
lowering("SegBatchNormTrain", (c, node) => {
  // The runtime aliases outputs 1 and 2 to inputs 3 and 4 and writes over them, initializers included: shared ones would mix up
  // layers, private ones would keep a NaN for ever. So they are computed per layer and run; with momentum 0 any finite value
  // does, and a factor of its own keeps common-subexpression elimination from merging those of two layers.
  const running = [c.plain(node.inputs[1]!), c.plain(node.inputs[2]!)].map((v) =>
    c.emit("Mul", [v, c.scalar(c.nodes.length + 1, "float32")]),
  );
  // With momentum 0 the "running" outputs are exactly the batch mean and the population variance.
  const [y, mean, variance] = c.emitMany(
    "BatchNormalization",
    [c.inPerm(node.inputs[0]!, NCHW), c.plain(node.inputs[1]!), c.plain(node.inputs[2]!), ...running],
    3,
    { epsilon: { float: node.attrs["epsilon"] as number }, momentum: { float: 0 }, training_mode: 1 },
  );
  c.set(node.outputs[0]!, y!, NCHW);
  c.set(node.outputs[1]!, mean!);
  c.set(node.outputs[2]!, variance!);
});

/** Inputs dy, x, scale, mean, variance; outputs dx, dscale, doffset. */
kernel(
  "SegBatchNormTrainGrad",
  (call) => {
    const { dy, x, scale, mean, variance } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
    const vector = { shape: scale!.shape, dtype: "float32" as const };
    const outputs = call.record(
      "SegBatchNormTrainGrad",
      [dy!, x!, scale!, mean!, variance!].map((t) => call.value(t)),
      [{ shape: x!.shape, dtype: "float32" }, vector, vector],
      { epsilon: call.attrs["eps"] as number },
    );
    return outputs.map((v) => call.tensor(v));
  },
  { status: "composed" },
);
// With m = N H W, r = 1/sqrt(var + eps), xhat = (x - mean) r:
//   doffset = sum dy, dscale = sum dy xhat = r (sum dy x - mean sum dy), dx = scale r (dy - doffset/m - xhat dscale/m)
// The last two terms are a normalisation of x with other parameters: one pass. The factor scale r stays open, see setScaled.
lowering("SegBatchNormTrainGrad", (c, node) => {
  const [dyValue, xValue, scaleValue, meanValue, varianceValue] = node.inputs;
  const shape = xValue!.shape;
  const count = sizeOf(shape) / shape[3]!;
  const dy = c.inPerm(dyValue!, NCHW);
  const x = c.inPerm(xValue!, NCHW);
  const mean = c.plain(meanValue!);
  const variance = c.plain(varianceValue!);
  const epsilon = node.attrs["epsilon"] as number;
  const r = c.emit("Reciprocal", [c.emit("Sqrt", [c.emit("Add", [variance, c.scalar(epsilon, "float32")])])]);
  const axes = c.int64([0, 2, 3]);
  const sumDy = c.emit("ReduceSum", [dy, axes], { keepdims: 0 });
  const sumDyX = c.emit("ReduceSum", [c.emit("Mul", [dy, x]), axes], { keepdims: 0 });
  const dScale = c.emit("Mul", [r, c.emit("Sub", [sumDyX, c.emit("Mul", [mean, sumDy])])]);
  const perPixel = c.scalar(-1 / count, "float32");
  const slope = c.emit("Mul", [dScale, perPixel]);
  const offset = c.emit("Mul", [sumDy, perPixel]);
  const correction = c.emit("BatchNormalization", [x, slope, offset, mean, variance], { epsilon: { float: epsilon } });
  c.setScaled(node.outputs[0]!, c.emit("Add", [dy, correction]), c.emit("Mul", [c.plain(scaleValue!), r]));
  c.set(node.outputs[1]!, dScale);
  c.set(node.outputs[2]!, sumDy);
});

/** Layer normalisation over the last axis. Outputs y, mean and inverse deviation [..., 1]. */
kernel("SegLayerNorm", (call) => {
  const { x, scale, offset } = call.inputs as Record<string, NonNullable<(typeof call.inputs)[string]>>;
  const statistics = { shape: [...x!.shape.slice(0, -1), 1], dtype: "float32" as const };
  const outputs = call.record(
    "SegLayerNorm",
    [call.value(x!), call.value(scale!), call.value(offset!)],
    [{ shape: x!.shape, dtype: "float32" }, statistics, statistics],
    { epsilon: call.attrs["eps"] as number },
  );
  return outputs.map((v) => call.tensor(v));
});
lowering("SegLayerNorm", (c, node) => {
  const inputs = node.inputs.map((v) => c.plain(v));
  const attrs = { axis: -1, epsilon: { float: node.attrs["epsilon"] as number } };
  const [y, mean, inverse] = c.emitMany("LayerNormalization", inputs, 3, attrs);
  c.set(node.outputs[0]!, y!);
  c.set(node.outputs[1]!, mean!);
  c.set(node.outputs[2]!, inverse!);
});
