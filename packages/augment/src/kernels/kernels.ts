import type { SpanTable } from "./span-table.js";
import type { SourceImage, WorkImage } from "./work-image.js";

/** What pixels outside of the source get. */
export type Border = "constant" | "replicate" | "reflect" | "wrap";

/**
 * The pixel loops of the pipeline. All but {@link Kernels.warp} work in place. Two implementations, TypeScript and WASM SIMD, share their
 * integer arithmetic: results are equal to the byte, apart from {@link Kernels.hsvShift} (float32 against tables, at most 1 level).
 */
export interface Kernels {
  /** `none`: no pixels at all ({@link noPixels}). */
  readonly name: "typescript" | "wasm" | "none";
  /** Undefined contents. */
  createImage(width: number, height: number, channels: number): WorkImage;
  /** The pixels in memory of their own; the image must not be used again. */
  detach(image: WorkImage): Uint8Array;
  /** Gives the memory back; the image must not be used again. */
  release(image: WorkImage): void;
  /**
   * Bilinear: every pixel of the spans is written, 7-bit weights.
   *
   * @param options.clip - source rectangle in pixels: with border `constant` pixels whose centre falls outside stay as they are
   */
  warp(options: {
    target: WorkImage;
    source: SourceImage;
    table: SpanTable;
    clip: readonly [number, number, number, number];
    border: Border;
  }): void;
  /** y = table[x] for every byte. */
  lut(image: WorkImage, table: Uint8Array): void;
  /** Mean of k x k pixels, k odd, border reflect101. */
  boxBlur(image: WorkImage, k: number): void;
  /** Separable convolution with symmetric 12-bit weights (sum 4096, odd length), border reflect101. */
  separable(image: WorkImage, weights: Int32Array): void;
  /** Mean over the given pixel offsets x0, y0, x1, y1, ...; border reflect101. */
  lineBlur(image: WorkImage, offsets: Int32Array): void;
  /** clip((centre * x - side * (sum of 3 x 3) + 2048) >> 12), border reflect101. */
  sharpen(image: WorkImage, centre: number, side: number): void;
  /**
   * Adds (table[offset + i] * scale) / 2^shift to byte i of a row (rounded, clipped); with `isShared` all channels of pixel i get entry i.
   *
   * @param rowOffsets - start in the table of each row
   */
  noise(image: WorkImage, rowOffsets: Uint32Array, scale: number, shift: number, isShared: boolean): void;
  /** Sums of R, G, B over all pixels. Needs 3 channels. */
  channelSums(image: SourceImage): readonly [r: number, g: number, b: number];
  /** RGB' = matrix * RGB + offset, 12-bit fixed point: m00 m01 m02 o0, m10 ... (12 values), clipped. Needs 3 channels. */
  colorMatrix(image: WorkImage, matrix: Int32Array): void;
  /**
   * Adds to hue (mod 180 half-degrees), saturation and value (both clipped to 0..255) of OpenCV's HSV. Gray pixels stay gray. Needs 3 channels.
   */
  hsvShift(image: WorkImage, hue: number, saturation: number, value: number): void;
  /**
   * x' = x * T + color * (1 - T), T = plane / 256 at half resolution (ceil(w/2) x ceil(h/2)), interpolated bilinearly.
   *
   * @param color - one level per channel
   */
  veil(image: WorkImage, plane: Uint16Array, color: readonly number[]): void;
  /** x' = round((w * x + (32768 - w) * other) / 32768). */
  mix(image: WorkImage, other: SourceImage, weight: number): void;
  /** Contrast limited adaptive histogram equalisation of luma; see `clahe.ts`. */
  clahe(image: WorkImage, clipLimit: number, columns: number, rows: number): void;
}
