import type { Tensor } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatValues } from "../graph-index.js";
import { roundHalfEven } from "../runtime/geometry.js";
import { INTEGER_RANGES, type IntegerRange, quantParameters } from "./parameters.js";

/** Int8 weights, one symmetric scale per slice of `axis`. */
export interface QuantizedWeight {
  values: Int8Array;
  /** [channels] */
  scales: Float32Array;
}

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/** @throws ExportError `QUANT_CONFIG` naming the tensor when a value is NaN or infinite */
export function assertFinite(tensor: Tensor): void {
  const values = floatValues(tensor);
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]!)) continue;
    throw new ExportError({
      code: "QUANT_CONFIG",
      message: `Tensor ${tensor.name} holds ${values[i]} at flat index ${i}: only finite weights can be quantised. Export an earlier checkpoint.`,
      details: { tensor: tensor.name },
    });
  }
}

/**
 * Quantises weights per channel, symmetric.
 *
 * @param range - integers that the largest weight of a channel maps to. @defaultValue -127..127
 * @param minimumScales - [channels] lower bounds of the scales, from {@link biasScaleFloor}
 * @throws ExportError `QUANT_CONFIG` naming the tensor when a value is NaN or infinite
 */
export function quantizeWeight({
  tensor,
  axis,
  minimumScales,
  range = INTEGER_RANGES["int8-symmetric"],
}: {
  tensor: Tensor;
  axis: number;
  minimumScales?: Float64Array;
  range?: IntegerRange;
}): QuantizedWeight {
  assertFinite(tensor);
  const values = floatValues(tensor);
  const channels = tensor.dims[axis] ?? 1;
  const inner = tensor.dims.slice(axis + 1).reduce((product, size) => product * size, 1);
  const outer = values.length / (channels * inner);
  const scales = new Float32Array(channels);
  const quantized = new Int8Array(values.length);
  for (let channel = 0; channel < channels; channel++) {
    let largest = 0;
    for (let o = 0; o < outer; o++) {
      const base = (o * channels + channel) * inner;
      for (let i = 0; i < inner; i++) largest = Math.max(largest, Math.abs(values[base + i]!));
    }
    const { scale } = quantParameters({
      rmin: -largest,
      rmax: largest,
      range,
      symmetric: true,
      tensor: tensor.name,
    });
    scales[channel] = Math.max(scale, minimumScales?.[channel] ?? 0);
    const stored = scales[channel]!;
    for (let o = 0; o < outer; o++) {
      const base = (o * channels + channel) * inner;
      for (let i = 0; i < inner; i++) {
        // Divided in single precision, as QuantizeLinear and ONNX Runtime's own quantiser do.
        quantized[base + i] = Math.min(Math.max(roundHalfEven(Math.fround(values[base + i]! / stored)), -128), 127);
      }
    }
  }
  return { values: quantized, scales };
}

/**
 * Smallest weight scale per channel for which the bias fits int32: s_in * s_w >= 1.0001 * 2 |b| / (2^32 - 2).
 * Channels whose weights are all tiny would otherwise overflow.
 */
export function biasScaleFloor({ bias, inputScale }: { bias: Tensor; inputScale: number }): Float64Array {
  return Float64Array.from(floatValues(bias), (value) => (1.0001 * 2 * Math.abs(value)) / (2 ** 32 - 2) / inputScale);
}

/** round(b / (s_in * s_w[c])) as int32, divided in float64 by the float32 product that is stored. */
export function quantizeBias({
  bias,
  inputScale,
  weightScales,
}: {
  bias: Tensor;
  inputScale: number;
  weightScales: Float32Array;
}): { values: Int32Array; scales: Float32Array } {
  assertFinite(bias);
  const source = floatValues(bias);
  const scales = Float32Array.from(source, (_, channel) => inputScale * weightScales[channel]!);
  const values = Int32Array.from(source, (value, channel) =>
    Math.min(Math.max(roundHalfEven(value / scales[channel]!), INT32_MIN), INT32_MAX),
  );
  return { values, scales };
}
