import type { RgbImage } from "@seg/coco-dataset";
import type { BufferPool } from "./buffer-pool.js";
import { fillBorder } from "./canvas.js";
import { writeChw } from "./chw.js";
import type { DecodedImage } from "./decode-image.js";
import { PreprocessError } from "./errors.js";
import type { Geometry } from "./geometry.js";
import type { ModelKey } from "./models.js";
import type { ModelPlan, Resampler } from "./plan.js";
import { resample, resampleToChw } from "./resample.js";
import { resizeFloatAntialias } from "./resize-float.js";
import { resizeSharpFast } from "./resize-sharp-fast.js";

/** One input of a model. */
export interface Tensor {
  readonly data: Float32Array | Uint8Array | BigInt64Array;
  readonly dims: readonly number[];
  /** `NCHW` for pixels, `NHW` for a mask. */
  readonly layout: "NCHW" | "NHW";
}

/** One picture, ready for one model. */
export interface Prepared {
  readonly model: ModelKey;
  /**
   * Grounding DINO: `pixel_values` [1,3,H,W] and `pixel_mask` [1,H,W] (1 = content); SAM, SAM 2: `pixel_values` [1,3,S,S];
   * YOLO, FastSAM: `images` [1,3,S,S].
   */
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly meta: Geometry;
  readonly resampler: Resampler;
}

/** 1 on the content, which lies top left, 0 on the padding. */
export function pixelMask(
  { contentW, contentH, netW, netH }: Geometry,
  type: "uint8" | "int64",
): Uint8Array | BigInt64Array {
  const mask = type === "int64" ? new BigInt64Array(netW * netH) : new Uint8Array(netW * netH);
  const one = type === "int64" ? 1n : 1;
  for (let y = 0; y < contentH; y++) mask.fill(one as never, y * netW, y * netW + contentW);
  return mask;
}

/** Options of {@link prepareModels}. */
export interface PrepareModelsOptions {
  /** Models with equal settings get one buffer instead of copies. */
  readonly shareBuffers: boolean;
  /** Buffers to fill, used where their type and length fit. */
  readonly out: Readonly<Partial<Record<ModelKey, Float32Array | Uint8Array>>>;
  /** Where other buffers come from. */
  readonly pool: BufferPool;
}

/** Two models whose pixels are the same in every bit. */
const pixelKey = ({ settings, resampler, output }: ModelPlan): string => {
  // The mask is no part of the pixels, but its settings seldom differ; comparing all options errs on the safe side.
  return JSON.stringify([settings, resampler, output]);
};

/**
 * Prepares one decoded picture for every plan: equal settings are computed once and copied, resizes of equal kernel and size are shared.
 * A model that fails becomes the error in its place; the others are not touched.
 */
export async function prepareModels(
  image: DecodedImage,
  plans: readonly ModelPlan[],
  { shareBuffers, out, pool }: PrepareModelsOptions,
): Promise<Map<ModelKey, Prepared | PreprocessError>> {
  const results = new Map<ModelKey, Prepared | PreprocessError>();
  const placed = new Map<ModelPlan, Geometry>();
  const uses = new Map<string, number>();
  const seen = new Set<string>();
  for (const plan of plans) {
    try {
      const geometry = plan.place(image);
      placed.set(plan, geometry);
      const key = resizeKey(plan, geometry);
      if (!seen.has(pixelKey(plan))) uses.set(key, (uses.get(key) ?? 0) + 1);
      seen.add(pixelKey(plan));
    } catch (error) {
      if (!PreprocessError.isInstance(error)) throw error;
      results.set(plan.model, named(error, plan.model));
    }
  }
  const resized = new Map<string, RgbImage>();
  const pixels = new Map<string, Float32Array | Uint8Array>();
  for (const [plan, geometry] of placed) {
    try {
      const length = 3 * geometry.netW * geometry.netH;
      const same = pixels.get(pixelKey(plan));
      let data: Float32Array | Uint8Array;
      if (same !== undefined && shareBuffers) data = same;
      else {
        const given = out[plan.model];
        data = isUsable(given, plan.output, length) ? given : pool.take(plan.output, length);
        if (same !== undefined) data.set(same);
        else await fill(plan, geometry, image, data, resized, uses);
      }
      pixels.set(pixelKey(plan), data);
      results.set(plan.model, wrap(plan, geometry, data));
    } catch (error) {
      if (!PreprocessError.isInstance(error)) throw error;
      results.set(plan.model, named(error, plan.model));
    }
  }
  return results;
}

function isUsable(
  given: Float32Array | Uint8Array | undefined,
  type: ModelPlan["output"],
  length: number,
): given is Float32Array | Uint8Array {
  return given?.length === length && given instanceof Float32Array === (type === "float32");
}

const resizeKey = ({ kernel, resampler }: ModelPlan, { contentW, contentH }: Geometry): string =>
  `${kernel},${resampler},${contentW},${contentH}`;

async function fill(
  plan: ModelPlan,
  geometry: Geometry,
  image: DecodedImage,
  data: Float32Array | Uint8Array,
  resized: Map<string, RgbImage>,
  uses: ReadonlyMap<string, number>,
): Promise<void> {
  const { contentW, contentH, netW: width, netH: height, padL: left, padT: top } = geometry;
  const changes = contentW !== image.width || contentH !== image.height;
  fillBorder({ out: data, geometry, value: plan.padValue });
  const key = resizeKey(plan, geometry);
  let source: RgbImage = image;
  if (changes && plan.resampler === "sharp-fast") {
    source = resized.get(key) ?? (await resizeSharpFast(image, contentW, contentH, { model: plan.model }));
    resized.set(key, source);
  }
  if (plan.table === null) {
    if (plan.settings.family !== "sam2") throw new TypeError("only SAM 2 normalises in float");
    const { mean, std } = plan.settings.options;
    resizeFloatAntialias({ image: source, width, height, mean, std, out: data as Float32Array });
    return;
  }
  const { table } = plan;
  const kernel = plan.kernel as Exclude<ModelPlan["kernel"], "float-antialias">;
  if (changes && source === image && (uses.get(key) ?? 0) > 1) {
    source = resized.get(key) ?? resample(image, kernel, contentW, contentH);
    resized.set(key, source);
  }
  if (source === image) resampleToChw({ image, kernel, geometry, table, out: data });
  else writeChw({ image: source, table, out: data, width, height, left, top });
}

function wrap(plan: ModelPlan, geometry: Geometry, data: Float32Array | Uint8Array): Prepared {
  const { model, inputName, resampler, settings } = plan;
  const { netW, netH } = geometry;
  const tensors: Record<string, Tensor> = { [inputName]: { data, dims: [1, 3, netH, netW], layout: "NCHW" } };
  if (settings.family === "dino" && settings.options.maskInput) {
    const mask = pixelMask(geometry, settings.options.maskType);
    tensors["pixel_mask"] = { data: mask, dims: [1, netH, netW], layout: "NHW" };
  }
  return { model, tensors, meta: geometry, resampler };
}

function named(error: PreprocessError, model: ModelKey): PreprocessError {
  const { code, message, source, cause } = error;
  return new PreprocessError({ code, message, source, model, cause });
}
