import { escapeMarkup, fitText } from "@seg/coco-dataset/preview";
import sharp, { type OverlayOptions } from "sharp";
import { CommandError } from "../errors.js";

/** A picture with the words above it. */
export interface TitledImage {
  readonly title: string;
  /** Encoded picture (PNG, JPEG). */
  readonly bytes: Uint8Array;
}

/**
 * Pictures next to each other at one height, each under its title, on white: ground truth, teacher and student of one image.
 *
 * @param input.height - of each picture in pixels. @defaultValue 360
 * @throws {@link CommandError} `cli/side-by-side` without pictures
 */
export async function sideBySide({
  images,
  height = 360,
  format = "png",
}: {
  images: readonly TitledImage[];
  height?: number;
  format?: "png" | "jpeg";
}): Promise<Uint8Array> {
  if (images.length === 0)
    throw new CommandError({ code: "cli/side-by-side", message: "No picture to put side by side." });
  const gap = 8;
  const bar = 28;
  const scaled = await Promise.all(
    images.map(({ bytes }) => sharp(bytes).resize({ height }).png().toBuffer({ resolveWithObject: true })),
  );
  const layers: OverlayOptions[] = [];
  let x = gap;
  scaled.forEach(({ data, info }, i) => {
    const title = escapeMarkup(fitText(images[i]!.title, 14, info.width));
    const label = `<svg xmlns="http://www.w3.org/2000/svg" width="${info.width}" height="${bar}"><text x="0" y="19" font-family="DejaVu Sans, Verdana, Arial, sans-serif" font-weight="bold" font-size="14" fill="#16202c">${title}</text></svg>`;
    layers.push({ input: Buffer.from(label), left: x, top: 0 }, { input: data, left: x, top: bar });
    x += info.width + gap;
  });
  const canvas = sharp({ create: { width: x, height: height + bar + gap, channels: 3, background: "#fff" } }).composite(
    layers,
  );
  const encoded = await (format === "png"
    ? canvas.removeAlpha().png({ compressionLevel: 9 })
    : canvas.jpeg({ quality: 85, chromaSubsampling: "4:4:4" })
  ).toBuffer();
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}
