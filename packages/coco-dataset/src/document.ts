/** Uncompressed run lengths as COCO files hold them. `size` is `[height, width]`, runs are column-major. */
export interface CocoRleUncompressed {
  readonly size: readonly [number, number];
  readonly counts: readonly number[];
}

/** Compressed run lengths: pycocotools' printable string. */
export interface CocoRleCompressed {
  readonly size: readonly [number, number];
  readonly counts: string;
}

/** Polygon parts (flat `[x, y, ...]`, pixels, corner convention, unioned) or run lengths. */
export type CocoSegmentation = readonly (readonly number[])[] | CocoRleUncompressed | CocoRleCompressed;

/** An image record. Unknown keys are kept. */
export interface CocoImage {
  readonly id: number;
  readonly width: number;
  readonly height: number;
  readonly file_name: string;
  readonly [key: string]: unknown;
}

/** A category record. Unknown keys are kept. */
export interface CocoCategory {
  readonly id: number;
  readonly name: string;
  readonly supercategory?: string;
  readonly keypoints?: readonly string[];
  readonly skeleton?: readonly (readonly [number, number])[];
  readonly [key: string]: unknown;
}

/** An annotation record. Geometry is optional: its presence decides what the data can teach. Unknown keys are kept. */
export interface CocoAnnotation {
  readonly id: number;
  readonly image_id: number;
  readonly category_id: number;
  /** `[x, y, width, height]` in pixels, 0-indexed, corner convention. */
  readonly bbox?: readonly number[] | null;
  /** Pixels. */
  readonly area?: number | null;
  readonly iscrowd?: number | null;
  readonly segmentation?: CocoSegmentation | null;
  /** Flat `[x, y, visibility, ...]`. */
  readonly keypoints?: readonly number[] | null;
  readonly num_keypoints?: number | null;
  readonly caption?: string | null;
  /** Names of the fields that {@link completeDataset} filled in; such fields do not count as annotated. */
  readonly seg_generated?: readonly string[];
  readonly [key: string]: unknown;
}

/** A parsed COCO document. Plain data: no function of this package mutates it, unknown keys survive a round trip. */
export interface CocoDataset {
  readonly info?: Readonly<Record<string, unknown>>;
  readonly licenses?: readonly unknown[];
  readonly images: readonly CocoImage[];
  readonly categories: readonly CocoCategory[];
  readonly annotations: readonly CocoAnnotation[];
  readonly [key: string]: unknown;
}

/** One row of a results file. */
export interface CocoResult {
  readonly image_id: number;
  readonly category_id: number;
  /** Confidence; finite, by convention in [0, 1]. */
  readonly score: number;
  /** `[x, y, width, height]` in pixels. */
  readonly bbox?: readonly number[];
  readonly segmentation?: CocoSegmentation;
  /** Flat `[x, y, visibility, ...]`. */
  readonly keypoints?: readonly number[];
}
