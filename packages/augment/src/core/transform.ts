import type { Box } from "@seg/coco-dataset";
import type { z } from "zod";
import type { Kernels } from "../kernels/kernels.js";
import type { WorkImage } from "../kernels/work-image.js";
import type { CounterRandom } from "../philox.js";
import type { Homography } from "./homography.js";
import type { InverseField } from "./inverse-field.js";

/** What a transform may know when it draws its parameters. */
export interface SampleContext {
  /** Canvas, pixels. */
  readonly width: number;
  readonly height: number;
  /** min(width, height): pixel sizes are fractions of it. */
  readonly size: number;
  readonly channels: number;
  /** Boxes (of the masks where there are masks) of the instances at this point of the pipeline, xyxy canvas pixels, not clipped. */
  readonly extents: readonly Box[];
  /** Share of each instance that a rectangle covers, the largest of them; 0 without instances. */
  coverage(rect: Box): number;
  /** Adds a remark to the trace of this step. */
  note(text: string): void;
}

/** What an image transform may use beside the pixels. */
export interface ImageContext extends SampleContext {
  readonly kernels: Kernels;
  /** A generator of planes and maps, from the key among the sampled parameters. */
  random(key: number): CounterRandom;
  /** Reports hidden rectangles: keypoints inside become v = 1; with `erase` masks lose them, with `shrink` boxes without a mask too. */
  hide(rects: readonly Box[], options: { erase: boolean; visibleBoxes: boolean }): void;
}

/** JSON: what a replay record keeps. */
export type Sampled = { readonly [key: string]: unknown };

interface TransformBase<P, S extends Sampled> {
  /** Unique name, for example `Affine`. */
  readonly type: string;
  /** Strict zod object of the parameters with defaults, without `type`, `p` and `enabled`. */
  readonly schema: z.ZodType<P>;
  /** Known parameter names, for suggestions. */
  readonly keys: readonly string[];
  /** Draws everything that is random; only here randomness is allowed. Null when the step does not apply (say why with `note`). */
  sample(random: CounterRandom, params: P, context: SampleContext): S | null;
}

/** A map of the plane; neighbouring ones become one resampling. */
export interface GeometricTransform<P = never, S extends Sampled = never> extends TransformBase<P, S> {
  readonly kind: "geometric";
  /** Mirrors left and right or top and bottom: needs `flipIdx` where there are keypoints. */
  readonly isFlip?: boolean;
  /** Source -> output, canvas pixels. */
  matrix(sampled: S, context: { readonly width: number; readonly height: number }): Homography;
}

/** A displacement of the canvas. */
export interface FieldTransform<P = never, S extends Sampled = never> extends TransformBase<P, S> {
  readonly kind: "field";
  field(
    sampled: S,
    context: { readonly width: number; readonly height: number; random(key: number): CounterRandom },
  ): InverseField;
}

/** A tone curve, the same for every pixel and channel; neighbouring ones become one table. */
export interface PointwiseTransform<P = never, S extends Sampled = never> extends TransformBase<P, S> {
  readonly kind: "pointwise";
  /** y(x) on 0..255, not yet clipped or rounded. */
  curve(sampled: S): (x: number) => number;
}

/** Anything else that works on pixels, in place. */
export interface ImageTransform<P = never, S extends Sampled = never> extends TransformBase<P, S> {
  readonly kind: "image";
  /** Skipped with a note on pictures that do not have three channels. */
  readonly needsColor?: boolean;
  /** Reports hidden rectangles: `apply` also runs where only the annotations are wanted, on a picture with empty `data`. */
  readonly hidesInstances?: boolean;
  apply(image: WorkImage, sampled: S, context: ImageContext): void;
  /** Set where a step may be configured for an asynchronous backend; returns null when it is not. */
  applyAsync?(image: WorkImage, sampled: S, context: ImageContext): Promise<void> | null;
}

/** A transform with its parameters' types erased, as the registry holds it. */
export type AnyTransform =
  // biome-ignore lint/suspicious/noExplicitAny: parameters are checked by each transform's own schema
  GeometricTransform<any, any> | FieldTransform<any, any> | PointwiseTransform<any, any> | ImageTransform<any, any>;

/** Values of a step are rounded to float32: they look the same in every engine and in JSON. */
export const f = Math.fround;

/** Uniform in a range, as float32. */
export const draw = (random: CounterRandom, [low, high]: readonly [number, number]): number =>
  f(random.uniform(low, high));
