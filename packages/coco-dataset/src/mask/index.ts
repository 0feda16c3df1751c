import { fromString, toCompressed } from "./compressed.js";
import { bboxIou, iou } from "./iou.js";
import { fromBbox, fromPolygons } from "./polygons.js";
import { area, decode, encode, fromUncompressed, merge, toBbox } from "./rle.js";
import { toPolygons } from "./to-polygons.js";

/**
 * Run-length algebra of binary masks, bit-exact with pycocotools' `mask` API.
 *
 * @example mask.toString(mask.fromPolygons([[1, 1, 3, 1, 3, 3, 1, 3]], 6, 6)) // "7240a0"
 */
export const mask = {
  encode,
  decode,
  toString: toCompressed,
  fromString,
  fromPolygons,
  fromBbox,
  fromUncompressed,
  area,
  toBbox,
  merge,
  iou,
  bboxIou,
  toPolygons,
} as const;
