import type { RgbImage, Rle } from "@seg/coco-dataset";
import type { DetectionResult } from "@seg/export/runtime";

/** Red, green, blue by class: told apart with any kind of colour vision (palette of Okabe and Ito). */
const COLOURS = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [204, 121, 167],
] as const;
/** Of a mask, of 255: what lies below stays visible. */
const MASK_OPACITY = 115;
/** Narrower pictures are drawn larger, so that names fit. */
const LEAST_WIDTH = 720;

const colourOf = (classId: number) => COLOURS[classId % COLOURS.length]!;

/** Pixels of a mask. */
export const areaOf = ({ counts }: Rle): number => counts.reduce((sum, run, k) => (k % 2 === 1 ? sum + run : sum), 0);

/** Picture, masks, boxes and names on a canvas. */
export function draw(canvas: HTMLCanvasElement, picture: ImageBitmap, found: DetectionResult): void {
  const zoom = Math.max(1, Math.ceil(LEAST_WIDTH / picture.width));
  canvas.width = zoom * picture.width;
  canvas.height = zoom * picture.height;
  const context = canvas.getContext("2d")!;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  found.masks?.forEach((mask, i) => {
    context.drawImage(layerOf(mask, colourOf(found.classes[i]!)), 0, 0, canvas.width, canvas.height);
  });
  context.font = "600 20px system-ui, sans-serif";
  context.textBaseline = "top";
  context.lineWidth = 3;
  found.names.forEach((name, i) => {
    const [x1, y1, x2, y2] = Array.from(found.boxes.subarray(4 * i, 4 * i + 4), (value) => zoom * value) as [
      number,
      number,
      number,
      number,
    ];
    const colour = `rgb(${colourOf(found.classes[i]!).join(" ")})`;
    context.strokeStyle = colour;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const text = `${name} ${found.scores[i]!.toFixed(2)}`;
    const top = Math.max(0, y1 - 26);
    context.fillStyle = colour;
    context.fillRect(x1 - 1.5, top, context.measureText(text).width + 12, 26);
    context.fillStyle = "#000";
    context.fillText(text, x1 + 4, top + 4);
  });
}

/** A mask as a translucent picture. Its runs go down the columns, the first one is outside. */
function layerOf({ size: [height, width], counts }: Rle, colour: readonly [number, number, number]): OffscreenCanvas {
  const layer = new OffscreenCanvas(width, height);
  const context = layer.getContext("2d")!;
  const pixels = context.createImageData(width, height);
  let at = 0;
  counts.forEach((run, k) => {
    for (const end = at + run; at < end; at++) {
      if (k % 2 === 0) continue;
      pixels.data.set([...colour, MASK_OPACITY], 4 * ((at % height) * width + Math.floor(at / height)));
    }
  });
  context.putImageData(pixels, 0, 0);
  return layer;
}

/** Pixels of a picture without its alpha. */
export function rgbOf(picture: ImageBitmap): RgbImage {
  const { width, height } = picture;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(picture, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) data.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, data };
}
