import type { Box, RgbImage } from "@seg/coco-dataset";
import { type Geometry, mapBoxToModel, prepareSam } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import { embeddingSide } from "./config.js";
import type { Sam } from "./sam.js";

/** Boxes of one decoder call; more are split. */
const MAX_PROMPTS = 64;

/** Masks of one image as the network gives them; `samMaskToImage` of `@seg/preprocess` brings one back to the image. */
export interface InstanceMasks {
  /** Per box: mask logits [side, side] over the padded model image; above 0 is inside. */
  readonly logits: readonly Float32Array[];
  readonly side: number;
  /** Per box: IoU as the network estimates it. */
  readonly iou: readonly number[];
  readonly geometry: Geometry;
}

/** SAM's input of an image in NHWC order, [S, S, 3], and how the image was placed on it. */
export function samPixels(image: RgbImage, size: number): { pixels: Float32Array; geometry: Geometry } {
  const { data, geometry } = prepareSam(image, { size });
  const plane = size * size;
  const pixels = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) {
    pixels[3 * i] = data[i]!;
    pixels[3 * i + 1] = data[plane + i]!;
    pixels[3 * i + 2] = data[2 * plane + i]!;
  }
  return { pixels, geometry };
}

/**
 * One mask per box. Images and boxes are in image pixels; the network may carry adapters, merged or not.
 *
 * @param multimask - take the best of the network's three masks by its own estimate instead of its single mask. Needs a network that
 * was trained for it; the small synthetic one was not. @defaultValue false
 * @param embedding - [g g C] of {@link encodeImageOnce}, to skip the encoder
 */
export async function predictInstanceMasks({
  sam,
  image,
  boxes,
  multimask = false,
  embedding,
}: {
  readonly sam: Sam;
  readonly image: RgbImage;
  readonly boxes: readonly Box[];
  readonly multimask?: boolean;
  readonly embedding?: Float32Array;
}): Promise<InstanceMasks> {
  const { pixels, geometry } = samPixels(image, sam.config.vision.imageSize);
  const grid = embeddingSide(sam.config);
  const side = 4 * grid;
  const logits: Float32Array[] = [];
  const iou: number[] = [];
  if (boxes.length === 0) return { logits, side, iou, geometry };
  const features = embedding ?? (await encodePixels(sam, pixels));
  for (let start = 0; start < boxes.length; start += MAX_PROMPTS) {
    const part = boxes.slice(start, start + MAX_PROMPTS);
    // Powers of two, so that an engine compiles few decoder sizes; the repeated boxes are dropped.
    const padded = 2 ** Math.ceil(Math.log2(part.length));
    const flat = new Float32Array(padded * 4);
    for (let i = 0; i < padded; i++) flat.set(mapBoxToModel(part[Math.min(i, part.length - 1)]!, geometry), 4 * i);
    const prediction = tf.tidy(() =>
      sam.predictMasks({
        imageEmbeddings: tf.tensor4d(features, [1, grid, grid, sam.config.vision.outputChannels]),
        boxes: tf.tensor3d(flat, [1, padded, 4]),
        multimask,
      }),
    );
    const maskValues = (await prediction.lowResMasks.data()) as Float32Array;
    const qualities = (await prediction.iou.data()) as Float32Array;
    const alternatives = prediction.iou.shape[2];
    tf.dispose(prediction);
    for (let i = 0; i < part.length; i++) {
      let best = i * alternatives;
      for (let k = best + 1; k < (i + 1) * alternatives; k++) if (qualities[k]! > qualities[best]!) best = k;
      logits.push(maskValues.slice(best * side * side, (best + 1) * side * side));
      iou.push(qualities[best]!);
    }
  }
  return { logits, side, iou, geometry };
}

/** Embedding [g g C] of one image, host memory. */
export function encodeImageOnce(sam: Sam, image: RgbImage): Promise<Float32Array> {
  return encodePixels(sam, samPixels(image, sam.config.vision.imageSize).pixels);
}

async function encodePixels(sam: Sam, pixels: Float32Array): Promise<Float32Array> {
  const size = sam.config.vision.imageSize;
  const embedding = tf.tidy(() => sam.encodeImage(tf.tensor4d(pixels, [1, size, size, 3])));
  const values = Float32Array.from(await embedding.data());
  embedding.dispose();
  return values;
}
