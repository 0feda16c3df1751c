import type { Box, Rle } from "@seg/coco-dataset";
import type { Homography } from "../core/homography.js";
import type { CounterRandom } from "../philox.js";

/** Interleaved uint8 pixels, row-major; 1, 3 or any number of channels. */
export interface PipelineImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** A mask as pixels of the whole picture, 0 outside, anything else inside, row-major. */
export interface BitmapMask {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** COCO polygons (lists of x, y; parts united), run lengths (as numbers or COCO's compressed string), or a bitmap. */
export type PipelineMask =
  | readonly ArrayLike<number>[]
  | Rle
  | { readonly size: readonly [number, number]; readonly counts: string | readonly number[] }
  | BitmapMask;

/** `[x, y, v]`, v of 0 (not there), 1 (hidden), 2 (visible). */
export type Keypoint = readonly [x: number, y: number, v: number];

/**
 * - `coco`: x, y, width, height in pixels
 * - `xyxy`: corners in pixels
 * - `yolo`: centre x, centre y, width, height as shares of the picture
 * - `normalized`: corners as shares of the picture
 */
export type BoxFormat = "coco" | "xyxy" | "yolo" | "normalized";

/**
 * A picture with what is known of it. `masks[i]`, `bboxes[i]`, `keypoints[i]`, `labels[i]`, `ids[i]`, `iscrowd[i]` describe instance i. Coordinates are
 * continuous pixel edges: pixel i covers [i, i + 1). Never changed; results share no memory with it.
 */
export interface PipelineSample {
  readonly image: PipelineImage;
  readonly masks?: readonly PipelineMask[] | undefined;
  readonly bboxes?: readonly ArrayLike<number>[] | undefined;
  /** Per instance a list of points, or one flat list of points that belong to no instance. */
  readonly keypoints?: readonly (readonly Keypoint[])[] | readonly Keypoint[] | undefined;
  readonly labels?: readonly (number | string)[] | undefined;
  readonly ids?: readonly (number | string)[] | undefined;
  readonly iscrowd?: readonly (number | boolean)[] | undefined;
  /** Size that the annotations were made for. */
  readonly annotationSize?: { readonly width: number; readonly height: number } | undefined;
  /** Index in its dataset; comes back in {@link PlacedSource.source}. {@link donorsFrom} and the loader set it. */
  readonly source?: number | undefined;
}

/** A sample without its pixels: enough to work out where everything goes. */
export type SampleOutline = Omit<PipelineSample, "image"> & { readonly image: Omit<PipelineImage, "data"> };

/** One resampling on the way from a source picture to the result. JSON. */
export type PlacedMap =
  | { readonly kind: "matrix"; readonly matrix: Homography }
  | {
      readonly kind: "field";
      readonly path: string;
      readonly type: string;
      readonly params: Readonly<Record<string, unknown>>;
    };

/** Where a picture went: the sample's own (path "") or a donor's. What is cached of a picture travels through {@link sourceMap}. */
export interface PlacedSource {
  /** "" for the sample itself, else for example `mosaic#0/tile2`, `mixup#0/donor`, `copy_paste#0/paste3`. `origins` begin with it. */
  readonly path: string;
  /** `source` of the sample it came with; null where that was not given. */
  readonly source: number | null;
  /** Pixels of the source. */
  readonly width: number;
  readonly height: number;
  /** Part of the source that is shown, xyxy source pixels. */
  readonly clip: Box;
  /** Only this instance was pasted; null where the whole picture was. */
  readonly instance: number | null;
  /** Source -> result, continuous pixel edges, all geometry composed; null where a field bends it (see `maps`). */
  readonly matrix: Homography | null;
  /** The same, one map after the other. */
  readonly maps: readonly PlacedMap[];
  /** Share of its pixels in the result: 1, or the two shares of mixup. */
  readonly weight: number;
}

/**
 * Why an instance left a sample: it lies outside, too little of it is visible, it became too small or too thin,
 * something covers it, or it had no area before.
 */
export type DropReason = "outside" | "visibility" | "too-small" | "aspect" | "occluded" | "degenerate-input";

/** Something that works but is probably not meant, for example boxes that are turned without masks. */
export interface PipelineWarning {
  readonly code: "box-clipped" | "rotation-without-masks" | "mosaic-never-off" | "unsupported" | "empty-mask";
  readonly message: string;
  readonly index?: number;
}

/** What one step did. */
export interface AppliedStep {
  readonly path: string;
  readonly type: string;
  /** Drawn parameters; null for a step that was skipped. */
  readonly params: Readonly<Record<string, unknown>> | null;
  /** Resampled or looked up together with its neighbours. */
  readonly fused: boolean;
  readonly notes?: readonly string[];
}

/** Enough to run the same steps again. JSON, below 1 kB for a usual plan. */
export interface ReplayRecord {
  readonly v: 1;
  readonly planHash: string;
  readonly seed: number;
  readonly epoch: number;
  readonly index: number;
  readonly backend: "typescript" | "wasm";
  readonly applied: readonly {
    readonly path: string;
    readonly type: string;
    readonly params: Readonly<Record<string, unknown>>;
  }[];
}

/** A sample after a pipeline: image, masks, boxes and keypoints that still belong together, and what was drawn. */
export interface PipelineResult {
  readonly image: PipelineImage;
  readonly masks?: PipelineMask[];
  readonly bboxes?: [number, number, number, number][];
  readonly keypoints?: Keypoint[][] | Keypoint[];
  readonly labels?: (number | string)[];
  readonly ids?: (number | string | null)[];
  readonly iscrowd?: number[];
  /** Visible area of each instance, square pixels: of the mask, else of the box. */
  readonly area: number[];
  /** Input index of each instance; -1 for one of a donor. */
  readonly kept: number[];
  /** Visible area / area of the whole transformed shape, of each instance; 1 for one without a shape. */
  readonly visibility: number[];
  /** Where instances with `kept` -1 come from, for example `mosaic#0/tile2:3`; null for the sample's own. Only after mixing. */
  readonly origins?: (string | null)[];
  /** Share of each instance in a mixed-up picture. Only after mixup. */
  readonly weights?: number[];
  readonly dropped: { readonly index: number; readonly reason: DropReason }[];
  readonly warnings: PipelineWarning[];
  readonly trace: AppliedStep[];
  readonly replay: ReplayRecord;
  /** Pictures the result is made of, the sample's own first. */
  readonly sources: PlacedSource[];
}

/** A result without its pixels. */
export type PipelineOutline = Omit<PipelineResult, "image">;

/** Which draws a call makes. */
export interface SampleKey {
  /** @defaultValue 0 */
  readonly epoch?: number;
  /** Index in the dataset, uint32. @defaultValue how often the pipeline was called before */
  readonly index?: number;
  readonly donors?: DonorSource | undefined;
}

/** Supplies samples for mixing. Draw only from `stream`: then results do not depend on workers or order. */
export interface DonorSource {
  /** `n` samples, other ones than the sample itself where there are others; fewer when there are fewer. */
  get(stream: CounterRandom, n: number): readonly PipelineSample[] | Promise<readonly PipelineSample[]>;
  /** `n` instances with masks for copy_paste, classes equally likely. @defaultValue drawn from `get` */
  getInstances?(stream: CounterRandom, n: number): readonly DonorInstance[] | Promise<readonly DonorInstance[]>;
}

/** Instance `index` of a sample. */
export interface DonorInstance {
  readonly sample: PipelineSample;
  readonly index: number;
}

/** What happens to instances. */
export interface InstanceRules {
  /** Least visible area / area of the unclipped transformed shape, over all steps. @defaultValue 0.1 */
  readonly minVisibility: number;
  /** Pixels, of the final box. @defaultValue 2 */
  readonly minWidth: number;
  /** @defaultValue 2 */
  readonly minHeight: number;
  /** Square pixels. @defaultValue 0 */
  readonly minArea: number;
  /** Long / short side of the final box. @defaultValue 100 */
  readonly maxAspect: number;
  /** Recompute the box from the transformed, clipped mask. @defaultValue true */
  readonly boxFromMask: boolean;
  /** Without a mask: bounds of the transformed box, or of its inscribed ellipse (round objects). @defaultValue "corners" */
  readonly boxMethod: "corners" | "ellipse";
  /** @defaultValue "clip" */
  readonly onInvalid: "clip" | "drop" | "throw";
  /** @defaultValue "coco" */
  readonly bboxFormat: BoxFormat;
  /** `pixel-index`: +0.5 on entry, -0.5 on exit. @defaultValue "pixel-index" */
  readonly keypointConvention: "pixel-index" | "continuous";
  /** Keypoint i of a mirrored instance is keypoint flipIdx[i] of the original. */
  readonly flipIdx?: readonly number[] | undefined;
  /** minVisibility applies to instances with a mask only. @defaultValue false */
  readonly visibilityByMaskOnly: boolean;
}
