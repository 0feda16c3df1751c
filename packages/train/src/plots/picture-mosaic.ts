import type { RgbImage } from "@seg/coco-dataset";
import { type OverlayInstance, renderOverlay } from "@seg/coco-dataset/preview";
import { optionalSharp } from "../charts/write-chart.js";

/** A picture of a batch with what was annotated or predicted on it. */
export interface MosaicPicture {
  readonly image: RgbImage;
  readonly instances: readonly OverlayInstance[];
}

/** Side of one tile and pictures per row and column. */
const TILE = 320;
const PER_ROW = 4;
/** Gray of empty places, as the letterbox has it. */
const PAPER = { r: 114, g: 114, b: 114 };

/**
 * Up to 16 pictures with boxes, masks and names as one JPEG, 4 in a row.
 * @returns null without a picture, or where the optional package sharp is not installed
 */
export async function pictureMosaic(pictures: readonly MosaicPicture[]): Promise<Uint8Array | null> {
  const sharp = await optionalSharp();
  const shown = pictures.slice(0, PER_ROW * PER_ROW);
  if (sharp === null || shown.length === 0) return null;
  const tiles = await Promise.all(
    shown.map(async ({ image, instances }, i) => ({
      input: Buffer.from(await renderOverlay({ image, instances, maxSide: TILE, minWidth: TILE })),
      left: (i % PER_ROW) * TILE,
      top: Math.floor(i / PER_ROW) * TILE,
    })),
  );
  const columns = Math.min(PER_ROW, shown.length);
  const rows = Math.ceil(shown.length / PER_ROW);
  const canvas = sharp({ create: { width: columns * TILE, height: rows * TILE, channels: 3, background: PAPER } });
  return canvas.composite(tiles).jpeg({ quality: 88, chromaSubsampling: "4:4:4" }).toBuffer();
}
