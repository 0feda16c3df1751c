import type { OverlayOptions as Layer } from "sharp";
import { createClassMapping } from "../class-mapping.js";
import type { CocoDataset, CocoImage } from "../document.js";
import { annotationsOf } from "../instances.js";
import { loadSharp } from "../load-sharp.js";
import type { ClassMapping, RgbImage } from "../types.js";
import { annotationInstances } from "./annotation-instances.js";
import { chooseImages } from "./choose-images.js";
import { classColor, PALETTE_SIZE } from "./class-color.js";
import { PreviewError } from "./errors.js";
import { escapeMarkup } from "./escape-markup.js";
import { readImage } from "./read-image.js";
import { drawOverlay } from "./render-overlay.js";
import { fitMiddle, fitText, textWidth } from "./text-width.js";

/** One picture of a contact sheet. */
export interface SheetTile {
  readonly imageId: number;
  /** Draw only these annotations. */
  readonly annotationIds?: readonly number[];
  /** Second line under the picture; by default the number of objects. */
  readonly caption?: string;
}

/** Options of {@link contactSheet}. */
export interface ContactSheetOptions {
  readonly dataset: CocoDataset;
  readonly imagesDir: string;
  /** What to show. @defaultValue `count` images that show every class, see {@link chooseImages} */
  readonly tiles?: readonly SheetTile[];
  /** @defaultValue 12 */
  readonly count?: number;
  /** @defaultValue "N of M images" */
  readonly title?: string;
  /** @defaultValue 3 */
  readonly columns?: number;
  /** @defaultValue "png" */
  readonly format?: "png" | "jpeg";
  readonly signal?: AbortSignal;
}

/** Largest picture of a tile: wide enough for a dozen labels. */
const TILE = { width: 600, height: 450 };
const GAP = 16;
const FONT = "DejaVu Sans, Verdana, Arial, Helvetica, sans-serif";
const INK = "#16202c";
const MUTED = "#5b6673";
/** Lines of the legend; more classes are counted at its end. */
const MAX_LEGEND_ROWS = 4;

interface Tile {
  readonly picture: RgbImage | null;
  readonly height: number;
  readonly title: string;
  readonly caption: string;
}

/**
 * Pictures of a dataset on one sheet: translucent masks with outline (holes stay open), boxes, names, crowds dashed, a legend of the
 * classes shown with their colours and the file name under each picture. A file that cannot be shown keeps its place and says why. The
 * same input gives the same bytes on one machine.
 *
 * @returns the encoded sheet
 * @throws PreviewError (reason `empty`) without tiles; SharpMissingError
 * @example await writeFile("preview.png", await contactSheet({ dataset, imagesDir: "images" }))
 */
export async function contactSheet({
  dataset,
  imagesDir,
  count = 12,
  tiles = chooseImages(dataset, count).map((imageId) => ({ imageId })),
  title,
  columns = 3,
  format = "png",
  signal,
}: ContactSheetOptions): Promise<Uint8Array> {
  const sharp = await loadSharp("Drawing previews");
  if (tiles.length === 0)
    throw new PreviewError({ reason: "empty", message: "A contact sheet needs at least one image." });
  const mapping = createClassMapping(dataset);
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const legend = legendOf(dataset, tiles, mapping);
  const colors = new Map(legend.map(({ categoryId, color }) => [categoryId, color]));
  const drawn: Tile[] = [];
  for (const tile of tiles) {
    signal?.throwIfAborted();
    drawn.push(await drawTile({ tile, image: images.get(tile.imageId), dataset, imagesDir, mapping, colors }));
  }
  const perRow = Math.min(columns, drawn.length);
  const width = GAP + perRow * (TILE.width + GAP);
  const header = headerLayer({
    title: title ?? `${drawn.length} of ${dataset.images.length} images`,
    legend,
    width: width - 2 * GAP,
  });
  const layers: Layer[] = [{ input: Buffer.from(header.svg), left: GAP, top: GAP }];
  let top = GAP + header.height;
  for (let start = 0; start < drawn.length; start += perRow) {
    const row = drawn.slice(start, start + perRow);
    const height = Math.max(...row.map((tile) => tile.height));
    row.forEach((tile, column) => {
      const left = GAP + column * (TILE.width + GAP);
      if (tile.picture !== null) {
        const { width: w, height: h, data } = tile.picture;
        layers.push({
          input: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
          raw: { width: w, height: h, channels: 3 },
          left: left + Math.floor((TILE.width - w) / 2),
          top,
        });
      }
      layers.push({ input: Buffer.from(captionLayer(tile)), left, top: top + height });
    });
    top += height + CAPTION_HEIGHT;
  }
  const canvas = sharp({ create: { width, height: top, channels: 3, background: "#fff" } }).composite(layers);
  const encoded = await (format === "png"
    ? // The layers have an alpha channel; the sheet has none.
      canvas.removeAlpha().png()
    : canvas.jpeg({ quality: 85, chromaSubsampling: "4:4:4" })
  ).toBuffer();
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

async function drawTile({
  tile,
  image,
  dataset,
  imagesDir,
  mapping,
  colors,
}: {
  tile: SheetTile;
  image: CocoImage | undefined;
  dataset: CocoDataset;
  imagesDir: string;
  mapping: ClassMapping;
  colors: ReadonlyMap<number, number>;
}): Promise<Tile> {
  if (image === undefined) return emptyTile(`image ${tile.imageId}`, "no such image in the document");
  const only = tile.annotationIds === undefined ? undefined : new Set(tile.annotationIds);
  const { instances, numUndrawable } = annotationInstances({ dataset, image, mapping, only, colors });
  let picture: RgbImage;
  const scale = Math.min(TILE.width / image.width, TILE.height / image.height);
  try {
    const pixels = await readImage(imagesDir, image);
    picture = await drawOverlay({
      image: pixels,
      instances,
      maxSide: Math.max(image.width, image.height) * scale,
      minWidth: TILE.width,
      hasLegend: true,
    });
  } catch (error) {
    if (!(error instanceof PreviewError)) throw error;
    return emptyTile(image.file_name, error.message.replace(`${image.file_name} `, ""));
  }
  const objects =
    instances.length === 0 ? "no objects" : `${instances.length} ${instances.length === 1 ? "object" : "objects"}`;
  const broken = numUndrawable === 0 ? "" : `, ${numUndrawable} without drawable geometry`;
  return { picture, height: picture.height, title: image.file_name, caption: tile.caption ?? `${objects}${broken}` };
}

function emptyTile(title: string, reason: string): Tile {
  return { picture: null, height: 120, title, caption: `not shown: ${reason}` };
}

const CAPTION_HEIGHT = 54;

function captionLayer({ title, caption, picture }: Tile): string {
  const line = (text: string, y: number, size: number, weight: string, fill: string) =>
    `<text x="0" y="${y}" font-family="${FONT}" font-size="${size}" font-weight="${weight}" fill="${fill}">${escapeMarkup(text)}</text>`;
  const fill = picture === null ? "#b3261e" : MUTED;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${TILE.width}" height="${CAPTION_HEIGHT}">${line(fitMiddle(title, 15, TILE.width), 19, 15, "bold", INK)}${line(fitText(caption, 13, TILE.width), 37, 13, "normal", fill)}</svg>`;
}

interface LegendEntry {
  readonly categoryId: number;
  readonly name: string;
  /** Objects on the sheet. */
  readonly count: number;
  /** Index for {@link classColor}. */
  readonly color: number;
}

/**
 * The classes on the sheet. With few classes a colour is that of the class index, as in every other picture; with many the most frequent
 * classes of the sheet take the palette, because colours of eighty indices cannot be told apart.
 */
function legendOf(dataset: CocoDataset, tiles: readonly SheetTile[], mapping: ClassMapping): LegendEntry[] {
  const counts = new Map<number, number>();
  for (const { imageId, annotationIds } of tiles) {
    for (const { id, category_id: category } of annotationsOf(dataset, imageId)) {
      if (annotationIds === undefined || annotationIds.includes(id))
        counts.set(category, (counts.get(category) ?? 0) + 1);
    }
  }
  const entries = mapping.classes
    .filter(({ categoryId }) => counts.has(categoryId))
    .map(({ categoryId, index, name }) => ({ categoryId, name, count: counts.get(categoryId)!, color: index }));
  if (mapping.classes.length <= PALETTE_SIZE) return entries;
  return entries.sort((a, b) => b.count - a.count || a.color - b.color).map((entry, color) => ({ ...entry, color }));
}

/** Title and legend. */
function headerLayer({ title, legend, width }: { title: string; legend: readonly LegendEntry[]; width: number }): {
  svg: string;
  height: number;
} {
  const [size, rowHeight] = [15, 26];
  const parts = [
    `<text x="0" y="24" font-family="${FONT}" font-size="22" font-weight="bold" fill="${INK}">${escapeMarkup(fitText(title, 22, width))}</text>`,
  ];
  let [x, row] = [0, 0];
  let written = 0;
  for (const { color, name, count } of legend) {
    const text = fitText(`${name} (${count})`, size, 260);
    const itemWidth = 24 + textWidth(text, size) + 14;
    // The last row keeps room for the count of the rest.
    const limit = row === MAX_LEGEND_ROWS - 1 ? width - 140 : width;
    if (x > 0 && x + itemWidth > limit) {
      if (row === MAX_LEGEND_ROWS - 1) break;
      [x, row] = [0, row + 1];
    }
    const y = 40 + row * rowHeight;
    parts.push(
      `<rect x="${x}" y="${y}" width="16" height="16" rx="3" fill="rgb(${classColor(color).join(",")})"/><text x="${x + 24}" y="${y + 13}" font-family="${FONT}" font-size="${size}" fill="${INK}">${escapeMarkup(text)}</text>`,
    );
    x += itemWidth;
    written++;
  }
  if (written < legend.length) {
    parts.push(
      `<text x="${x}" y="${40 + row * rowHeight + 13}" font-family="${FONT}" font-size="${size}" fill="${MUTED}">and ${legend.length - written} more</text>`,
    );
  }
  const height = legend.length === 0 ? 44 : 40 + (row + 1) * rowHeight + 8;
  return {
    svg: `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${parts.join("")}</svg>`,
    height,
  };
}
