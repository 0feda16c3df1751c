import { readFile } from "node:fs/promises";
import type { RgbImage } from "@seg/coco-dataset";
import sharp, { type Metadata, type OutputInfo } from "sharp";
import { uninitialisedBytes } from "./buffer-pool.js";
import { PreprocessError } from "./errors.js";
import type { Orientation } from "./geometry.js";
import { decodeJpeg } from "./jpeg/decode-jpeg.js";
import { parseJpeg } from "./jpeg/parse-jpeg.js";
import { orientImage, swapsSides } from "./orientation.js";

/** What a reader should know about a decoded picture although it decoded. */
export type DecodeWarning = "exif_ambiguous" | "unusual_mode" | "truncated" | "first_page_only";

/** A decoded picture in the space of its annotations, with the way back to the file. */
export interface DecodedImage extends RgbImage {
  /** Size as stored, before any rotation. */
  readonly rawWidth: number;
  readonly rawHeight: number;
  /** EXIF orientation of the file; 1 when it has none. */
  readonly orientation: Orientation;
  /** True when the pixels were turned upright. */
  readonly orientationApplied: boolean;
  readonly warnings: readonly DecodeWarning[];
}

/**
 * - `ignore`: pixels as stored (Pillow, and so the SAM and Grounding DINO demos)
 * - `apply`: upright (cv2.imread, and so YOLO training)
 * - `match-annotations`: whichever has `expectedSize`; upright without one
 */
export type OrientationPolicy = "ignore" | "apply" | "match-annotations";

/** Options of {@link decodeImage}. */
export interface DecodeOptions {
  /** @defaultValue "match-annotations" */
  readonly orientation?: OrientationPolicy;
  /** Size according to the annotations, pixels. */
  readonly expectedSize?: { readonly width: number; readonly height: number };
  /** Decides pictures whose sizes fit both ways (square, or mirrored); usually the majority of the unambiguous ones. */
  readonly datasetOrientation?: "ignore" | "apply";
  /** `managed` converts by a standard profile and warns: decoders disagree about CMYK. @defaultValue "managed" */
  readonly cmyk?: "managed" | "error";
  /** 16-bit gray: `shift` drops the low byte as OpenCV does, `clip` takes min(v, 255) as Pillow does. @defaultValue "shift" */
  readonly sixteenBit?: "shift" | "clip";
  /** Decode what a damaged file still holds, with a warning. @defaultValue false */
  readonly allowTruncated?: boolean;
  /** Largest picture, pixels. @defaultValue 2 ** 28 */
  readonly maxPixels?: number;
}

/** RGB from 1 to 4 interleaved channels: gray repeated, alpha dropped (never blended). */
function toRgb(data: Uint8Array, channels: number, pixels: number): Uint8Array {
  if (channels === 3) return data;
  const out = new Uint8Array(pixels * 3);
  const gray = channels < 3;
  for (let i = 0, p = 0, o = 0; i < pixels; i++, p += channels, o += 3) {
    out[o] = data[p]!;
    out[o + 1] = data[gray ? p : p + 1]!;
    out[o + 2] = data[gray ? p : p + 2]!;
  }
  return out;
}

/** Pixel types with a range: 1 to 8 and 16 bits. */
const INTEGER_DEPTHS: ReadonlySet<string | undefined> = new Set(["uchar", "ushort"]);

/** min(v, 255) of native 16-bit words. */
function clipWords(data: Buffer): Uint8Array {
  const words = new Uint16Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.length));
  return Uint8Array.from(words, (word) => Math.min(word, 255));
}

function orientationDecision({
  policy,
  orientation,
  raw,
  expected,
  datasetOrientation,
  source,
}: {
  policy: OrientationPolicy;
  orientation: Orientation;
  raw: readonly [number, number];
  expected: DecodeOptions["expectedSize"];
  datasetOrientation: DecodeOptions["datasetOrientation"];
  source: string;
}): { apply: boolean; ambiguous: boolean } {
  const oriented = swapsSides(orientation) ? ([raw[1], raw[0]] as const) : raw;
  const fits = (size: readonly [number, number]) =>
    expected === undefined || (size[0] === expected.width && size[1] === expected.height);
  const mismatch = (tried: string) =>
    new PreprocessError({
      code: "size_mismatch",
      source,
      message: `${source} decodes to ${tried} px, but its annotations are for ${expected?.width} x ${expected?.height}. Correct width and height of the image entry, or replace the file by the annotated one.`,
    });
  if (policy === "ignore") {
    if (!fits(raw)) throw mismatch(`${raw[0]} x ${raw[1]} (orientation ignored)`);
    return { apply: false, ambiguous: false };
  }
  if (policy === "apply" || expected === undefined) {
    if (!fits(oriented)) throw mismatch(`${oriented[0]} x ${oriented[1]} (orientation applied)`);
    return { apply: orientation !== 1, ambiguous: false };
  }
  const rawFits = fits(raw);
  const orientedFits = fits(oriented);
  if (!rawFits && !orientedFits) {
    const both = swapsSides(orientation) ? ` stored, ${oriented[0]} x ${oriented[1]} upright` : "";
    throw mismatch(`${raw[0]} x ${raw[1]}${both}`);
  }
  if (orientation === 1) return { apply: false, ambiguous: false };
  if (rawFits && orientedFits) {
    return { apply: datasetOrientation !== "ignore", ambiguous: datasetOrientation === undefined };
  }
  return { apply: orientedFits, ambiguous: false };
}

/** The bytes of a file with a JPEG's name; null for other files, and where it cannot be read (libvips says why). */
async function readIfJpeg(path: string): Promise<Uint8Array | null> {
  if (!/\.jpe?g$/i.test(path)) return null;
  return readFile(path).catch(() => null);
}

/**
 * Decodes a JPEG, PNG or other raster file to 8-bit RGB as Pillow's `convert("RGB")` does: ICC profile ignored, alpha dropped, gray and palette
 * expanded, 16 bits shifted to 8. Nothing is resampled. Baseline JPEGs are decoded in the calling thread by kernels of this package, everything
 * else by libvips in a thread of its own; the bytes are the same.
 *
 * @param input - path, or the bytes of a file
 * @throws PreprocessError `decode_failed`, `unsupported_mode`, `too_large`, `size_mismatch`
 * @example
 * const image = await decodeImage("a.jpg", { expectedSize: { width: 640, height: 480 } });
 * image.data.length // 640 * 480 * 3
 */
export async function decodeImage(input: string | Uint8Array, options: DecodeOptions = {}): Promise<DecodedImage> {
  return decodeInto(input, options, uninitialisedBytes);
}

/**
 * {@link decodeImage} into memory of the caller.
 *
 * @param take - called at most once, for the RGB pixels as they are stored in the file; the result may lie elsewhere (turned upright, or decoded
 * by libvips)
 */
export async function decodeInto(
  input: string | Uint8Array,
  {
    orientation: policy = "match-annotations",
    expectedSize,
    datasetOrientation,
    cmyk = "managed",
    sixteenBit = "shift",
    allowTruncated = false,
    maxPixels = 2 ** 28,
  }: DecodeOptions,
  take: (length: number) => Uint8Array,
): Promise<DecodedImage> {
  const source = typeof input === "string" ? input : "<bytes>";
  if (/^[a-z][a-z\d+.-]+:\/\//i.test(source)) {
    throw new PreprocessError({
      code: "decode_failed",
      source,
      message: `${source} is a URL; decodeImage reads paths and bytes only. Download it and pass the bytes.`,
    });
  }
  const failed = (cause: unknown) =>
    new PreprocessError({
      code: "decode_failed",
      source,
      cause,
      message: `Cannot decode ${source}: ${cause instanceof Error ? cause.message.trim() : String(cause)}. Expected a readable image file; replace it or take it out of the dataset.`,
    });
  const options = {
    // "error" refuses truncation and corrupt data; "warning" would also refuse harmless oddities that Pillow accepts.
    failOn: allowTruncated ? "none" : "error",
    ignoreIcc: true,
    // Our own check below names the file; sharp's limit must not come first.
    limitInputPixels: false,
  } as const;
  const bytes = typeof input === "string" ? await readIfJpeg(input) : input;
  const file = bytes ?? input;
  const jpeg = bytes === null ? null : parseJpeg(bytes);
  let metadata: Pick<Metadata, "width" | "height" | "orientation" | "space" | "depth" | "pages" | "channels">;
  if (jpeg !== null) metadata = { ...jpeg, space: "srgb", depth: "uchar", channels: 3 };
  else {
    try {
      metadata = await sharp(file, options).metadata();
    } catch (cause) {
      throw failed(cause);
    }
  }
  const { width: rawWidth, height: rawHeight } = metadata;
  if (rawWidth * rawHeight > maxPixels) {
    throw new PreprocessError({
      code: "too_large",
      source,
      message: `${source} has ${rawWidth} x ${rawHeight} px, more than the limit of ${maxPixels}. Scale it down, or raise maxPixels.`,
    });
  }
  const warnings: DecodeWarning[] = [];
  if (metadata.space === "cmyk") {
    if (cmyk === "error") {
      throw new PreprocessError({
        code: "unsupported_mode",
        source,
        message: `${source} is CMYK, of which decoders make different colours. Convert it to RGB, or pass cmyk: "managed".`,
      });
    }
    warnings.push("unusual_mode");
  }
  if (!INTEGER_DEPTHS.has(metadata.depth)) {
    throw new PreprocessError({
      code: "unsupported_mode",
      source,
      message: `${source} has pixels of type ${metadata.depth}, of which no range is known. Convert it to 8 or 16 bits per channel.`,
    });
  }
  if ((metadata.pages ?? 1) > 1) warnings.push("first_page_only");
  const stored = metadata.orientation ?? 1;
  const orientation = (stored >= 1 && stored <= 8 ? stored : 1) as Orientation;
  const { apply, ambiguous } = orientationDecision({
    policy,
    orientation,
    raw: [rawWidth, rawHeight],
    expected: expectedSize,
    datasetOrientation,
    source,
  });
  if (ambiguous) warnings.push("exif_ambiguous");

  let rgb: RgbImage | null = null;
  if (bytes !== null && jpeg !== null) {
    const data = take(rawWidth * rawHeight * 3);
    if (decodeJpeg(bytes, jpeg, data)) rgb = { width: rawWidth, height: rawHeight, data };
  }
  if (rgb === null) {
    // Pillow clips only what it opens as 16-bit gray; it shifts 16-bit RGB and gray with alpha as everybody does.
    const clips = sixteenBit === "clip" && metadata.depth === "ushort" && metadata.channels === 1;
    let decoded: { data: Buffer; info: OutputInfo };
    try {
      const pixels = sharp(file, options);
      decoded = await (clips
        ? pixels.toColourspace("grey16").raw({ depth: "ushort" })
        : pixels.raw({ depth: "uchar" })
      ).toBuffer({ resolveWithObject: true });
    } catch (cause) {
      throw failed(cause);
    }
    if (allowTruncated && !(await isWhole(file))) warnings.push("truncated");
    const { data, info } = decoded;
    const values = clips ? clipWords(data) : new Uint8Array(data.buffer, data.byteOffset, data.length);
    rgb = { width: info.width, height: info.height, data: toRgb(values, info.channels, info.width * info.height) };
  }
  const upright = apply ? orientImage(rgb, orientation) : rgb;
  return { ...upright, rawWidth, rawHeight, orientation, orientationApplied: apply, warnings };
}

/** Whether a strict decode succeeds; only asked when damaged files are allowed. */
async function isWhole(input: string | Uint8Array): Promise<boolean> {
  try {
    await sharp(input, { failOn: "error", limitInputPixels: false }).stats();
    return true;
  } catch {
    return false;
  }
}
