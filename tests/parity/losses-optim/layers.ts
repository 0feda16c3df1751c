import {
  BatchNorm2d,
  Conv2d,
  ConvTranspose2d,
  GroupNorm,
  gridSample,
  type InitContext,
  interpolate,
  LayerNorm,
  Linear,
  type Module,
  Parameter,
} from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { Check } from "../check.js";
import {
  type Attributes,
  compareClose,
  compareFunction,
  type FixtureCase,
  FORWARD,
  GRADIENT,
  gradientTolerance,
} from "./fixture-case.js";

type Layer = Module & { forward(x: tf.Tensor): tf.Tensor };

const init: InitContext = { seed: 0, path: "layer" };
const toNhwc = (x: tf.Tensor): tf.Tensor4D => tf.transpose(x, [0, 2, 3, 1]) as tf.Tensor4D;
const toNchw = (x: tf.Tensor): tf.Tensor => tf.transpose(x, [0, 3, 1, 2]);

const number = (attributes: Attributes, key: string, fallback: number): number =>
  typeof attributes[key] === "number" ? (attributes[key] as number) : fallback;
/** A number or a pair. */
const sizes = (attributes: Attributes, key: string, fallback: number) =>
  (attributes[key] ?? fallback) as number | [number, number];

/** Convolutions, norms, linear layers: a module whose weights the file brings; null for other names. */
function moduleOf({ name, attributes, shape, has }: FixtureCase): { layer: Layer; isMap: boolean } | null {
  if (!has("param.weight")) return null;
  const [rows = 0, columns = 0] = shape("param.weight");
  const groups = number(attributes, "groups", 1);
  const bias = has("param.bias");
  if (name.startsWith("conv")) {
    const common = {
      kernelSize: sizes(attributes, "kernel", 1),
      stride: sizes(attributes, "stride", 1),
      padding: sizes(attributes, "padding", 0),
      groups,
      bias,
      init,
    };
    const layer = name.startsWith("convT")
      ? new ConvTranspose2d({
          ...common,
          inChannels: rows,
          outChannels: columns * groups,
          outputPadding: sizes(attributes, "output_padding", 0),
        } as ConstructorParameters<typeof ConvTranspose2d>[0])
      : new Conv2d({
          ...common,
          inChannels: columns * groups,
          outChannels: rows,
          dilation: number(attributes, "dilation", 1),
        });
    return { layer: layer as unknown as Layer, isMap: true };
  }
  if (name.startsWith("linear")) {
    return {
      layer: new Linear({ inFeatures: columns, outFeatures: rows, bias, init }) as unknown as Layer,
      isMap: false,
    };
  }
  const eps = number(attributes, "eps", 1e-5);
  if (name.startsWith("group_norm")) {
    return { layer: new GroupNorm({ groups, features: rows, eps }) as unknown as Layer, isMap: true };
  }
  if (name.startsWith("layer_norm")) {
    return { layer: new LayerNorm({ features: rows, eps }) as unknown as Layer, isMap: false };
  }
  return null;
}

function compareModule(check: Check, fixture: FixtureCase, { layer, isMap }: { layer: Layer; isMap: boolean }): void {
  const parameters: [string, Parameter][] = [];
  for (const [key, leaf] of layer.namedLeaves()) {
    if (!(leaf instanceof Parameter) || !fixture.has(`param.${key}`)) continue;
    leaf.assign(fixture.data(`param.${key}`));
    parameters.push([key, leaf]);
  }
  const forward = (x: tf.Tensor) => (isMap ? toNchw(layer.forward(toNhwc(x))) : layer.forward(x));
  compareFunction({ check, fixture, group: "layers", forward: ({ x }) => forward(x!) });
  tf.tidy(() => {
    const { grads } = tf.variableGrads(
      () => tf.sum(tf.mul(forward(fixture.tensor("in.x")), fixture.tensor("grad_out"))).asScalar(),
      parameters.map(([, { variable }]) => variable),
    );
    for (const [key, { variable }] of parameters) {
      const name = `grad.param.${key}`;
      const expected = fixture.data(name);
      const tolerance = gradientTolerance(fixture, `param.${key}`);
      compareClose(check, `layers/${fixture.name}/${name}`, grads[variable.name]!.dataSync(), expected, tolerance);
    }
  });
}

/** PyTorch's average counts the zeros of the padding, tfjs's does not: pad first. */
function averagePool(x: tf.Tensor, kernel: number, stride: number, padding: number): tf.Tensor {
  const edges: [number, number] = [padding, padding];
  const padded = tf.pad(toNhwc(x), [[0, 0], edges, edges, [0, 0]]) as tf.Tensor4D;
  return toNchw(tf.avgPool(padded, kernel, stride, "valid"));
}

const hardswish = (x: tf.Tensor) => tf.div(tf.mul(x, tf.clipByValue(tf.add(x, 3), 0, 6)), 6);

function geluTanh(x: tf.Tensor): tf.Tensor {
  const inner = tf.mul(tf.add(x, tf.mul(tf.pow(x, 3), 0.044715)), Math.sqrt(2 / Math.PI));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
}

/** `true` lets attend: 0, otherwise as good as minus infinity. */
const maskBias = (mask: tf.Tensor) => tf.mul(tf.sub(1, tf.cast(mask, "float32")), -1e30);

type Forward = (inputs: Readonly<Record<string, tf.Tensor>>, fixture: FixtureCase) => tf.Tensor;

const resized =
  (mode: "nearest" | "bilinear" | "bicubic", alignCorners = false): Forward =>
  ({ x }, fixture) => {
    const [, , height, width] = fixture.shape("out.0") as [number, number, number, number];
    return toNchw(interpolate(toNhwc(x!), { size: [height, width], mode, alignCorners }));
  };

/** Functions without weights by name, longest prefix first. */
const FUNCTIONS: readonly [prefix: string, forward: Forward][] = [
  [
    "maxpool",
    ({ x }, { attributes }) => {
      const [kernel, stride, padding] = ["kernel", "stride", "padding"].map((key) => number(attributes, key, 0));
      return toNchw(tf.maxPool(toNhwc(x!), kernel!, stride!, padding!, "floor"));
    },
  ],
  [
    "avgpool",
    ({ x }, { attributes }) =>
      averagePool(
        x!,
        number(attributes, "kernel", 1),
        number(attributes, "stride", 1),
        number(attributes, "padding", 0),
      ),
  ],
  ["upsample_nearest", resized("nearest")],
  ["resize_nearest", resized("nearest")],
  ["resize_bilinear_corners", resized("bilinear", true)],
  ["resize_bilinear", resized("bilinear")],
  ["resize_bicubic", resized("bicubic")],
  [
    "grid_sample",
    ({ x, grid }, { attributes }) =>
      toNchw(gridSample(toNhwc(x!), grid as tf.Tensor4D, { alignCorners: attributes["align_corners"] === true })),
  ],
  ["silu", ({ x }) => ops.silu(x!)],
  ["relu", ({ x }) => tf.relu(x!)],
  ["gelu_erf", ({ x }) => ops.gelu(x!)],
  ["gelu_tanh", ({ x }) => geluTanh(x!)],
  ["sigmoid", ({ x }) => tf.sigmoid(x!)],
  ["softplus", ({ x }) => tf.softplus(x!)],
  ["hardswish", ({ x }) => hardswish(x!)],
  ["leaky_relu", ({ x }, { name }) => tf.leakyRelu(x!, Number(/leaky_relu_([\d.]+)/.exec(name)?.[1] ?? 0.01))],
  ["softmax", ({ x }) => tf.softmax(x!)],
  ["log_softmax", ({ x }) => tf.logSoftmax(x!)],
  [
    "attention",
    ({ q, k, v, mask }) => ops.attention({ query: q!, key: k!, value: v!, ...(mask ? { bias: maskBias(mask) } : {}) }),
  ],
];

/** Sampling points are computed in float32 there, in float64 here. */
const RESIZE = { atol: 5e-6, rtol: 1e-5 };

function compareBatchNorm(check: Check, fixture: FixtureCase): void {
  const { attributes, data, tensor } = fixture;
  const [eps, momentum] = [number(attributes, "eps", 1e-5), number(attributes, "momentum", 0.1)];
  const norm = new BatchNorm2d({ features: data("param.weight").length, eps, momentum });
  norm.weight.assign(data("param.weight"));
  norm.bias.assign(data("param.bias"));
  const forward = (x: tf.Tensor) => toNchw(norm.forward(toNhwc(x)));
  const close = (key: string, actual: ArrayLike<number>, tolerance = FORWARD) =>
    compareClose(check, `layers/batch_norm/${key}`, actual, data(key), tolerance);
  const passes = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => `train${i}`).filter((pass) => fixture.has(`${pass}.in`));
  for (const pass of [...passes, "eval"]) {
    norm.train(pass !== "eval");
    tf.tidy(() => {
      const x = tensor(`${pass}.in`);
      let y: tf.Tensor | undefined;
      // One forward pass only: each one moves the running statistics.
      const { grads } = tf.variableGrads(() => {
        y = tf.keep(forward(x));
        return tf.sum(tf.mul(y, tensor(`${pass}.grad_out`))).asScalar();
      }, [norm.weight.variable, norm.bias.variable]);
      close(`${pass}.out`, y!.dataSync());
      y!.dispose();
      close(`${pass}.grad_weight`, grads[norm.weight.variable.name]!.dataSync(), GRADIENT);
      close(`${pass}.grad_bias`, grads[norm.bias.variable.name]!.dataSync(), GRADIENT);
      if (pass === "eval") return;
      close(`${pass}.running_mean`, norm.running_mean.data());
      close(`${pass}.running_var`, norm.running_var.data());
    });
  }
  check.ok(
    "layers/batch_norm/num_batches_tracked",
    norm.num_batches_tracked.value === Number(tensor("num_batches_tracked").dataSync()[0]),
  );
  for (const pass of [...passes, "eval"]) {
    // In training mode the gradient does not depend on the running statistics; evaluation needs those of the last pass.
    norm.running_mean.assign(data(`${passes.at(-1)}.running_mean`));
    norm.running_var.assign(data(`${passes.at(-1)}.running_var`));
    norm.train(pass !== "eval");
    tf.tidy(() => {
      const gradient = tf.grad(forward)(tensor(`${pass}.in`), tensor(`${pass}.grad_out`));
      close(`${pass}.grad_in`, gradient.dataSync(), GRADIENT);
    });
  }
  compareFolding(check, fixture, eps);
  norm.dispose();
}

/** A convolution and its normalisation as one convolution: w g / sqrt(v + eps), beta - m g / sqrt(v + eps). */
function compareFolding(check: Check, { data, shape, tensor, has }: FixtureCase, eps: number): void {
  if (!has("fuse.weight")) return;
  const [out, inChannels, kernel] = shape("fuse.conv.weight") as [number, number, number];
  const options = { inChannels, outChannels: out, kernelSize: kernel, padding: (kernel - 1) / 2, bias: false, init };
  const conv = new Conv2d(options);
  const norm = new BatchNorm2d({ features: out, eps });
  conv.weight.assign(data("fuse.conv.weight"));
  norm.weight.assign(data("fuse.bn.weight"));
  norm.bias.assign(data("fuse.bn.bias"));
  norm.running_mean.assign(data("fuse.bn.running_mean"));
  norm.running_var.assign(data("fuse.bn.running_var"));
  norm.train(false);
  tf.tidy(() => {
    const x = toNhwc(tensor("fuse.in"));
    compareClose(
      check,
      "layers/batch_norm/fuse.out",
      toNchw(norm.forward(conv.forward(x))).dataSync(),
      data("fuse.out"),
      {
        atol: 1e-5,
        rtol: 1e-5,
      },
    );
    const fused = new Conv2d({ ...options, bias: true });
    fused.weight.assign(data("fuse.weight"));
    fused.bias!.assign(data("fuse.bias"));
    compareClose(check, "layers/batch_norm/fused", toNchw(fused.forward(x)).dataSync(), data("fuse.out"), {
      atol: 1e-5,
      rtol: 1e-5,
    });
    fused.dispose();
  });
  conv.dispose();
  norm.dispose();
}

/** Compares one file of `layers/`. */
export function compareLayer(check: Check, fixture: FixtureCase): void {
  const { name } = fixture;
  if (name.startsWith("batch_norm")) {
    compareBatchNorm(check, fixture);
    return;
  }
  if (name.includes("antialias")) {
    check.skip(`layers/${name}`, "no network resizes maps with antialiasing; pictures do, see group image-processors");
    return;
  }
  const module = moduleOf(fixture);
  if (module) {
    compareModule(check, fixture, module);
    module.layer.dispose();
    return;
  }
  const found = FUNCTIONS.find(([prefix]) => name.startsWith(prefix));
  if (!found) {
    check.skip(`layers/${name}`, "unknown layer");
    return;
  }
  const tolerance = name.includes("resize") || name.includes("upsample") ? RESIZE : FORWARD;
  compareFunction({ check, fixture, group: "layers", forward: (inputs) => found[1](inputs, fixture), tolerance });
}
