/** Axis-aligned box `[x1, y1, x2, y2]` in pixels, continuous and half-open: a pixel column c is inside when x1 <= c + 0.5 < x2. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** COCO's box at the file edge: `[x, y, width, height]` in pixels. */
export type BoxXywh = readonly [x: number, y: number, width: number, height: number];

/** Uncompressed run lengths of a binary mask, column-major (index = x * h + y), the first run counts zeros (it may be 0). */
export interface Rle {
  /** `[height, width]` in pixels. */
  readonly size: readonly [height: number, width: number];
  readonly counts: Uint32Array;
}

/** Decoded image: HWC, RGB, uint8, `data.length === height * width * 3`. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** One object, in the contiguous class index of a {@link ClassMapping}. */
export interface Instance {
  readonly classId: number;
  /** Pixels of the image that the instance belongs to. */
  readonly box: Box;
  readonly mask?: Rle;
  /** Flat COCO keypoints `[x, y, visibility, ...]`. */
  readonly keypoints?: readonly number[];
  /** Confidence in [0, 1]; absent for ground truth. */
  readonly score?: number;
}

/** Contiguous class index <-> COCO category. `index` is the rank of the ascending category id; fixed once per experiment. */
export interface ClassMapping {
  readonly classes: readonly { readonly index: number; readonly categoryId: number; readonly name: string }[];
}
