import { CounterRandom } from "@seg/augment";
import { type Attribute, DataType, type Model, type Node, type Tensor } from "@seg/onnx";

/** Size of the reference graph that tests build without any engine: the layer table of YOLOv8(-seg), random weights. */
export interface YoloGraphOptions {
  imgsz?: number;
  numClasses?: number;
  segment?: boolean;
  /** Width multiple; 0.25 is the size `n`. */
  width?: number;
  seed?: number;
}

const ints = (name: string, ...value: number[]): Attribute => ({ name, type: "INTS", value });
const int = (name: string, value: number): Attribute => ({ name, type: "INT", value });
const text = (name: string, value: string): Attribute => ({ name, type: "STRING", value });
const bytes = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** YOLOv8 detection or segmentation graph as the tracer emits it: fused convolutions, decode head inside. */
export function yoloGraph({
  imgsz = 64,
  numClasses = 3,
  segment = true,
  width = 0.25,
  seed = 1,
}: YoloGraphOptions = {}): Model {
  const random = new CounterRandom({ seed, path: "yolo-graph" });
  const nodes: Node[] = [];
  const initializers: Tensor[] = [];
  const sizes = new Map<string, { channels: number; stride: number }>();
  let serial = 0;
  const add = (opType: string, inputs: string[], attributes: Attribute[] = [], outputs?: string[]): string => {
    const name = `/${opType}_${serial++}`;
    nodes.push({ opType, domain: "", name, inputs, outputs: outputs ?? [name], attributes });
    return (outputs ?? [name])[0]!;
  };
  const constant = (name: string, data: Float32Array, dims: number[]): string => {
    initializers.push({ name, dataType: DataType.FLOAT, dims, rawData: bytes(data) });
    return name;
  };
  const int64 = (name: string, values: number[]): string => {
    if (!initializers.some((tensor) => tensor.name === name)) {
      const data = BigInt64Array.from(values.map(BigInt));
      initializers.push({ name, dataType: DataType.INT64, dims: [values.length], rawData: bytes(data) });
    }
    return name;
  };
  const weight = (name: string, dims: number[], fanIn: number): string => {
    const size = dims.reduce((product, side) => product * side, 1);
    const bound = Math.sqrt(6 / fanIn);
    return constant(
      name,
      Float32Array.from({ length: size }, () => random.uniform(-bound, bound)),
      dims,
    );
  };
  const at = (value: string): { channels: number; stride: number } => sizes.get(value)!;
  const plainConv = (name: string, x: string, out: number, kernel: number, stride: number): string => {
    const { channels, stride: s } = at(x);
    const pad = kernel >> 1;
    const y = add(
      "Conv",
      [
        x,
        weight(`${name}.weight`, [out, channels, kernel, kernel], channels * kernel * kernel),
        constant(
          `${name}.bias`,
          Float32Array.from({ length: out }, () => random.uniform(-0.1, 0.1)),
          [out],
        ),
      ],
      [ints("kernel_shape", kernel, kernel), ints("strides", stride, stride), ints("pads", pad, pad, pad, pad)],
    );
    sizes.set(y, { channels: out, stride: s * stride });
    return y;
  };
  const silu = (x: string): string => {
    const y = add("Mul", [x, add("Sigmoid", [x])]);
    sizes.set(y, at(x));
    return y;
  };
  const conv = (name: string, x: string, out: number, kernel = 1, stride = 1): string =>
    silu(plainConv(`${name}.conv`, x, out, kernel, stride));
  const concat = (parts: string[]): string => {
    const y = add("Concat", parts, [int("axis", 1)]);
    sizes.set(y, { channels: parts.reduce((sum, part) => sum + at(part).channels, 0), stride: at(parts[0]!).stride });
    return y;
  };
  const c2f = (name: string, x: string, out: number, repeats: number, shortcut: boolean): string => {
    const half = out >> 1;
    const both = conv(`${name}.cv1`, x, out);
    const id = serial;
    const parts = [`/split_${id}_0`, `/split_${id}_1`];
    add("Split", [both, int64(`split_${half}`, [half, half])], [int("axis", 1)], [...parts]);
    for (const part of parts) sizes.set(part, { channels: half, stride: at(both).stride });
    for (let i = 0; i < repeats; i++) {
      const last = parts[parts.length - 1]!;
      const inner = conv(`${name}.m.${i}.cv2`, conv(`${name}.m.${i}.cv1`, last, half, 3), half, 3);
      if (!shortcut) parts.push(inner);
      else {
        const sum = add("Add", [last, inner]);
        sizes.set(sum, at(inner));
        parts.push(sum);
      }
    }
    return conv(`${name}.cv2`, concat(parts), out);
  };
  const upsample = (x: string): string => {
    if (!initializers.some((tensor) => tensor.name === "scales")) constant("scales", Float32Array.of(1, 1, 2, 2), [4]);
    const y = add(
      "Resize",
      [x, "", "scales"],
      [text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor")],
    );
    sizes.set(y, { channels: at(x).channels, stride: at(x).stride / 2 });
    return y;
  };
  const c = (channels: number): number => Math.ceil((Math.min(channels, 1024) * width) / 8) * 8;

  sizes.set("images", { channels: 3, stride: 1 });
  let x = conv("model.0", "images", c(64), 3, 2);
  x = c2f("model.2", conv("model.1", x, c(128), 3, 2), c(128), 1, true);
  const p3 = c2f("model.4", conv("model.3", x, c(256), 3, 2), c(256), 2, true);
  const p4 = c2f("model.6", conv("model.5", p3, c(512), 3, 2), c(512), 2, true);
  x = c2f("model.8", conv("model.7", p4, c(1024), 3, 2), c(1024), 1, true);
  const pooled = [conv("model.9.cv1", x, c(1024) >> 1)];
  for (let i = 0; i < 3; i++) {
    const y = add(
      "MaxPool",
      [pooled[i]!],
      [ints("kernel_shape", 5, 5), ints("strides", 1, 1), ints("pads", 2, 2, 2, 2)],
    );
    sizes.set(y, at(pooled[i]!));
    pooled.push(y);
  }
  const p5 = conv("model.9.cv2", concat(pooled), c(1024));
  const n4 = c2f("model.12", concat([upsample(p5), p4]), c(512), 1, false);
  const n3 = c2f("model.15", concat([upsample(n4), p3]), c(256), 1, false);
  const m4 = c2f("model.18", concat([conv("model.16", n3, c(256), 3, 2), n4]), c(512), 1, false);
  const m5 = c2f("model.21", concat([conv("model.19", m4, c(512), 3, 2), p5]), c(1024), 1, false);

  const levels = [n3, m4, m5];
  const anchors = levels.map((level) => (imgsz / at(level).stride) ** 2);
  const total = anchors.reduce((sum, count) => sum + count, 0);
  const branch = (name: string, level: string, inner: number, out: number): string =>
    plainConv(`${name}.2`, conv(`${name}.1`, conv(`${name}.0`, level, inner, 3), inner, 3), out, 1, 1);
  const boxInner = Math.max(16, at(n3).channels >> 2, 64);
  const classInner = Math.max(at(n3).channels, Math.min(numClasses, 100));
  const perLevel = levels.map((level, i) => {
    const y = concat([
      branch(`model.22.cv2.${i}`, level, boxInner, 64),
      branch(`model.22.cv3.${i}`, level, classInner, numClasses),
    ]);
    return add("Reshape", [y, int64(`shape_${i}`, [1, 64 + numClasses, anchors[i]!])]);
  });
  const flat = add("Concat", perLevel, [int("axis", 2)]);
  add("Split", [flat, int64("split_box_class", [64, numClasses])], [int("axis", 1)], ["/box", "/class"]);
  const distribution = add(
    "Softmax",
    [add("Transpose", [add("Reshape", ["/box", int64("shape_dfl", [1, 4, 16, total])])], [ints("perm", 0, 2, 1, 3)])],
    [int("axis", 1)],
  );
  const ramp = constant(
    "model.22.dfl.conv.weight",
    Float32Array.from({ length: 16 }, (_, i) => i),
    [1, 16, 1, 1],
  );
  const expectation = add("Conv", [distribution, ramp], [ints("kernel_shape", 1, 1)]);
  const sides = add("Reshape", [expectation, int64("shape_ltrb", [1, 4, total])]);
  add("Split", [sides, int64("split_ltrb", [2, 2])], [int("axis", 1)], ["/lt", "/rb"]);
  const grid = new Float32Array(2 * total);
  const strides = new Float32Array(total);
  let anchor = 0;
  levels.forEach((level) => {
    const { stride } = at(level);
    const side = imgsz / stride;
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++, anchor++) {
        grid[anchor] = column + 0.5;
        grid[total + anchor] = row + 0.5;
        strides[anchor] = stride;
      }
    }
  });
  constant("anchors", grid, [1, 2, total]);
  constant("strides", strides, [1, total]);
  constant("two", Float32Array.of(2), []);
  const low = add("Sub", ["anchors", "/lt"]);
  const high = add("Add", ["anchors", "/rb"]);
  const centre = add("Div", [add("Add", [low, high]), "two"]);
  const box = add("Mul", [add("Concat", [centre, add("Sub", [high, low])], [int("axis", 1)]), "strides"]);
  const parts = [box, add("Sigmoid", ["/class"])];
  const outputs = [
    { name: "output0", dataType: DataType.FLOAT, shape: [1, 4 + numClasses + (segment ? 32 : 0), total] },
  ];
  if (segment) {
    const inner = Math.max(at(n3).channels >> 2, 32);
    const coefficients = levels.map((level, i) =>
      add("Reshape", [branch(`model.22.cv4.${i}`, level, inner, 32), int64(`shape_mask_${i}`, [1, 32, anchors[i]!])]),
    );
    parts.push(add("Concat", coefficients, [int("axis", 2)]));
    const protoInner = c(256);
    let proto = conv("model.22.proto.cv1", n3, protoInner, 3);
    const up = add(
      "ConvTranspose",
      [
        proto,
        weight("model.22.proto.upsample.weight", [protoInner, protoInner, 2, 2], protoInner),
        constant(
          "model.22.proto.upsample.bias",
          Float32Array.from({ length: protoInner }, () => random.uniform(-0.1, 0.1)),
          [protoInner],
        ),
      ],
      [ints("kernel_shape", 2, 2), ints("strides", 2, 2)],
    );
    sizes.set(up, { channels: protoInner, stride: at(proto).stride / 2 });
    proto = conv("model.22.proto.cv3", conv("model.22.proto.cv2", up, protoInner, 3), 32);
    nodes[nodes.length - 1]!.outputs = ["output1"];
    outputs.push({ name: "output1", dataType: DataType.FLOAT, shape: [1, 32, imgsz / 4, imgsz / 4] });
  }
  add("Concat", parts, [int("axis", 1)], ["output0"]);
  return {
    irVersion: 8,
    opsetImport: [{ domain: "", version: 17 }],
    producerName: "seg-test",
    graph: {
      name: "yolo",
      nodes,
      initializers,
      inputs: [{ name: "images", dataType: DataType.FLOAT, shape: [1, 3, imgsz, imgsz] }],
      outputs,
      valueInfo: [],
    },
    metadataProps: [],
  };
}
