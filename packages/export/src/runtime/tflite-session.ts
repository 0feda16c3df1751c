import type { RawTensor } from "./decode.js";
import type { Session } from "./ort-session.js";

/** `[1, H, W, C]` to `[1, C, H, W]`. */
function toPlanes({ data, dims }: RawTensor): RawTensor {
  const [batch = 1, height = 0, width = 0, channels = 0] = dims;
  const pixels = height * width;
  const planes = new Float32Array(data.length);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const from = pixel * channels;
    for (let c = 0; c < channels; c++) planes[c * pixels + pixel] = data[from + c]!;
  }
  return { data: planes, dims: [batch, channels, height, width] };
}

/** `[1, C, H, W]` to `[1, H, W, C]`. */
function toPixels({ data, dims }: RawTensor): RawTensor {
  const [batch = 1, channels = 0, height = 0, width = 0] = dims;
  const pixels = height * width;
  const interleaved = new Float32Array(data.length);
  for (let c = 0; c < channels; c++) {
    const from = c * pixels;
    for (let pixel = 0; pixel < pixels; pixel++) interleaved[pixel * channels + c] = data[from + pixel]!;
  }
  return { data: interleaved, dims: [batch, height, width, channels] };
}

/** Scale and zero point of the int8 inputs and outputs of a model, by name; empty for a model with float inputs and outputs. */
export type IntegerPorts = Readonly<Record<string, { scale: number; zeroPoint: number }>>;

/** `boxes`, `scores`, `mask_coefs`, each `[1, A, channels]`, as `[1, channels, A]` in one tensor. */
function joinOutputs(parts: readonly RawTensor[]): RawTensor {
  const anchors = parts[0]?.dims[1] ?? 0;
  const channels = parts.reduce((sum, { dims }) => sum + (dims[2] ?? 0), 0);
  const data = new Float32Array(anchors * channels);
  let row = 0;
  for (const part of parts) {
    const width = part.dims[2] ?? 0;
    for (let a = 0; a < anchors; a++) {
      for (let c = 0; c < width; c++) data[(row + c) * anchors + a] = part.data[a * width + c]!;
    }
    row += width;
  }
  return { data, dims: [1, channels, anchors] };
}

/**
 * Makes a session on a TFLite model of `exportTflite` look like one on the ONNX model: input `images` `[1, 3, H, W]` in 0..1, `output0`
 * `[1, 4 + classes (+ 32), A]` with boxes in network pixels, `output1` `[1, 32, H/4, W/4]`. Works over any TFLite runtime.
 *
 * @param session - input `[1, H, W, 3]`, outputs as in the file; int8 ones as integers
 * @param integers - parameters of int8 inputs and outputs
 */
export function adaptTfliteSession(session: Session, integers: IntegerPorts = {}): Session {
  const [inputName = "images"] = session.inputNames;
  const real = (name: string, tensor: RawTensor): RawTensor => {
    const parameters = integers[name];
    if (parameters === undefined) return tensor;
    const { scale, zeroPoint } = parameters;
    return { ...tensor, data: tensor.data.map((value) => (value - zeroPoint) * scale) };
  };
  return {
    inputNames: ["images"],
    outputNames: session.outputNames.some((name) => name === "output1" || name === "protos")
      ? ["output0", "output1"]
      : ["output0"],
    async run(feeds) {
      const image = feeds["images"];
      if (image === undefined) throw new TypeError("Input images is missing.");
      const [, , height = 0, width = 0] = image.dims;
      const pixels = toPixels(image);
      const parameters = integers[inputName];
      if (parameters !== undefined) {
        const { scale, zeroPoint } = parameters;
        for (const [i, value] of pixels.data.entries()) {
          pixels.data[i] = Math.min(Math.max(Math.round(value / scale) + zeroPoint, -128), 127);
        }
      }
      const raw = await session.run({ [inputName]: pixels });
      const parts = ["boxes", "scores", "mask_coefs"].flatMap((name) => (raw[name] ? [real(name, raw[name])] : []));
      const joined = raw["output0"] ?? joinOutputs(parts);
      const data = joined.data.slice();
      const anchors = joined.dims[2] ?? 0;
      for (let row = 0; row < 4; row++) {
        const size = row % 2 === 0 ? width : height;
        for (let a = row * anchors; a < (row + 1) * anchors; a++) data[a]! *= size;
      }
      const output0 = { data, dims: joined.dims };
      const prototypes = raw["output1"] ?? (raw["protos"] && real("protos", raw["protos"]));
      return prototypes === undefined ? { output0 } : { output0, output1: toPlanes(prototypes) };
    },
    dispose: () => session.dispose(),
  };
}
