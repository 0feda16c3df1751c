import { createHash } from "node:crypto";
import { encodeModel, type Model, modelHash } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { createSession, type Session } from "../runtime/session.js";
import { headNodes } from "./head.js";
import { addToHistogram, entropyRange, type Histogram, percentileRange, squaredErrorRange } from "./histogram.js";
import { extremeNames, withExtremes, withOutputs } from "./observe.js";
import { planQuantization } from "./plan.js";
import { assertFinite } from "./weights.js";

/**
 * How a range follows from observed values: extremes, percentiles, smallest information loss, smallest squared error.
 */
export type CalibrationMethod = "minmax" | "percentile" | "entropy" | "mse";

/** Range of a histogram by method. */
function histogramRange(histogram: Histogram, method: CalibrationMethod, percentile: number): [number, number] {
  if (method === "entropy") return entropyRange(histogram);
  return method === "mse" ? squaredErrorRange(histogram) : percentileRange(histogram, { percentile });
}

/** Ranges of activations and where they come from; plain data, ready for `calibration.json`. */
export interface CalibrationTable {
  version: 1;
  method: CalibrationMethod;
  /** Number of images. */
  images: number;
  /** Canonical hash of the float model. */
  modelSha256: string;
  /** Hash of the image tensors in their order. */
  imagesSha256: string;
  /** tensor name -> [min, max] */
  ranges: Record<string, [min: number, max: number]>;
  /** Below 100 images the ranges are weak. */
  warnings: string[];
}

/** How ranges are taken from the activations of calibration images. */
export interface CalibrateOptions {
  /** @defaultValue "minmax" */
  method?: CalibrationMethod;
  /** Percent of the values that `percentile` keeps. @defaultValue 99.999 */
  percentile?: number;
  /** Histogram bins of all methods but `minmax`. @defaultValue 2048 */
  bins?: number;
  /** Ranges for the decode head as well, as `quantizeStatic({ exclude: "none" })` needs them. @defaultValue false */
  includeHead?: boolean;
  /** @defaultValue 1 */
  threads?: number;
}

/** Images as the network sees them: letterboxed, 0..1, CHW, one after the other. */
export type CalibrationImages = AsyncIterable<Float32Array> | Iterable<Float32Array>;

function notFinite(tensor: string): ExportError {
  return new ExportError({
    code: "QUANT_CONFIG",
    message: `Calibration found NaN or an infinite value in ${tensor}. Look at the images and at the weights above it.`,
    details: { tensor },
  });
}

async function widenByExtremes(
  session: Session,
  feeds: Parameters<Session["run"]>[0],
  ranges: Map<string, [number, number]>,
  tensors: readonly string[],
): Promise<void> {
  const outputs = await session.run(feeds);
  for (const name of tensors) {
    const { min, max } = extremeNames(name);
    const low = outputs[min]!.data[0]!;
    const high = outputs[max]!.data[0]!;
    const range = ranges.get(name);
    ranges.set(name, range === undefined ? [low, high] : [Math.min(range[0], low), Math.max(range[1], high)]);
  }
}

/**
 * Finds the range of every activation that {@link quantizeStatic} quantises, by running the float model over images that went through the
 * deployment preprocessing. Graph optimisation is off, so every tensor exists; images stream, so memory does not grow with their number.
 *
 * @param images - `[3 * H * W]` each
 * @throws ExportError `NO_CALIBRATION_DATA` for no image; `QUANT_CONFIG` naming the tensor whose range is not finite
 */
export async function calibrate(
  model: Model,
  images: CalibrationImages,
  { method = "minmax", percentile = 99.999, bins = 2048, includeHead = false, threads = 1 }: CalibrateOptions = {},
): Promise<CalibrationTable> {
  const excluded = new Set(includeHead ? [] : [...headNodes(model.graph).values()].flat());
  const plan = planQuantization(model.graph, excluded);
  const tensors = plan.activations;
  const constants = new Map(model.graph.initializers.map((tensor) => [tensor.name, tensor]));
  for (const { weight } of plan.weighted) assertFinite(constants.get(weight)!);
  const input = model.graph.inputs[0]!;
  const dims = (input.shape ?? []).map(Number);
  const observed = method === "minmax" ? withExtremes(model, tensors) : withOutputs(model, tensors);
  const session = await createSession({
    model: encodeModel(observed),
    threads,
    optimization: "disabled",
  });
  const ranges = new Map<string, [number, number]>();
  const histograms = new Map<string, Histogram | null>();
  const hash = createHash("sha256");
  let count = 0;
  try {
    for await (const image of images) {
      count++;
      hash.update(new Uint8Array(image.buffer, image.byteOffset, image.byteLength));
      const feeds = { [input.name]: { data: image, dims } };
      if (method === "minmax") {
        await widenByExtremes(session, feeds, ranges, tensors);
        continue;
      }
      const outputs = await session.run(feeds);
      for (const name of tensors) {
        const values = name === input.name ? image : outputs[name]!.data;
        if (!values.every(Number.isFinite)) throw notFinite(name);
        histograms.set(name, addToHistogram(histograms.get(name) ?? null, values, { bins }));
      }
    }
  } finally {
    await session.dispose();
  }
  if (count === 0) {
    throw new ExportError({
      code: "NO_CALIBRATION_DATA",
      message: "Calibration got 0 images. Pass 300 to 500 images of the own domain, prepared as for deployment.",
      details: { count },
    });
  }
  for (const [name, histogram] of histograms) {
    if (histogram === null) ranges.set(name, [0, 0]);
    else ranges.set(name, histogramRange(histogram, method, percentile));
  }
  for (const [tensor, [low, high]] of ranges) {
    if (!Number.isFinite(low) || !Number.isFinite(high)) throw notFinite(tensor);
  }
  return {
    version: 1,
    method,
    images: count,
    modelSha256: modelHash(model),
    imagesSha256: hash.digest("hex"),
    ranges: Object.fromEntries(ranges),
    warnings: count < 100 ? [`${count} images are few; 300 to 500 of the own domain are recommended.`] : [],
  };
}
