import type { RgbImage } from "@seg/coco-dataset";
import { PreprocessError } from "./errors.js";

/** One value per channel. */
export type Triple = readonly [red: number, green: number, blue: number];

const tables = new Map<string, Float32Array>();

/** 3 x 256 float32 values of (v - mean) / std, v in 0..255. */
export function normaliseTable(mean: Triple, std: Triple): Float32Array {
  const key = `${mean.join()};${std.join()}`;
  let table = tables.get(key);
  if (table === undefined) {
    if (std.some((value) => !(value > 0))) {
      throw new PreprocessError({ code: "config_invalid", message: `std must be positive, got ${std.join(", ")}.` });
    }
    table = new Float32Array(768);
    for (let c = 0; c < 3; c++) for (let v = 0; v < 256; v++) table[c * 256 + v] = (v - mean[c]!) / std[c]!;
    if (tables.size > 32) tables.clear();
    tables.set(key, table);
  }
  return table;
}

/** 3 x 256 bytes that leave pixels as they are: the table of a uint8 input. */
export const BYTE_TABLE: Uint8Array = Uint8Array.from({ length: 768 }, (_, i) => i & 255);

/** Writes an image through a 3 x 256 table into a planar canvas of `width` x `height` at (left, top); table and canvas have one type. */
export function writeChw({
  image,
  table,
  out,
  width,
  height,
  left,
  top,
}: {
  image: RgbImage;
  table: Float32Array | Uint8Array;
  out: Float32Array | Uint8Array;
  width: number;
  height: number;
  left: number;
  top: number;
}): void {
  const { data } = image;
  const plane = width * height;
  let p = 0;
  for (let y = 0; y < image.height; y++) {
    let o = (y + top) * width + left;
    for (const end = o + image.width; o < end; o++, p += 3) {
      out[o] = table[data[p]!]!;
      out[o + plane] = table[256 + data[p + 1]!]!;
      out[o + 2 * plane] = table[512 + data[p + 2]!]!;
    }
  }
}
