import { loadSharp } from "../load-sharp.js";
import { mask as masks } from "../mask/index.js";
import type { Box, RgbImage, Rle } from "../types.js";
import { classColor, textColorOn } from "./class-color.js";
import { PreviewError } from "./errors.js";
import { escapeMarkup } from "./escape-markup.js";
import { type LabelRequest, placeLabels } from "./place-labels.js";
import { fitText, textWidth } from "./text-width.js";

/** One object to draw, in pixels of the image it belongs to. */
export interface OverlayInstance {
  /** Class index; decides the colour. */
  readonly classId: number;
  readonly name: string;
  readonly box: Box;
  readonly mask?: Rle | undefined;
  /** Confidence in [0, 1]; printed behind the name. */
  readonly score?: number | undefined;
  /** The box has a dashed line: a region, not one object. @defaultValue false */
  readonly isDashed?: boolean | undefined;
}

/** What an overlay shows, and how large it becomes. */
export interface OverlayOptions {
  readonly image: RgbImage;
  readonly instances: readonly OverlayInstance[];
  /** Longest side of the result in pixels. @defaultValue 960 */
  readonly maxSide?: number;
  /** Narrower pictures are enlarged to this many pixels, as far as maxSide allows. @defaultValue 480 */
  readonly minWidth?: number;
  /** A legend names the colours, so a label that would hide another or a small object is left out. @defaultValue false */
  readonly hasLegend?: boolean;
  /** @defaultValue "png" */
  readonly format?: "png" | "jpeg";
}

/** Below this width a picture is enlarged: a label needs about 60 px, a 96 px picture would have room for one. */
const MIN_WIDTH = 480;
/** Share of the class colour inside a mask; texture underneath stays visible. */
const FILL_OPACITY = 0.38;
const CONTOUR_OPACITY = 0.95;

/**
 * Draws objects on a picture: translucent masks with a contour, boxes, and "name score" labels that stay inside the picture. Pictures
 * narrower than 480 px are enlarged first (cubic; masks by nearest neighbour, so that their true resolution shows). The same input gives
 * the same bytes on one machine (label glyphs come from the fonts of the system).
 *
 * @returns the encoded picture
 * @throws PreviewError when data does not fill the image or a mask has another size; SharpMissingError
 */
export async function renderOverlay({ format = "png", ...options }: OverlayOptions): Promise<Uint8Array> {
  const { width, height, data } = await drawOverlay(options);
  const sharp = await loadSharp("Drawing previews");
  const picture = sharp(data, { raw: { width, height, channels: 3 } });
  const encoded =
    format === "png"
      ? await picture.png({ compressionLevel: 9 }).toBuffer()
      : await picture.jpeg({ quality: 85, chromaSubsampling: "4:4:4" }).toBuffer();
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

/**
 * The pixels of {@link renderOverlay}, not encoded.
 * @throws PreviewError when data does not fill the image or a mask has another size; SharpMissingError
 */
export async function drawOverlay({
  image,
  instances,
  maxSide = 960,
  minWidth = MIN_WIDTH,
  hasLegend = false,
}: Omit<OverlayOptions, "format">): Promise<RgbImage> {
  checkInput(image, instances, maxSide);
  const sharp = await loadSharp("Drawing previews");
  const wanted = Math.max(1, minWidth / image.width);
  const scale = Math.min(wanted, maxSide / Math.max(image.width, image.height));
  const width = Math.max(1, Math.round(image.width * scale));
  const height = Math.max(1, Math.round(image.height * scale));
  const pixels = await resized(image, width, height);
  // Large masks first, so that small ones are not buried.
  const withMask = instances.flatMap(({ classId, mask }) =>
    mask === undefined ? [] : [{ classId, mask, area: masks.area(mask) }],
  );
  withMask.sort((a, b) => b.area - a.area);
  for (const { classId, mask } of withMask) blendMask(pixels, width, height, mask, classId);
  const layer = Buffer.from(
    vectorLayer({ instances, width, height, hasLegend, scaleX: width / image.width, scaleY: height / image.height }),
  );
  const data = await sharp(pixels, { raw: { width, height, channels: 3 } })
    .composite([{ input: layer, left: 0, top: 0 }])
    // The SVG layer has an alpha channel; the result has none.
    .removeAlpha()
    .raw()
    .toBuffer();
  return { width, height, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function checkInput(image: RgbImage, instances: readonly OverlayInstance[], maxSide: number): void {
  const expected = image.width * image.height * 3;
  if (!(image.width > 0 && image.height > 0 && image.data.length === expected && maxSide >= 1)) {
    throw new PreviewError({
      reason: "image",
      message: `An overlay needs width * height * 3 bytes and a longest side of at least 1; got ${image.width} x ${image.height} with ${image.data.length} bytes, maxSide ${maxSide}.`,
    });
  }
  for (const { name, mask } of instances) {
    if (mask === undefined || (mask.size[0] === image.height && mask.size[1] === image.width)) continue;
    throw new PreviewError({
      reason: "mask",
      message: `The mask of "${name}" is ${mask.size[1]} x ${mask.size[0]} pixels, its image ${image.width} x ${image.height}. Give masks at the resolution of the image.`,
    });
  }
}

async function resized(image: RgbImage, width: number, height: number): Promise<Uint8Array> {
  if (width === image.width && height === image.height) return image.data.slice();
  const sharp = await loadSharp("Drawing previews");
  const { data } = await sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } })
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Blends one mask into the pixels in place. The contour is the part of the mask within `thickness` pixels of its outside. */
function blendMask(pixels: Uint8Array, width: number, height: number, mask: Rle, classId: number): void {
  const [maskHeight, maskWidth] = mask.size;
  const source = masks.decode(mask);
  const [bx, by, bw, bh] = masks.toBbox(mask);
  if (bw === 0 || bh === 0) return;
  const left = Math.max(0, Math.floor((bx * width) / maskWidth) - 1);
  const right = Math.min(width, Math.ceil(((bx + bw) * width) / maskWidth) + 1);
  const top = Math.max(0, Math.floor((by * height) / maskHeight) - 1);
  const bottom = Math.min(height, Math.ceil(((by + bh) * height) / maskHeight) + 1);
  const isInside = (x: number, y: number): boolean => {
    // The picture's border is no contour: an object cut off there goes on outside.
    const column = Math.floor(((Math.max(0, Math.min(width - 1, x)) + 0.5) * maskWidth) / width);
    const row = Math.floor(((Math.max(0, Math.min(height - 1, y)) + 0.5) * maskHeight) / height);
    return source[row * maskWidth + column] === 1;
  };
  const color = classColor(classId);
  const thickness = Math.max(width, height) >= 400 ? 2 : 1;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      if (!isInside(x, y)) continue;
      const isContour = !(
        isInside(x - thickness, y) &&
        isInside(x + thickness, y) &&
        isInside(x, y - thickness) &&
        isInside(x, y + thickness)
      );
      const opacity = isContour ? CONTOUR_OPACITY : FILL_OPACITY;
      const at = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) pixels[at + c] = Math.round(pixels[at + c]! * (1 - opacity) + color[c]! * opacity);
    }
  }
}

/** Boxes and labels as SVG of the picture's size. Boxes that are not finite or lie outside are left out. */
function vectorLayer({
  instances,
  width,
  height,
  hasLegend,
  scaleX,
  scaleY,
}: {
  instances: readonly OverlayInstance[];
  width: number;
  height: number;
  hasLegend: boolean;
  scaleX: number;
  scaleY: number;
}): string {
  // 13 px on 480 px; less where many objects share the picture.
  const crowded = instances.length > 15 ? 0.85 : 1;
  const fontSize = Math.max(9, Math.min(18, (Math.max(width, height) / 37) * crowded));
  const stroke = Math.max(width, height) >= 400 ? 2 : 1;
  const drawn = instances.flatMap((instance) => {
    if (!instance.box.every(Number.isFinite)) return [];
    const x1 = Math.round(Math.max(0, Math.min(width, instance.box[0] * scaleX)));
    const y1 = Math.round(Math.max(0, Math.min(height, instance.box[1] * scaleY)));
    const x2 = Math.round(Math.max(0, Math.min(width, instance.box[2] * scaleX)));
    const y2 = Math.round(Math.max(0, Math.min(height, instance.box[3] * scaleY)));
    // Whole pixels: a line between two columns would be a blur.
    return x2 > x1 && y2 > y1 ? [{ instance, box: [x1, y1, x2, y2] as const }] : [];
  });
  // The surest objects get the first choice of label places.
  drawn.sort((a, b) => (b.instance.score ?? 1) - (a.instance.score ?? 1));
  const boxes = drawn.map(({ instance, box: [x1, y1, x2, y2] }) => {
    const half = stroke / 2;
    const shape = `x="${round(x1 + half)}" y="${round(y1 + half)}" width="${round(Math.max(0.5, x2 - x1 - stroke))}" height="${round(Math.max(0.5, y2 - y1 - stroke))}"`;
    // A dark line underneath keeps the box visible on a background of its own colour.
    return (
      `<rect ${shape} fill="none" stroke="#000" stroke-opacity=".3" stroke-width="${stroke + 2}"/>` +
      `<rect ${shape} fill="none" stroke="${css(instance.classId)}" stroke-width="${stroke}"${instance.isDashed ? ' stroke-dasharray="8 5"' : ""}/>`
    );
  });
  const padding = Math.round(fontSize * 0.3);
  const labelHeight = Math.ceil(fontSize * 1.35);
  const labels = drawn.flatMap(({ instance, box }) => {
    const text = labelText(instance, fontSize, width - 2 * padding);
    if (text === "" || labelHeight > height) return [];
    const request: LabelRequest = {
      box,
      width: Math.min(width, Math.ceil(textWidth(text, fontSize)) + 2 * padding),
      height: labelHeight,
    };
    return [{ instance, text, request }];
  });
  const places = placeLabels({
    labels: labels.map(({ request }) => request),
    pictureWidth: width,
    pictureHeight: height,
    onlyFree: hasLegend,
    // Objects that a label would cover more than half of.
    obstacles: hasLegend
      ? labels.flatMap(({ request: { box, width: w, height: h } }) => {
          const [objectWidth, objectHeight] = [box[2] - box[0], box[3] - box[1]];
          const isSmall = objectWidth * objectHeight < 2 * w * h;
          return isSmall ? [{ x: box[0], y: box[1], width: objectWidth, height: objectHeight }] : [];
        })
      : [],
  });
  const texts = labels.map(({ instance, text }, i) => {
    const place = places[i];
    if (place === undefined || place === null) return "";
    const { x, y, width: w, height: h } = place;
    const rect = `x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}"`;
    // The clip keeps a label inside its plate even where the system's font is wider than the estimate.
    return (
      `<clipPath id="c${i}"><rect ${rect}/></clipPath><rect ${rect} rx="2" fill="${css(instance.classId)}"/>` +
      `<text clip-path="url(#c${i})" x="${round(x + padding)}" y="${round(y + h - fontSize * 0.36)}" fill="${textColorOn(classColor(instance.classId))}">${escapeMarkup(text)}</text>`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans, Verdana, Arial, Helvetica, sans-serif" font-weight="bold" font-size="${round(fontSize)}">${boxes.join("")}${texts.join("")}</svg>`;
}

/** "name 0.93": where room is short the name is cut, not the score. */
function labelText({ name, score }: OverlayInstance, fontSize: number, maxWidth: number): string {
  const suffix = score === undefined || !Number.isFinite(score) ? "" : ` ${score.toFixed(2)}`;
  const flat = name.replace(/\s+/g, " ").trim();
  return `${fitText(flat, fontSize, maxWidth - textWidth(suffix, fontSize))}${textWidth(suffix, fontSize) <= maxWidth ? suffix : ""}`.trim();
}

const css = (classId: number): string => `rgb(${classColor(classId).join(",")})`;
const round = (value: number): string => String(Math.round(value * 100) / 100);
