import type { Box, RgbImage } from "@seg/coco-dataset";
import { type Geometry, mapBoxToModel, prepareSam } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import { embeddingSide } from "./config.js";
import type { Sam, SamPrediction } from "./sam.js";
import { boxInWindow, cropImage, placeWindow, type SamZoom, zoomWindow } from "./zoom.js";

/** Boxes of one decoder call; more are split. */
const MAX_PROMPTS = 64;

/** Masks of one image as the network gives them; `samMaskToImage` of `@seg/preprocess` brings one back to the image. */
export interface InstanceMasks {
  /** Per box: mask logits [side, side] over the padded model image; above 0 is inside. Four times the embedding's side, finer with `zoom`. */
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

/** Finest grid of zoomed masks, as a multiple of the network's own. */
const MAX_FINER = 4;
/** Windows of one encoder call; more are split. */
const MAX_WINDOWS = 8;

interface Decoded {
  readonly logits: Float32Array;
  readonly iou: number;
}

/**
 * One mask per box. Images and boxes are in image pixels; the network may carry adapters, merged or not.
 *
 * @param multimask - take the best of the network's three masks by its own estimate instead of its single mask. Needs a network that
 * was trained for it; the small synthetic one was not. @defaultValue false
 * @param zoom - run the network on a window around each box, see {@link SamZoom}. Masks then come on a finer grid of the whole image: as fine as the image, at most four
 * times the network's. @defaultValue null: on the whole image
 * @param embedding - [g g C] of {@link encodeImageOnce}, to skip the encoder for the whole image
 */
export async function predictInstanceMasks({
  sam,
  image,
  boxes,
  multimask = false,
  zoom = null,
  embedding,
}: {
  readonly sam: Sam;
  readonly image: RgbImage;
  readonly boxes: readonly Box[];
  readonly multimask?: boolean;
  readonly zoom?: SamZoom | null;
  readonly embedding?: Float32Array;
}): Promise<InstanceMasks> {
  const { pixels, geometry } = samPixels(image, sam.config.vision.imageSize);
  const own = 4 * embeddingSide(sam.config);
  const windows = boxes.map((box) => zoom && zoomWindow(box, image, zoom));
  const isZoomed = windows.some((window) => window !== null);
  const side = isZoomed ? own * Math.min(Math.ceil(Math.max(image.width, image.height) / own), MAX_FINER) : own;
  const found = new Map<number, Decoded>();
  const plain = [...boxes.keys()].filter((i) => windows[i] === null);
  if (plain.length > 0) {
    const features = embedding ?? (await encodePixels(sam, pixels));
    const prompts = plain.map((i) => mapBoxToModel(boxes[i]!, geometry));
    const window = { x: 0, y: 0, width: image.width, height: image.height };
    for (const [k, { logits, iou }] of (await decodeBoxes(sam, features, prompts, multimask)).entries()) {
      const placed = isZoomed
        ? placeWindow({ logits, side: own, window, placed: geometry, whole: geometry, grid: side })
        : logits;
      found.set(plain[k]!, { logits: placed, iou });
    }
  }
  const zoomed = [...boxes.keys()].filter((i) => windows[i] !== null);
  for (let start = 0; start < zoomed.length; start += MAX_WINDOWS) {
    const part = zoomed.slice(start, start + MAX_WINDOWS);
    const prepared = part.map((i) => samPixels(cropImage(image, windows[i]!), sam.config.vision.imageSize));
    const prompts = part.map((i, k) => mapBoxToModel(boxInWindow(boxes[i]!, windows[i]!), prepared[k]!.geometry));
    const decoded = await decodeWindows(
      sam,
      prepared.map((p) => p.pixels),
      prompts,
      multimask,
    );
    for (const [k, { logits, iou }] of decoded.entries()) {
      const [window, placed] = [windows[part[k]!]!, prepared[k]!.geometry];
      const whole = placeWindow({ logits, side: own, window, placed, whole: geometry, grid: side });
      found.set(part[k]!, { logits: whole, iou });
    }
  }
  const masks = [...boxes.keys()].map((i) => found.get(i)!);
  return { logits: masks.map(({ logits }) => logits), side, iou: masks.map(({ iou }) => iou), geometry };
}

/** Powers of two, so that an engine compiles few sizes; the repeated boxes are dropped. */
const paddedCount = (count: number): number => 2 ** Math.ceil(Math.log2(count));

/** Masks of boxes of the model image on one embedding. */
async function decodeBoxes(
  sam: Sam,
  features: Float32Array,
  boxes: readonly Box[],
  multimask: boolean,
): Promise<Decoded[]> {
  const grid = embeddingSide(sam.config);
  const masks: Decoded[] = [];
  for (let start = 0; start < boxes.length; start += MAX_PROMPTS) {
    const part = boxes.slice(start, start + MAX_PROMPTS);
    const padded = paddedCount(part.length);
    const prediction = tf.tidy(() =>
      sam.predictMasks({
        imageEmbeddings: tf.tensor4d(features, [1, grid, grid, sam.config.vision.outputChannels]),
        boxes: tf.tensor3d(flatBoxes(part, padded), [1, padded, 4]),
        multimask,
      }),
    );
    masks.push(...(await bestMasks(prediction, part.length)));
  }
  return masks;
}

/** One mask per window, each with a box of its own model image. */
async function decodeWindows(
  sam: Sam,
  pixels: readonly Float32Array[],
  boxes: readonly Box[],
  multimask: boolean,
): Promise<Decoded[]> {
  const size = sam.config.vision.imageSize;
  const count = paddedCount(boxes.length);
  const images = new Float32Array(count * size * size * 3);
  for (let i = 0; i < count; i++) images.set(pixels[Math.min(i, pixels.length - 1)]!, i * size * size * 3);
  const prediction = tf.tidy(() =>
    sam.predictMasks({
      imageEmbeddings: sam.encodeImage(tf.tensor4d(images, [count, size, size, 3])),
      boxes: tf.tensor3d(flatBoxes(boxes, count), [count, 1, 4]),
      multimask,
    }),
  );
  return bestMasks(prediction, boxes.length);
}

/** Boxes in a row; the last one repeated up to `count`. */
function flatBoxes(boxes: readonly Box[], count: number): Float32Array {
  const flat = new Float32Array(count * 4);
  for (let i = 0; i < count; i++) flat.set(boxes[Math.min(i, boxes.length - 1)]!, 4 * i);
  return flat;
}

/** Of each of the first `count` prompts the mask that the network thinks best; frees the prediction. */
async function bestMasks(prediction: SamPrediction, count: number): Promise<Decoded[]> {
  const values = (await prediction.lowResMasks.data()) as Float32Array;
  const qualities = (await prediction.iou.data()) as Float32Array;
  const alternatives = prediction.iou.shape[2];
  const cells = prediction.lowResMasks.shape[3] * prediction.lowResMasks.shape[4];
  tf.dispose(prediction);
  return Array.from({ length: count }, (_, i) => {
    let best = i * alternatives;
    for (let k = best + 1; k < (i + 1) * alternatives; k++) if (qualities[k]! > qualities[best]!) best = k;
    return { logits: values.slice(best * cells, (best + 1) * cells), iou: qualities[best]! };
  });
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
